"""A store learns a compression dictionary from its own records, and keeps it sealed."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from fhir_server.crypto.envelope import FIRST_LEARNED
from fhir_server.crypto.keys import KeyRing
from fhir_server.store.sqlite.store import FILE
from tests.contract.store_world import ALL, change, open_sqlite, put

_TEXT = "A sentence that stands in every record of the hospital, and is long enough to be worth sharing."


async def write(store: Any, first: int, count: int) -> None:
    numbers = range(first, first + count)
    await put(
        store, *(change("Observation", f"o{n}", text=f"{_TEXT} {n}", patients=[f"p{n}"]) for n in numbers)
    )


def rows(folder: Path, statement: str) -> list[Any]:
    connection = sqlite3.connect(folder / "data" / FILE)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


def dictionaries(folder: Path) -> list[int]:
    """Return the number of the dictionary that each version is sealed with, oldest first."""
    return [first[0] for (first,) in rows(folder, "SELECT substr(payload, 1, 1) FROM version ORDER BY rk")]


async def learned(folder: Path, number: int = FIRST_LEARNED) -> None:
    async with asyncio.timeout(20):
        while (number,) not in rows(folder, "SELECT number FROM dictionary"):  # noqa: ASYNC110 - a thread's work
            await asyncio.sleep(0.01)


async def taught(folder: Path, suite: str = "standard", **options: Any) -> Any:
    """Return a store that has learned from its first 200 records and holds 20 more."""
    store = open_sqlite(folder, suite, **{"learning": (200,), **options})
    await write(store, 0, 200)
    await learned(folder)
    await asyncio.sleep(0.05)
    await write(store, 200, 20)
    return store


@pytest.mark.parametrize("suite", ["standard", "guomi"])
async def test_what_is_written_after_it_learned_is_smaller_and_all_is_read(
    tmp_path: Path, suite: str
) -> None:
    store = await taught(tmp_path, suite)

    sizes = [size for (size,) in rows(tmp_path, "SELECT length(payload) FROM version ORDER BY rk")]
    assert max(sizes[200:]) < min(sizes[:200])
    assert dictionaries(tmp_path) == [1] * 200 + [FIRST_LEARNED] * 20
    for n in (0, 199, 200, 219):
        stored = await store.read(ALL, "Observation", f"o{n}")
        assert f"{_TEXT} {n}".encode() in stored.body
    assert await store.check() == []
    await store.close()


async def test_a_store_below_the_schedule_learns_nothing(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path, learning=(200,))
    await write(store, 0, 199)
    await asyncio.sleep(0.1)

    assert rows(tmp_path, "SELECT count(*) FROM dictionary") == [(0,)]
    assert set(dictionaries(tmp_path)) == {1}
    await store.close()


async def test_it_is_known_after_a_restart(tmp_path: Path) -> None:
    await (await taught(tmp_path)).close()

    store = open_sqlite(tmp_path, learning=(200,))
    await write(store, 300, 1)

    assert dictionaries(tmp_path)[-1] == FIRST_LEARNED
    assert (await store.read(ALL, "Observation", "o219")) is not None
    await store.close()


async def test_another_process_reads_what_was_sealed_with_it(tmp_path: Path) -> None:
    other = open_sqlite(tmp_path, learning=())

    store = await taught(tmp_path)

    assert (await other.read(ALL, "Observation", "o219")) is not None
    await write(other, 300, 1)
    assert dictionaries(tmp_path)[-1] == FIRST_LEARNED
    await other.close()
    await store.close()


@pytest.mark.parametrize(
    ("share", "numbers"), [(0.96, [FIRST_LEARNED]), (0.94, [FIRST_LEARNED, FIRST_LEARNED + 1])]
)
async def test_a_second_one_is_kept_only_if_it_is_worth_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float, numbers: list[int]
) -> None:
    store = await taught(tmp_path, learning=(200, 230))
    monkeypatch.setattr(store._tools.envelope, "shrinks", lambda *_: share)

    await write(store, 300, 10)
    async with asyncio.timeout(20):
        while rows(tmp_path, "SELECT value FROM meta WHERE key='learned'") != [(230,)]:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)

    assert rows(tmp_path, "SELECT number FROM dictionary ORDER BY number") == [(each,) for each in numbers]
    await store.close()


async def test_it_follows_a_rotation_of_the_keys_and_the_old_key_goes(tmp_path: Path) -> None:
    store = await taught(tmp_path)
    KeyRing.load(tmp_path / "keys").rotate()

    await store.reseal()

    assert await store.retire() == (1,)
    assert set(dictionaries(tmp_path)) == {FIRST_LEARNED}
    assert rows(tmp_path, "SELECT hex(substr(payload, 1, 3)) FROM dictionary") == [("010002",)]
    await store.close()
    store = open_sqlite(tmp_path, learning=(200,))
    assert (await store.read(ALL, "Observation", "o0")) is not None
    await store.close()


async def test_nothing_of_it_shows_in_the_files(tmp_path: Path) -> None:
    store = await taught(tmp_path)
    await store.close()

    held = b"".join(path.read_bytes() for path in (tmp_path / "data").iterdir())

    assert b"sentence" not in held
    assert b"Observation" in held  # the names of types and parameters are no secret


async def test_a_store_may_be_closed_while_it_learns(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path, learning=(200,))
    await write(store, 0, 250)

    await store.close()

    again = open_sqlite(tmp_path, learning=())
    assert await again.check() == []
    await again.close()
