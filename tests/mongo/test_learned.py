"""A MongoDB store learns a compression dictionary from its own records, and every process knows it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fhir_server.crypto.envelope import FIRST_LEARNED
from fhir_server.crypto.keys import KeyRing
from fhir_server.store.mongo.dictionaries import LEARNED, fetch
from fhir_server.store.mongo.schema import DICTIONARY, META
from tests.contract.store_world import ALL, a_store, change, database_of, open_mongo, put
from tests.mongo import engine

_TEXT = "A sentence that stands in every record of the hospital, and is long enough to be worth sharing."


async def write(store: Any, first: int, count: int) -> None:
    numbers = range(first, first + count)
    await put(
        store, *(change("Observation", f"o{n}", text=f"{_TEXT} {n}", patients=[f"p{n}"]) for n in numbers)
    )


async def by_dictionary(store: Any) -> dict[int, int]:
    """Return how many current versions are sealed with each dictionary."""
    rows = await store._tools.engine.db.get_collection("resource").find({}, {"b": 1}).to_list()
    found: dict[int, int] = {}
    for row in rows:
        found[row["b"][0]] = found.get(row["b"][0], 0) + 1
    return found


async def reached(store: Any, versions: int) -> None:
    async with asyncio.timeout(30):
        meta = store._tools.engine.db.get_collection(META)
        while await meta.find_one({"_id": LEARNED, "versions": versions}) is None:  # noqa: ASYNC110 - a thread's work
            await asyncio.sleep(0.05)
        while store._learner._task is not None:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)


@pytest.fixture
async def taught(tmp_path: Path) -> AsyncIterator[Any]:
    """Open a store that has learned from its first 200 records and holds 20 more."""
    async with a_store("mongodb-standard", tmp_path, learning=(200, 230)) as store:
        await write(store, 0, 200)
        await reached(store, 200)
        await write(store, 200, 20)
        yield store


async def test_what_is_written_after_it_learned_is_smaller_and_all_is_read(taught: Any) -> None:
    assert await by_dictionary(taught) == {1: 200, FIRST_LEARNED: 20}

    rows = await taught._tools.engine.db.get_collection("resource").find({}, {"b": 1}).to_list()
    sizes = {
        learned: [len(row["b"]) for row in rows if (row["b"][0] == FIRST_LEARNED) is learned]
        for learned in (True, False)
    }
    assert max(sizes[True]) < min(sizes[False])
    for n in (0, 199, 200, 219):
        stored = await taught.read(ALL, "Observation", f"o{n}")
        assert f"{_TEXT} {n}".encode() in stored.body


async def test_another_process_reads_what_was_sealed_with_it_and_seals_with_it(
    tmp_path: Path,
) -> None:
    async with a_store("mongodb-standard", tmp_path, learning=(200,)) as store:
        other: Any = await open_mongo(tmp_path, learning=())
        await write(store, 0, 200)
        await reached(store, 200)
        await write(store, 200, 1)

        # It was open before there was a dictionary.
        assert (await other.read(ALL, "Observation", "o200")) is not None
        await write(other, 300, 1)
        assert await by_dictionary(store) == {1: 200, FIRST_LEARNED: 2}
        await other.close()


@pytest.mark.usefixtures("taught")
async def test_it_is_known_after_a_restart(tmp_path: Path) -> None:
    again: Any = await open_mongo(tmp_path, learning=())
    await write(again, 300, 1)

    assert (await by_dictionary(again))[FIRST_LEARNED] == 21
    await again.close()


@pytest.mark.parametrize(
    ("share", "numbers"), [(0.96, [FIRST_LEARNED]), (0.94, [FIRST_LEARNED, FIRST_LEARNED + 1])]
)
async def test_a_second_one_is_kept_only_if_it_is_worth_it(
    taught: Any, monkeypatch: pytest.MonkeyPatch, share: float, numbers: list[int]
) -> None:
    monkeypatch.setattr(taught._tools.envelope, "shrinks", lambda *_: share)

    await write(taught, 300, 10)
    await reached(taught, 230)

    rows = await taught._tools.engine.db.get_collection(DICTIONARY).find({}, {"_id": 1}).to_list()
    assert sorted(row["_id"] for row in rows) == numbers


async def test_it_follows_a_rotation_of_the_keys_and_the_old_key_goes(taught: Any, tmp_path: Path) -> None:
    KeyRing.load(tmp_path / "keys").rotate()

    await taught.reseal()

    assert await taught.retire() == (1,)
    assert await by_dictionary(taught) == {FIRST_LEARNED: 220}
    again: Any = await open_mongo(tmp_path)
    assert (await again.read(ALL, "Observation", "o0")) is not None
    await again.close()


async def test_a_dictionary_that_is_not_there_is_not_found(taught: Any, tmp_path: Path) -> None:
    name = database_of(tmp_path)
    envelope = taught._tools.envelope

    assert fetch(engine.address(name), name, envelope, FIRST_LEARNED + 1) is None
    assert fetch(engine.address(name), name, envelope, FIRST_LEARNED) is not None
