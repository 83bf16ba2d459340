"""Lanes and stamps: what every commit goes through, and what a request asks once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from bson.objectid import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import AutoReconnect
from pymongo.hello import Hello
from pymongo.server_description import ServerDescription

from fhir_server.crypto.keys import KeyRing
from fhir_server.faults import Fault, Kind
from fhir_server.store import moment
from fhir_server.store.api import Stale, Stamps
from fhir_server.store.mongo.client import Engine
from fhir_server.store.mongo.schema import META, PARAMETERS, STAMP
from fhir_server.store.mongo.stamps import LANES, Reading, Shared
from fhir_server.store.state import Put
from tests.contract.store_world import a_store, change, open_mongo, put

KIND = "mongodb-standard"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Any]:
    async with a_store(KIND, tmp_path) as opened:
        yield opened


@pytest.fixture
def asked(store: Any, monkeypatch: pytest.MonkeyPatch) -> list[Reading]:
    """Note each time that the engine is asked for the stamps."""
    noted: list[Reading] = []
    shared: Shared[Reading] = store._tools.stamps._shared
    ask = shared._ask

    async def noting() -> Reading:
        noted.append(await ask())
        return noted[-1]

    monkeypatch.setattr(shared, "_ask", noting)
    return noted


async def test_a_request_asks_once_and_again_after_its_own_process_has_committed(
    store: Any, asked: list[Reading]
) -> None:
    opened = moment.begin()
    for _ in range(3):
        await store.stamps()
        await store.state.stamp()
    assert len(asked) == 1

    await put(store, change("Patient", "p"))
    await store.stamps()
    await store.stamps()
    moment.end(opened)

    assert len(asked) == 2


async def test_outside_a_request_each_question_is_asked(store: Any, asked: list[Reading]) -> None:
    await store.stamps()
    await store.stamps()

    assert len(asked) == 2


async def test_who_asks_at_the_same_time_shares_an_answer_that_was_not_begun_before(
    store: Any, asked: list[Reading]
) -> None:
    first = asyncio.create_task(store.stamps())
    await asyncio.sleep(0)
    await asyncio.gather(*(store.stamps() for _ in range(50)), first)

    assert len(asked) <= 2


async def test_an_answer_that_was_begun_before_the_question_is_not_given() -> None:
    answers = iter(range(10))
    gates = [asyncio.Event(), asyncio.Event()]

    async def ask() -> int:
        number = next(answers)
        await gates[number].wait()
        return number

    shared = Shared(ask)
    early = asyncio.create_task(shared.answer())
    await asyncio.sleep(0.01)
    late = [asyncio.create_task(shared.answer()) for _ in range(3)]
    gates[0].set()
    gates[1].set()

    assert await early == 0
    assert await asyncio.gather(*late) == [1, 1, 1]


async def test_who_gives_up_waiting_takes_the_answer_from_nobody() -> None:
    gate = asyncio.Event()

    async def ask() -> str:
        await gate.wait()
        return "told"

    shared = Shared(ask)
    one, other = asyncio.create_task(shared.answer()), asyncio.create_task(shared.answer())
    await asyncio.sleep(0.01)
    one.cancel()
    gate.set()

    assert await other == "told"
    with pytest.raises(asyncio.CancelledError):
        await one


async def test_what_the_engine_does_not_tell_is_a_fault_and_asked_again(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:

        async def lost(*_: Any) -> Any:
            raise AutoReconnect

        broken.setattr(store._tools.stamps._lanes, "aggregate", lost)
        with pytest.raises(Fault) as fault:
            await store.stamps()

    assert fault.value.kind is Kind.UNAVAILABLE
    assert await store.stamps() == Stamps(0, 0, 0)


async def test_a_new_set_of_parameters_waits_for_the_commits_that_are_under_way(store: Any) -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def slow(session: AsyncClientSession) -> int:
        lane = await store._tools.stamps.enter(session)
        entered.set()
        await go_on.wait()
        generation: int = lane.generation
        return generation

    commit = asyncio.create_task(store._tools.engine.transact(slow))
    await entered.wait()
    writing = asyncio.create_task(store.parameters.write(b"", 0))
    await asyncio.sleep(0.1)
    assert not writing.done()
    go_on.set()

    # Whatever the order in which they came to be: by the old set before, or by the new one.
    generation = await commit
    assert await writing == 1
    assert generation in (0, 1)
    with pytest.raises(Stale):
        await put(store, change("Patient", "late"))


async def test_a_process_that_died_while_it_replaced_the_set_leaves_no_way_around_it(
    store: Any, tmp_path: Path
) -> None:
    await store._tools.engine.db.get_collection(META).insert_one(
        {"_id": PARAMETERS, "generation": 1, "text": b""}
    )
    await put(store, change("Patient", "before"))

    other = await open_mongo(tmp_path)

    lanes = store._tools.engine.db.get_collection(STAMP)
    assert await lanes.count_documents({"generation": 1}) == LANES
    with pytest.raises(Stale):
        await put(store, change("Patient", "late"))
    await other.close()


async def test_a_server_without_the_key_that_seals_now_stores_nothing(tmp_path: Path, store: Any) -> None:
    elsewhere = KeyRing.load(tmp_path / "keys")
    await store._tools.stamps.raise_key(elsewhere.active + 1)

    for write in (put(store, change("Patient", "p")), store.state.apply([Put("a", "b", b"", 0)])):
        with pytest.raises(Fault) as fault:
            await write
        assert fault.value.kind is Kind.UNAVAILABLE

    elsewhere.rotate()
    await put(store, change("Patient", "p"))
    await store.state.apply([Put("a", "b", b"", 0)])


async def test_a_database_without_lanes_is_told_to_be_unprepared(store: Any) -> None:
    lanes = store._tools.engine.db.get_collection(STAMP)
    kept = await lanes.find().to_list()
    await lanes.delete_many({})

    with pytest.raises(Fault) as fault:
        await store.state.apply([Put("a", "b", b"", 0)])

    assert "init" in fault.value.diagnostics
    await lanes.insert_many(kept)


async def test_what_was_remembered_under_another_primary_is_looked_up_again(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = ObjectId(), ObjectId()
    told: list[tuple[Stamps, int | None]] = []
    for leader in (None, one, None, one, other, None, other, one):
        monkeypatch.setattr(Engine, "leader", leader)
        told.append((await store.stamps(), await store.state.stamp()))

    before, *_, after, again = told
    # Whoever has heard of no primary, as while one is being elected, has heard of no other one.
    assert told == [*[before] * 4, *[after] * 3, again]
    assert len({stamps.governing for stamps, _ in told}) == len({state for _, state in told}) == 3
    assert len({(stamps.generation, stamps.classes) for stamps, _ in told}) == 1


async def test_a_primary_is_known_by_its_election(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, election = store._tools.engine, ObjectId()
    hellos: list[dict[str, Any]] = [
        {"setName": "s", "isWritablePrimary": True, "electionId": election},
        {"setName": "s"},
    ]
    servers = {
        n: ServerDescription(("h", n), Hello({"ok": 1, "hosts": [], **each})) for n, each in enumerate(hellos)
    }
    for known, leader in ((servers, election), ({1: servers[1]}, None)):
        client = SimpleNamespace(topology_description=SimpleNamespace(server_descriptions=lambda k=known: k))
        monkeypatch.setattr(engine, "client", client)
        assert engine.leader == leader
    monkeypatch.undo()
