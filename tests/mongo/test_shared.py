"""Policy classes, jobs and state of several processes on one database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fhir_server.search.predicate import Not, Present, Where
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import HistoryQuery, Reclass, Slice, Stale
from fhir_server.store.state import Put, Remove
from fhir_server.store.upkeep import JobUnderWay
from tests.contract.store_world import ALL, a_store, change, open_mongo, put

ALWAYS = (-(10**15), 10**15)


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Any, Any]]:
    """Open two stores on one database, as two processes have them."""
    async with a_store("mongodb-standard", tmp_path) as one:
        other: Any = await open_mongo(tmp_path)
        yield one, other
        await other.close()


async def test_two_processes_that_meet_a_new_rule_give_it_one_number(pair: tuple[Any, Any]) -> None:
    def filed(name: str, rule: bytes) -> Reclass:
        return Reclass(name, 0, (Slice(*ALWAYS, rule),))

    for n in range(5):
        await asyncio.gather(
            *(store.commit([], (), [filed(f"{n}-{at}", b"rule %d" % n)]) for at, store in enumerate(pair))
        )

    rules = await pair[0].policies.rules()
    assert [number for number, _ in rules] == [1, 2, 3, 4, 5]
    assert sorted(rule for _, rule in rules) == [b"rule %d" % n for n in range(5)]
    classes = await pair[1].policies.classes([f"{n}-{at}" for n in range(5) for at in range(2)])
    assert all(classes[f"{n}-0"] == classes[f"{n}-1"] for n in range(5))
    assert (await pair[0].stamps()).classes == 5


async def test_two_processes_that_number_different_rules_use_no_number_twice(pair: tuple[Any, Any]) -> None:
    await asyncio.gather(
        *(
            store.commit([], (), [Reclass(f"{at}-{n}", 0, (Slice(*ALWAYS, b"%d %d" % (at, n)),))])
            for at, store in enumerate(pair)
            for n in range(6)
        )
    )

    rules = await pair[0].policies.rules()
    assert [number for number, _ in rules] == list(range(1, 13))
    assert len({rule for _, rule in rules}) == 12


async def test_a_class_is_used_for_as_long_as_somebody_is_or_will_be_in_it(tmp_path: Path) -> None:
    now = 1_000
    async with a_store("mongodb-standard", tmp_path, clock=lambda: now) as store:
        slices = (Slice(0, 500, b"over"), Slice(500, 1_500, b"now"), Slice(1_500, 9_000, b"later"))
        await store.commit([], (), [Reclass("p", 0, slices), Reclass("q", 0, (Slice(0, 1_000, b"over"),))])
        numbers = {rule: number for number, rule in await store.policies.rules()}

        assert await store.policies.used() == {numbers[b"now"], numbers[b"later"]}

        await store.commit([], (), [Reclass("p", 1, ())])
        assert await store.policies.used() == frozenset()


async def test_a_job_is_claimed_by_one_process(pair: tuple[Any, Any]) -> None:
    for n in range(5):
        job = await pair[n % 2].jobs.add("count", {}, n)
        kinds = frozenset({"count"})
        claims = [store.jobs.claim(f"owner {at}", kinds, n, 0) for at, store in enumerate(pair * 3)]
        taken = [each for each in await asyncio.gather(*claims) if each is not None]

        assert [each.id for each in taken] == [job.id]
        await pair[0].jobs.finish(job.id, taken[0].owner, "done", "", n)


async def test_of_two_jobs_of_a_kind_one_is_added(pair: tuple[Any, Any]) -> None:
    adding = [store.jobs.add("count", {}, 1) for store in pair * 2]
    told = await asyncio.gather(*adding, return_exceptions=True)

    [added] = [each for each in told if not isinstance(each, BaseException)]
    refused = [each for each in told if isinstance(each, JobUnderWay)]
    assert len(refused) == 3
    assert {each.id for each in refused} == {added.id}


async def test_a_code_is_used_once_whichever_process_it_is_shown_to(pair: tuple[Any, Any]) -> None:
    await pair[0].state.apply([Put("code", str(n), b"", 0) for n in range(8)])

    async def use(store: Any, n: int) -> bool:
        try:
            await store.state.apply([Remove("code", str(n), 1), Put("token", f"{n}", b"", 0)])
        except Stale:
            return False
        return True

    used = await asyncio.gather(*(use(store, n) for n in range(8) for store in pair))

    assert sum(used) == 8
    assert len(await pair[0].state.of_kind("token")) == 8


async def test_a_revocation_elsewhere_changes_the_stamp_here(pair: tuple[Any, Any]) -> None:
    before = await pair[0].state.stamp()
    assert await pair[0].state.stamp() == before

    await pair[1].state.apply([Put("revoked", "token", b"", None)])

    assert await pair[0].state.stamp() != before


async def test_what_is_told_is_made_of_plain_integers(tmp_path: Path) -> None:
    """The driver's own kind of long integers can be written to no JSON."""
    large = 2**40
    async with a_store("mongodb-standard", tmp_path, clock=lambda: large) as store:
        for first in range(2):
            await put(store, *(change("Patient", f"p{n}", first + 1, updated=large) for n in range(64)))
        await store.commit([], (), [Reclass("p", 0, (Slice(*ALWAYS, b"rule"),))])
        await store.state.apply([Put("a", "b", b"", 0, large + 1)])
        job = await store.jobs.add("count", {}, large)
        history = await store.history(ALL, HistoryQuery("Patient", count=1))
        limited = Visibility("test", {"Patient": Not(Where("none", Present()))})
        narrow = await store.history(limited, HistoryQuery("Patient", count=1))
        [standing] = await store.policies.standing(["p"])
        record, facts, stamps = await store.state.get("a", "b"), await store.facts(), await store.stamps()
        told = {
            "job": (await store.jobs.get(job.id)).created,
            "history": history.next,
            "limited history": narrow.next,
            "version": history.versions[0].updated,
            "rebuild": (await store.parameters.rebuild("Patient")).next,
            "span": standing.spans[0].start,
            "record": record.expires,
            "facts": facts.versions,
            "stamps": stamps.governing,
            "stamp": await store.state.stamp(),
        }

    assert {name: type(each) for name, each in told.items()} == dict.fromkeys(told, int)
