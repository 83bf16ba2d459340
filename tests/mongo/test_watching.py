"""Change streams: what another process adds is noticed at once, and later where the stream was lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pymongo.errors import AutoReconnect, OperationFailure

from fhir_server.crypto.envelope import FIRST_LEARNED
from fhir_server.crypto.keys import KeyFault
from fhir_server.store.mongo import watching
from fhir_server.store.mongo.schema import DICTIONARY
from fhir_server.store.sealed import DICTIONARY as BOUND
from tests.contract.store_world import a_store, open_mongo

LONG = 30.0


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Any, Any]]:
    """Open two stores on one database, of which the first watches."""
    async with a_store("mongodb-standard", tmp_path) as one:
        other: Any = await open_mongo(tmp_path)
        await one.jobs.added(0.5)
        yield one, other
        await other.close()


async def learn(store: Any, number: int) -> None:
    """Write down a dictionary as a process does that has learned one."""
    # A dictionary of raw content is as good as a trained one here.
    payload = store._tools.envelope.seal_plainly(BOUND, number, 0, bytes(range(256)) * 8)
    rows = store._tools.engine.db.get_collection(DICTIONARY)
    await rows.insert_one({"_id": number, "p": payload})


async def known(store: Any, number: int) -> None:
    async with asyncio.timeout(LONG):
        while store._tools.envelope.header[0] != number:  # noqa: ASYNC110 - another task's work
            await asyncio.sleep(0.02)


async def test_a_job_that_another_process_adds_is_noticed_before_the_next_look(pair: Any) -> None:
    one, other = pair
    waiting = asyncio.create_task(one.jobs.added(LONG))
    await asyncio.sleep(0.1)
    assert not waiting.done()

    await other.jobs.add("reindex", {}, 1)

    async with asyncio.timeout(LONG / 2):
        await waiting


async def test_a_job_that_was_added_before_anybody_waited_is_not_missed(pair: Any) -> None:
    one, _ = pair
    await one.jobs.add("reindex", {}, 1)

    async with asyncio.timeout(LONG / 2):
        await one.jobs.added(LONG)


async def test_without_a_job_the_time_passes(pair: Any) -> None:
    one, _ = pair

    await one.jobs.added(0.05)


async def test_a_dictionary_that_another_process_has_learned_is_adopted(pair: Any) -> None:
    one, other = pair

    await learn(other, FIRST_LEARNED)

    await known(one, FIRST_LEARNED)


@pytest.mark.parametrize(
    "error", [AutoReconnect(), OperationFailure("lost", 286), KeyFault("The key 2 is not here.")]
)
async def test_what_was_missed_while_the_stream_was_lost_is_asked_for(
    pair: Any, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    one, other = pair
    monkeypatch.setattr(watching, "_PAUSE_SECONDS", 0.05)
    watcher = one._watcher
    watcher._task.cancel()
    lost = asyncio.Event()

    async def failing() -> None:
        if not lost.is_set():
            await learn(other, FIRST_LEARNED)
            lost.set()
        raise error

    monkeypatch.setattr(watcher, "_follow", failing)
    watcher._task = None
    await one.jobs.added(LONG)

    await known(one, FIRST_LEARNED)
    assert lost.is_set()
