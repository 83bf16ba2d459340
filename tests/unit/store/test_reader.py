"""A reader's transaction ends whatever the clock says."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from fhir_server.store.sqlite import reader, schema
from fhir_server.store.sqlite.reader import Late, Readers, Session
from fhir_server.store.sqlite.shapes import _TRUST


def test_a_read_that_uses_up_its_time_leaves_the_connection_ready_for_the_next(tmp_path: Path) -> None:
    session = Session(schema.connect(tmp_path / "x.sqlite"))

    def one(session: Session) -> int:
        return int(session.connection.execute("SELECT 1").fetchone()[0])

    def endless(session: Session) -> None:
        rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT count(*) FROM n"
        session.connection.execute(rows).fetchone()

    with pytest.raises(Late):
        session.attempt(endless, 0.01)

    assert session.attempt(one, 1) == 1
    session.connection.close()


def test_thousands_of_reads_whose_time_is_over_when_they_end_all_answer(tmp_path: Path) -> None:
    # The progress handler counts instructions across statements: now and then it fires in the COMMIT.
    session = Session(schema.connect(tmp_path / "x.sqlite"))

    def at_the_limit(session: Session) -> int:
        found = int(session.connection.execute("SELECT 1").fetchone()[0])
        session._until = 0
        return found

    assert {session.attempt(at_the_limit, 1) for _ in range(3000)} == {1}
    session.connection.close()


def test_a_time_that_is_over_before_it_begins_leaves_no_transaction_open(tmp_path: Path) -> None:
    session = Session(schema.connect(tmp_path / "x.sqlite"))
    for _ in range(3000):
        with contextlib.suppress(Late):
            session.attempt(lambda session: session.connection.execute("SELECT 1").fetchone(), -1)
        assert not session.connection.in_transaction

    assert session.attempt(lambda session: session.connection.execute("SELECT 1").fetchone(), 1) == (1,)
    session.connection.close()


@pytest.mark.parametrize("seconds", [0.02, 60])
def test_a_statement_whose_rows_took_too_long_is_prepared_once_for_those_who_ask_again(
    tmp_path: Path, seconds: float
) -> None:
    """Python's sqlite3 never again uses a prepared statement that failed while its rows were fetched."""
    session = Session(schema.connect(tmp_path / "x.sqlite"))
    counting = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n LIMIT ?) SELECT i FROM n"

    def rows(limit: int) -> list[int]:
        return session.attempt(lambda it: [i for (i,) in it.connection.execute(counting, (limit,))], seconds)

    if seconds < 1:
        with pytest.raises(Late):
            rows(10**12)
    prepared: list[int] = []

    def note(action: int, *_: object) -> int:
        prepared.append(action)
        return sqlite3.SQLITE_OK

    session.connection.set_authorizer(note)
    assert rows(1) == [1]
    assert prepared
    prepared.clear()
    assert [rows(limit) for limit in (1, 2, 3)] == [[1], [1, 2], [1, 2, 3]]
    assert prepared == []
    session.connection.close()


async def test_work_that_nobody_waits_for_any_more_is_stopped(tmp_path: Path) -> None:
    """Its one thread is free for the next reader long before the time limit."""

    def connect() -> schema.Connection:
        return schema.connect(tmp_path / "x.sqlite")

    begun = threading.Event()

    def endless(session: Session) -> None:
        begun.set()
        rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT count(*) FROM n"
        session.connection.execute(rows).fetchone()

    def one(session: Session) -> int:
        return int(session.connection.execute("SELECT 1").fetchone()[0])

    readers = Readers(connect, threads=1, seconds=60)
    waiting = asyncio.create_task(readers.run(endless, quick=False))
    await asyncio.to_thread(begun.wait, 10)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    async with asyncio.timeout(10):
        assert await readers.run(one, quick=False) == 1
    await readers.close()


async def test_work_of_a_kind_that_was_stopped_begins_in_the_pool_until_it_is_quick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "INLINE_SECONDS", 0.1)
    readers = Readers(lambda: schema.connect(tmp_path / "x.sqlite"), threads=1, seconds=60)
    places: list[bool] = []

    def tried(session: Session) -> bool:
        places.append(session._in_loop)
        if many:
            session.leave_loop()
        return session._in_loop

    async def run(kind: str) -> bool:
        return await readers.run(tried, shape=lambda: (kind,))

    many = True
    assert not await run("a")
    assert places == [True, False]  # tried, given up, handed over
    many = False
    places.clear()
    assert [await run("a") for _ in range(_TRUST)] == [False] * _TRUST
    assert await run("b")
    assert places == [*[False] * _TRUST, True]

    assert await run("a")
    await readers.close()


async def test_work_that_stays_slow_in_the_pool_stays_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "INLINE_SECONDS", 0.0)
    readers = Readers(lambda: schema.connect(tmp_path / "x.sqlite"), threads=1, seconds=60)
    places: list[bool] = []

    def heavy(session: Session) -> None:
        places.append(session._in_loop)
        session.leave_loop()

    for _ in range(_TRUST + 2):
        await readers.run(heavy, shape=lambda: ("a",))

    assert places == [True, *[False] * (_TRUST + 2)]
    await readers.close()


@pytest.mark.parametrize("works", [True, False])
async def test_work_that_waited_for_a_processor_is_tried_again_and_work_that_used_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, works: bool
) -> None:
    monkeypatch.setattr(reader, "INLINE_SECONDS", 0.02)
    readers = Readers(lambda: schema.connect(tmp_path / "x.sqlite"), threads=1, seconds=60)
    places: list[bool] = []

    def slow(session: Session) -> None:
        places.append(session._in_loop)
        began = time.thread_time()
        while works and time.thread_time() - began < 0.03:
            pass
        time.sleep(0.03)
        session.check()

    for _ in range(2):
        await readers.run(slow, shape=lambda: ("a",))

    assert places == ([True, False, False] if works else [True, False, True, False])
    await readers.close()
