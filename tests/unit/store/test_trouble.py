"""Full disk, read-only file, foreign lock, newer file, damage: a sentence, and nothing lost."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fhir_server.faults import Fault, Kind
from fhir_server.search.predicate import TokenIs, Where
from fhir_server.search.query import Query, Sort
from fhir_server.store.api import Reclass, Slice
from fhir_server.store.sqlite import reader
from fhir_server.store.sqlite.store import FILE
from tests.contract.store_world import ALL, change, open_sqlite, put


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Any]:
    opened = open_sqlite(tmp_path, lock_seconds=0.3)
    await put(opened, change("Patient", "p1", text="kept", tokens=[["code", "s", "a"]]))
    yield opened
    await opened.close()


def file_of(tmp_path: Path) -> Path:
    return tmp_path / "data" / FILE


async def refused(store: Any, *changes: Any) -> Fault:
    with pytest.raises(Fault) as fault:
        await put(store, *changes)
    assert fault.value.kind is Kind.UNAVAILABLE
    assert dict(fault.value.headers)["Retry-After"].isdigit()
    words = fault.value.diagnostics.lower()
    assert not any(hidden in words for hidden in ("sqlite", "insert", "select", "/", " table"))
    return fault.value


async def works_again(store: Any) -> None:
    await put(store, change("Patient", "later"))
    assert b"kept" in (await store.read(ALL, "Patient", "p1")).body
    assert await store.read(ALL, "Patient", "refused") is None
    assert await store.check() == []


async def test_a_full_disk_is_503_and_loses_nothing(store: Any) -> None:
    connection = store._writer._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count={pages + 2}")
    big = change("Patient", "refused", text=os.urandom(60_000).hex())

    fault = await refused(store, big)

    assert "full" in fault.diagnostics
    connection.execute("PRAGMA max_page_count=1000000")
    await works_again(store)


async def test_a_small_commit_still_fits_beside_one_that_does_not(store: Any) -> None:
    connection = store._writer._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count={pages + 8}")
    big = change("Patient", "refused", text=os.urandom(100_000).hex())

    outcomes = await asyncio.gather(
        put(store, change("Patient", "small")), put(store, big), return_exceptions=True
    )

    assert outcomes[0] is None
    assert isinstance(outcomes[1], Fault)
    assert await store.read(ALL, "Patient", "small")


async def test_a_read_only_store_is_503_and_still_reads(store: Any) -> None:
    store._writer._connection.execute("PRAGMA query_only=1")

    fault = await refused(store, change("Patient", "refused"))

    assert "read-only" in fault.diagnostics
    assert await store.read(ALL, "Patient", "p1")
    store._writer._connection.execute("PRAGMA query_only=0")
    await works_again(store)


async def test_a_foreign_lock_is_503_until_it_is_gone(store: Any, tmp_path: Path) -> None:
    foreign = sqlite3.connect(file_of(tmp_path), isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")

    fault = await refused(store, change("Patient", "refused"))

    assert "locked" in fault.diagnostics
    assert await store.read(ALL, "Patient", "p1")
    foreign.execute("ROLLBACK")
    foreign.close()
    await works_again(store)


async def test_a_process_that_never_ends_its_turn_is_503(store: Any, tmp_path: Path) -> None:
    handle = os.open(tmp_path / "data" / "writing.lock", os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX)

    fault = await refused(store, change("Patient", "refused"))

    assert "Another process" in fault.diagnostics
    os.close(handle)
    await works_again(store)


async def test_refuses_a_file_of_a_newer_program(tmp_path: Path) -> None:
    await open_sqlite(tmp_path).close()
    connection = sqlite3.connect(file_of(tmp_path))
    connection.execute("PRAGMA user_version=99")
    connection.close()

    with pytest.raises(Fault, match="newer program"):
        open_sqlite(tmp_path)


async def test_refuses_a_file_that_is_not_a_store(tmp_path: Path) -> None:
    await open_sqlite(tmp_path).close()
    for leftover in file_of(tmp_path).parent.glob(f"{FILE}-*"):
        leftover.unlink()
    file_of(tmp_path).write_bytes(b"no store at all" * 1000)

    with pytest.raises(Fault) as fault:
        open_sqlite(tmp_path)

    assert fault.value.kind is Kind.UNAVAILABLE


async def test_the_file_is_private(store: Any, tmp_path: Path) -> None:
    for file in file_of(tmp_path).parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name
    assert store


async def test_a_search_that_outlives_its_limit_is_too_costly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "INLINE_SECONDS", 0.0)
    monkeypatch.setattr(reader, "_STEPS", 1)
    store = open_sqlite(tmp_path, search_seconds=0.0)

    with pytest.raises(Fault) as fault:
        await store.search(ALL, Query("Patient", sort=(Sort("name"),)))

    assert fault.value.kind is Kind.TOO_COSTLY
    assert await store.ready()
    await store.close()


async def test_what_is_not_quick_is_answered_by_a_thread(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "INLINE_SECONDS", -1.0)
    monkeypatch.setattr(store._readers._inline, "_late", lambda: True)
    store._readers._inline.connection.set_progress_handler(lambda: True, 1)

    page = await store.search(ALL, Query("Patient", Where("code", TokenIs("s", "a"))))

    assert [match.id for match in page.matches] == ["p1"]
    assert len(store._readers._sessions) == 2


DAMAGE = {
    "an index row removed": "DELETE FROM token",
    "an index row added": "INSERT INTO token SELECT p, k + 1, sk, s FROM token",
    "an index row of nobody": "INSERT INTO date VALUES(2, 1, 2, 99)",
    "a payload altered": (
        "UPDATE version SET payload = CAST(substr(payload, 1, 40) || x'00' || substr(payload, 42) AS BLOB)"
    ),
    "a payload moved": "UPDATE version SET payload = (SELECT payload FROM version WHERE rk=2) WHERE rk=1",
    "a version lost": "DELETE FROM version WHERE rk=1",
    "an id lost": "DELETE FROM ids",
    "a head lost": "DELETE FROM head",
    "history lost": "DELETE FROM history",
    "a patient mistaken": "UPDATE head SET pat=pat+1",
    "a patient forgotten": "UPDATE head SET pat=NULL",
    "one of several patients lost": "DELETE FROM subject WHERE k=(SELECT max(k) FROM subject)",
    "a rule lost": "DELETE FROM policy_class",
    "a rule altered": "UPDATE policy_class SET payload=substr(payload, 1, 30)",
    "a rule under another digest": "UPDATE policy_class SET digest=digest+1",
    "a standing lost": "DELETE FROM standing",
    "a standing altered": "UPDATE standing SET ver=ver+1",
    "a time twice": "INSERT INTO patient_class SELECT k, since+1, until, number FROM patient_class",
    "a time turned round": "UPDATE patient_class SET since=until, until=since",
}


@pytest.mark.parametrize("statement", DAMAGE.values(), ids=DAMAGE.keys())
async def test_check_finds(store: Any, tmp_path: Path, statement: str) -> None:
    await put(store, change("Patient", "p2", tokens=[["code", "s", "a"]]))
    await put(store, change("Patient", "p2", 2, tokens=[["code", "s", "a"]], patients=["p2", "p3"]))
    await store.commit([], (), [Reclass("p2", 0, (Slice(0, 9, b"kept"),))])
    assert await store.check() == []
    connection = sqlite3.connect(file_of(tmp_path), isolation_level=None)
    connection.execute(statement)
    connection.close()

    findings = await store.check()

    assert findings
    assert not any("p2" in finding or "kept" in finding for finding in findings)


async def test_a_damaged_payload_is_a_fault_that_names_nobody(store: Any, tmp_path: Path) -> None:
    connection = sqlite3.connect(file_of(tmp_path), isolation_level=None)
    connection.execute(DAMAGE["a payload altered"])
    connection.close()

    with pytest.raises(Fault, match="run check") as fault:
        await store.read(ALL, "Patient", "p1")

    assert "p1" not in fault.value.diagnostics
