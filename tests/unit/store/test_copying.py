"""The copy of a database file: one moment of it, whoever writes meanwhile."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fhir_server.store.sqlite import schema
from fhir_server.store.sqlite.copying import copy_database, damage_of, settle

ROWS = 4000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Make a database of some 3,500 pages: two steps of a copy."""
    path = tmp_path / "fhir.sqlite"
    with closing(schema.connect(path, writing=True)) as connection:
        connection.execute("CREATE TABLE meta(key TEXT PRIMARY KEY, value)")
        connection.execute("CREATE TABLE n(id INTEGER PRIMARY KEY, content BLOB)")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO n VALUES(?, zeroblob(7000))", [(i,) for i in range(ROWS)])
        connection.execute("COMMIT")
    return path


def count(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM n").fetchone()[0])


def test_a_copy_is_one_moment_and_goes_on_while_others_commit(file: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    with closing(schema.connect(file, writing=True)) as busy:

        def commit_something(done: int, total: int) -> None:
            told.append((done, total))
            busy.execute("DELETE FROM n WHERE id=?", (len(told),))
            busy.execute("INSERT INTO n VALUES(NULL, zeroblob(9000)), (NULL, zeroblob(9000))")

        copy_database(file, tmp_path / "copy", commit_something)

    assert len(told) > 1, "the copy must take several steps for this test to say anything"
    assert [done for done, _ in told] == sorted({done for done, _ in told}), "it began anew"
    assert count(tmp_path / "copy") == ROWS
    assert count(file) == ROWS + len(told)
    assert damage_of(tmp_path / "copy") == []


def test_only_its_owner_may_read_a_copy_and_it_is_one_file(file: Path, tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    copy = tmp_path / "to" / "copy"

    copy_database(file, copy)
    with closing(schema.connect(copy, writing=True)) as opened:
        opened.execute("DELETE FROM n")
    settle(copy)

    assert copy.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]
    assert count(copy) == 0


def test_damage_to_the_structure_is_told(file: Path) -> None:
    settle(file)
    with file.open("r+b") as damaged:
        damaged.seek(schema.PAGE_BYTES * 3)
        damaged.write(b"\xff" * schema.PAGE_BYTES)

    assert damage_of(file) != []
