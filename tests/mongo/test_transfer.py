"""A SQLite store is taken over into MongoDB: every version, consents, accounts; stopped, it goes on."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from fhir_server.faults import Fault, Kind
from fhir_server.search.predicate import EVERYTHING, TokenIs, Where
from fhir_server.search.query import Query, Sort
from fhir_server.store.api import HistoryQuery, Reclass, Slice
from fhir_server.store.mongo.schema import MOST_INLINE
from fhir_server.store.mongo.store import MongoStore
from fhir_server.store.sqlite.store import SqliteStore
from fhir_server.store.state import Put
from fhir_server.store.transfer import Kept, Reached, differences, transfer
from tests.contract.store_world import ALL, change, drop_store, open_mongo, open_sqlite, put


@pytest.fixture
async def old(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = open_sqlite(tmp_path)
    await fill(store)
    yield store
    await store.close()


@pytest.fixture
async def new(tmp_path: Path) -> AsyncIterator[MongoStore]:
    store = await open_mongo(tmp_path)
    yield store
    await store.close()
    drop_store("mongodb", tmp_path)


async def fill(store: Any) -> None:
    """Versions of three resources, one that moves to another patient, one deleted, consents, accounts."""
    await put(store, change("Patient", "a", text="first"), change("Patient", "b"))
    about = {"patients": ["a"], "references": [("subject", "Patient/a")]}
    await put(store, change("Observation", "moved", tokens=[("code", "s", "old")], **about))
    moved = {"patients": ["b"], "references": [("subject", "Patient/b")]}
    await put(store, change("Observation", "moved", 2, tokens=[("code", "s", "new")], **moved))
    await put(store, change("Observation", "gone", **about), change("Patient", "a", 2, text="second"))
    await put(store, change("Observation", "gone", 2, "DELETE"))
    await put(store, change("Observation", "late", tokens=[("code", "s", "new")], clinical=5))
    slices = (Slice(0, 2**50, b"rule one"),)
    await store.commit([], (), [Reclass("a", 0, slices, b"note"), Reclass("b", 0, (Slice(0, 9, b"two"),))])
    await store.state.apply([Put("client", "c", b"body", 0, tags=("t",)), Put("user", "u", b"me", 0)])


async def take_over(old: SqliteStore, new: MongoStore) -> int:
    origin = old.origin()
    return await transfer(origin, new.destination, await new.destination.begin(await origin.newest()))


async def found(store: Any, query: Query) -> list[tuple[str, int, bytes]]:
    page = await store.search(ALL, query)
    return [(each.id, each.version, each.body) for each in page.matches]


async def test_both_hold_the_same_afterwards(old: SqliteStore, new: MongoStore) -> None:
    assert await take_over(old, new) == 8
    assert await differences(old.origin(), new.destination) == []
    assert await new.check() == []


async def test_searches_histories_and_standings_are_answered_as_before(
    old: SqliteStore, new: MongoStore
) -> None:
    await take_over(old, new)

    for query in (
        Query("Observation"),
        Query("Patient"),
        Query("Observation", Where("code", TokenIs("s", "new"))),
        Query("Observation", Where("code", TokenIs("s", "old"))),
        Query("Observation", EVERYTHING, sort=(Sort("date", descending=True),)),
    ):
        assert await found(new, query) == await found(old, query), query
    for history in (HistoryQuery(None), HistoryQuery("Observation", "moved"), HistoryQuery("Patient", "a")):
        assert (await new.history(ALL, history)).versions == (await old.history(ALL, history)).versions
    assert await new.policies.standing(["a", "b"]) == await old.policies.standing(["a", "b"])
    assert await new.policies.classes(["a", "b"]) == {"a": 1, "b": 0}
    assert await new.policies.rules() == await old.policies.rules()
    assert (await new.state.find("client", "t"))[0].body == b"body"


async def test_the_store_is_written_to_as_if_it_had_always_been_there(
    old: SqliteStore, new: MongoStore
) -> None:
    await take_over(old, new)
    await new.destination.finish()

    await put(new, change("Observation", "moved", 3), change("Observation", "gone", 3))
    await put(new, change("Patient", "c"))
    await new.commit([], (), [Reclass("a", 1, (Slice(0, 9, b"three"),))])
    assert [each.id for each in (await new.search(ALL, Query("Patient"))).matches] == ["a", "b", "c"]
    assert [number for number, _ in await new.policies.rules()] == [1, 2, 3]
    newest = (await new.history(ALL, HistoryQuery(None, count=3))).versions
    assert {(each.id, each.version) for each in newest} == {("c", 1), ("moved", 3), ("gone", 3)}
    assert await new.check() == []


async def test_what_came_in_an_earlier_attempt_is_taken_once(old: SqliteStore, new: MongoStore) -> None:
    await take_over(old, new)
    await new.destination.take([each async for chunk in old.origin().versions() for each in chunk])
    await take_over(old, new)

    assert await differences(old.origin(), new.destination) == []
    assert await new.check() == []


async def test_one_that_was_stopped_goes_on_though_the_old_store_was_written_to(
    old: SqliteStore, new: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fhir_server.store.sqlite.origin._CHUNK", 3)
    taken, take = 0, new.destination.take

    async def stopping(versions: Sequence[Kept], reached: Reached | None = None) -> None:
        nonlocal taken
        taken += 1
        if taken > 2:
            raise KeyboardInterrupt
        await take(versions, reached)

    with monkeypatch.context() as patch:
        patch.setattr(new.destination, "take", stopping)
        with pytest.raises(KeyboardInterrupt):
            await take_over(old, new)
    # Version 2 of it was the current one when it was taken, and lay with the other patient.
    back = {"patients": ["a"], "references": [("subject", "Patient/a")]}
    await put(old, change("Observation", "moved", 3, **back), change("Patient", "b", 2, "DELETE"))

    assert await new.destination.is_unfinished()
    assert await take_over(old, new) == 4
    assert await differences(old.origin(), new.destination) == []
    assert await new.check() == []


async def test_a_payload_too_large_for_a_document_is_taken_once(old: SqliteStore, new: MongoStore) -> None:
    # Random text, which no compression makes small.
    await put(old, change("Binary", "large", text=secrets.token_hex(MOST_INLINE + 1)))
    await take_over(old, new)
    await take_over(old, new)

    assert await differences(old.origin(), new.destination) == []
    assert await new.check() == []


async def test_a_store_that_is_in_use_is_refused_and_stays_as_it_was(
    old: SqliteStore, new: MongoStore
) -> None:
    await put(new, change("Patient", "mine"))

    with pytest.raises(Fault) as refused:
        await take_over(old, new)
    assert refused.value.kind is Kind.CONFLICT
    assert [each.id for each in (await new.search(ALL, Query("Patient"))).matches] == ["mine"]
    assert not await new.destination.is_unfinished()


async def test_a_server_that_is_there_already_writes_nothing_until_it_is_finished(
    old: SqliteStore, new: MongoStore, tmp_path: Path
) -> None:
    server = await open_mongo(tmp_path)
    try:
        reached = await new.destination.begin(await old.origin().newest())

        for write in (
            put(server, change("Patient", "early")),
            server.state.apply([Put("client", "early", b"", 0)]),
            server.commit([], (), [Reclass("early", 0, (Slice(0, 9, b"one"),))]),
        ):
            with pytest.raises(Fault, match="migrate") as refused:
                await write
            assert refused.value.kind is Kind.UNAVAILABLE
        await transfer(old.origin(), new.destination, reached)
        assert await differences(old.origin(), new.destination) == []
        await new.destination.finish()

        await put(server, change("Patient", "late"))
        assert await server.read(ALL, "Patient", "early") is None
        assert await server.read(ALL, "Patient", "late") is not None
    finally:
        await server.close()


async def test_a_store_that_is_in_use_is_not_held_off(old: SqliteStore, new: MongoStore) -> None:
    await put(new, change("Patient", "mine"))

    with pytest.raises(Fault, match="in use"):
        await new.destination.begin(await old.origin().newest())

    await put(new, change("Patient", "mine", 2))


async def test_one_that_is_finished_is_not_begun_again(old: SqliteStore, new: MongoStore) -> None:
    await take_over(old, new)
    await new.destination.finish()

    with pytest.raises(Fault, match="in use"):
        await take_over(old, new)


async def test_what_is_missing_is_a_difference(old: SqliteStore, new: MongoStore) -> None:
    await take_over(old, new)
    await new._tools.engine.db.get_collection("history").delete_one({})
    await new._tools.engine.db.get_collection("standing").delete_one({})

    told = await differences(old.origin(), new.destination)
    assert len(told) == 2
    assert any("standings there" in each for each in told)
