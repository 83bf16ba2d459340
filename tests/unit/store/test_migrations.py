"""A store that an earlier program wrote is opened, and found whole."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from fhir_server.search.predicate import (
    All,
    DateIs,
    IdIn,
    NumberIs,
    Predicate,
    Present,
    QuantityIs,
    StringContains,
    StringIs,
    StringStarts,
    TokenIs,
    Where,
)
from fhir_server.search.query import Query, Sort
from fhir_server.store.sqlite import schema
from fhir_server.store.sqlite.store import FILE
from tests.contract.store_world import ALL, change, open_sqlite, put

_BEFORE = [step.__name__ for step in schema.MIGRATIONS].index("_drop_joined")
"""The schema version that had rows for every parameter, and strings spelt out in each row."""

_STRINGS_BEFORE = """
ALTER TABLE str RENAME TO numbered;
CREATE TABLE str(p INTEGER NOT NULL, k BLOB NOT NULL, e INTEGER NOT NULL, sk INTEGER NOT NULL,
    PRIMARY KEY(p, k, e, sk)) WITHOUT ROWID;
INSERT INTO str SELECT x.p, x.k, x.e, n.sk FROM numbered n JOIN text x ON x.t=n.t;
DROP TABLE numbered;
DROP TABLE text;
DELETE FROM meta WHERE key='texts';
DROP INDEX class_used;
"""

_ROWS_BEFORE = """
UPDATE token SET s=s<<32;
UPDATE quantity SET u=u<<32, s=s<<32;
UPDATE unit SET u=u<<32;
INSERT INTO own SELECT sk, p, lo, hi FROM date;
INSERT INTO param VALUES(900, 'Observation.combo-code'), (902, 'Observation.combo-value-quantity'),
    (904, 'Observation._id');
INSERT INTO token SELECT 900, k, sk, s FROM token WHERE p=(SELECT p FROM param WHERE name='Observation.code');
INSERT INTO token SELECT 904, h, sk, 7 FROM head;
INSERT INTO quantity SELECT 902, u, lo, hi, s, sk FROM quantity;
INSERT INTO unit SELECT 902, u FROM unit;
INSERT INTO own SELECT sk, 902, lo, hi FROM quantity WHERE p=902;
"""


async def fill(folder: Path) -> None:
    """Make a store, and of it the file that the program before would have written."""
    store = open_sqlite(folder)
    for n in range(20):
        names = [["name", "Li Wei"], ["name", f"Zoë {n}"], ["code:text", "Systolic"]]
        tokens, quantities = [["code", "s", "a" if n % 2 else "b"]], [["value-quantity", "", "mg", "", n, n]]
        values = {"strings": names, "tokens": tokens, "quantities": quantities}
        await put(store, change("Observation", f"o{n}", dates=[["_lastUpdated", 1000, 1000]], **values))
    await store.close()
    connection = sqlite3.connect(folder / "data" / FILE)
    for table in set(_tables(connection)) - _tables_before():
        if table != "text":
            connection.execute(f"DROP TABLE {table}")
    connection.executescript(_STRINGS_BEFORE + _ROWS_BEFORE)
    connection.execute(f"PRAGMA user_version={_BEFORE}")
    connection.close()


def _tables(connection: sqlite3.Connection) -> list[str]:
    return [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type='table'")]


def _tables_before() -> set[str]:
    connection = sqlite3.connect(":memory:")
    for step in schema.MIGRATIONS[:_BEFORE]:
        step(connection)
    return set(_tables(connection))


async def ids(store: Any, where: Predicate, *sort: Sort) -> list[str]:
    page = await store.search(ALL, Query("Observation", where, sort=sort, count=100))
    return [stored.id for stored in page.matches]


async def test_an_older_store_is_opened_sound_and_without_rows_of_its_own_for_joins(
    tmp_path: Path,
) -> None:
    await fill(tmp_path)

    store = open_sqlite(tmp_path)

    assert await store.check() == []
    connection = sqlite3.connect(tmp_path / "data" / FILE)
    assert connection.execute("SELECT count(*) FROM str").fetchone() == (60,)
    assert connection.execute("SELECT count(*) FROM text").fetchone() == (22,)
    assert connection.execute("SELECT count(*) FROM own").fetchone() == (20,)  # the quantities
    assert connection.execute("SELECT count(*) FROM param WHERE p>=900").fetchone() == (0,)
    connection.close()
    await store.close()


@pytest.mark.parametrize(
    ("where", "found"),
    [
        (Where("name", StringIs("Li Wei")), 20),
        (Where("name", StringIs("Li W")), 0),
        (Where("name", StringStarts("zoe 1")), 11),
        (Where("name", StringContains("wei")), 20),
        (Where("name", Present()), 20),
        (Where("code:text", StringStarts("sys")), 20),
        (Where("code:text", StringStarts("dia")), 0),
        (Where("code", TokenIs("s", "a")), 10),
        (Where("value-quantity", QuantityIs(NumberIs("lt", 5.0, 4.5, 5.5), "", "mg")), 5),
        (Where("code", TokenIs("s", None)), 20),
        (Where("code", TokenIs("t", "a")), 0),
        (All((Where("code", TokenIs("s", "a")), Where("_lastUpdated", DateIs("eq", 1000, 1000)))), 10),
        (All((Where("code", TokenIs("s", "a")), Where("_lastUpdated", DateIs("gt", 1000, 1000)))), 0),
        (IdIn(("o3",)), 1),
    ],
)
async def test_finds_in_it_what_was_found_before(tmp_path: Path, where: Predicate, found: int) -> None:
    await fill(tmp_path)
    store = open_sqlite(tmp_path)

    assert len(await ids(store, where)) == found

    await store.close()


async def test_it_takes_new_strings_and_updates(tmp_path: Path) -> None:
    await fill(tmp_path)
    store = open_sqlite(tmp_path)

    await put(store, change("Observation", "o1", 2, strings=[["name", "Li Wei"], ["name", "Anew"]]))

    assert await ids(store, Where("name", StringStarts("anew"))) == ["o1"]
    assert await ids(store, Where("name", StringStarts("zoe 1"))) == [f"o{n}" for n in range(10, 20)]
    assert await store.check() == []
    await store.close()
