"""What a commit promises: versions compared, conditions kept, all or nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fhir_server.faults import Fault, Kind
from fhir_server.search.predicate import EVERYTHING, TokenIs, Where
from fhir_server.search.query import Query
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import Expectation, Stale, StillReferenced, Unreferenced
from tests.contract.store_world import ALL, change, put

CODE_A = Where("code", TokenIs("s", "a"))


async def found(store: Any, where: Any = EVERYTHING, type_: str = "Patient") -> list[str]:
    page = await store.search(ALL, Query(type_, where, count=50, total="accurate"))
    assert page.total == len(page.matches)
    return [match.id for match in page.matches]


async def test_gives_back_the_bytes_that_were_committed(store: Any) -> None:
    made = change("Patient", "p1", text="张三 — 1.10", method="POST", updated=1234)
    await put(store, made)

    stored = await store.read(ALL, "Patient", "p1")

    assert (stored.body, stored.version, stored.updated, stored.method) == (made.body, 1, 1234, "POST")
    assert not stored.deleted


async def test_knows_nothing_of_what_was_never_committed(store: Any) -> None:
    store.prepare(change("Patient", "p1"))

    assert await store.read(ALL, "Patient", "p1") is None
    assert await found(store) == []


async def test_refuses_a_create_over_an_existing_resource(store: Any) -> None:
    await put(store, change("Patient", "p1", text="first"))

    with pytest.raises(Stale):
        await put(store, change("Patient", "p1", text="second"))

    assert b"first" in (await store.read(ALL, "Patient", "p1")).body


@pytest.mark.parametrize("version", [1, 2, 4])
async def test_refuses_an_update_of_another_version_than_the_current(store: Any, version: int) -> None:
    await put(store, change("Patient", "p1"))
    await put(store, change("Patient", "p1", 2))

    with pytest.raises(Stale):
        await put(store, change("Patient", "p1", version))

    assert (await store.read(ALL, "Patient", "p1")).version == 2


async def test_refuses_to_update_or_delete_what_is_not_there(store: Any) -> None:
    for made in (change("Patient", "p1", 2), change("Patient", "p1", 1, "DELETE")):
        with pytest.raises(Stale):
            await put(store, made)


async def test_an_update_moves_the_index(store: Any) -> None:
    await put(store, change("Patient", "p1", tokens=[["code", "s", "a"], ["code", "s", "b"]]))
    await put(store, change("Patient", "p1", 2, tokens=[["code", "s", "b"], ["code", "s", "c"]]))

    assert await found(store, CODE_A) == []
    assert await found(store, Where("code", TokenIs("s", "b"))) == ["p1"]
    assert await found(store, Where("code", TokenIs("s", "c"))) == ["p1"]


async def test_a_deletion_leaves_the_index_and_stays_readable_as_such(store: Any) -> None:
    await put(store, change("Patient", "p1", tokens=[["code", "s", "a"]]))
    await put(store, change("Patient", "p1", 2, "DELETE"))

    stored = await store.read(ALL, "Patient", "p1")

    assert (stored.deleted, stored.version, stored.body, stored.id) == (True, 2, b"", "p1")
    assert await found(store, CODE_A) == await found(store) == []


async def test_a_deleted_resource_can_be_made_again(store: Any) -> None:
    await put(store, change("Patient", "p1"))
    await put(store, change("Patient", "p1", 2, "DELETE"))
    await put(store, change("Patient", "p1", 3, tokens=[["code", "s", "a"]]))

    assert await found(store, CODE_A) == ["p1"]
    assert (await store.read(ALL, "Patient", "p1")).version == 3


async def test_one_stale_change_undoes_the_whole_commit(store: Any) -> None:
    await put(store, change("Patient", "p1"))

    with pytest.raises(Stale):
        await put(store, change("Patient", "new"), change("Patient", "p1"), change("Group", "new"))

    assert await store.read(ALL, "Patient", "new") is None
    assert await found(store) == ["p1"]


async def test_a_failing_commit_undoes_none_of_its_neighbours(store: Any) -> None:
    await put(store, change("Patient", "p0"))
    ids = [f"n{number}" if number % 3 else "p0" for number in range(30)]

    outcomes = await asyncio.gather(
        *(put(store, change("Patient", id_)) for id_ in ids), return_exceptions=True
    )

    assert [isinstance(outcome, Stale) for outcome in outcomes] == [id_ == "p0" for id_ in ids]
    assert sorted(await found(store)) == sorted(set(ids))


async def test_of_concurrent_updates_exactly_one_wins(store: Any) -> None:
    await put(store, change("Patient", "p1"))

    tries = [put(store, change("Patient", "p1", 2, text=f"try {number}")) for number in range(20)]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)

    assert [outcome for outcome in outcomes if outcome is None] == [None]
    assert sum(isinstance(outcome, Stale) for outcome in outcomes) == 19


async def test_refuses_one_commit_that_changes_a_resource_twice(store: Any) -> None:
    with pytest.raises(Fault) as fault:
        await put(store, change("Patient", "p1"), change("Patient", "p1", 2))

    assert fault.value.kind is Kind.CONFLICT
    assert await found(store) == []


async def test_commits_while_an_expectation_holds(store: Any) -> None:
    await put(store, change("Patient", "p1", tokens=[["code", "s", "a"]]))

    await store.commit([store.prepare(change("Group", "g"))], [Expectation("Patient", CODE_A, ALL, ("p1",))])

    assert await found(store, type_="Group") == ["g"]


@pytest.mark.parametrize("expected", [(), ("p2",), ("p1", "p2")])
async def test_is_stale_when_an_expectation_fails(store: Any, expected: tuple[str, ...]) -> None:
    await put(store, change("Patient", "p1", tokens=[["code", "s", "a"]]), change("Patient", "p2"))

    with pytest.raises(Stale):
        await store.commit(
            [store.prepare(change("Group", "g"))], [Expectation("Patient", CODE_A, ALL, expected)]
        )

    assert await found(store, type_="Group") == []


async def test_an_expectation_sees_only_what_its_caller_may_see(store: Any) -> None:
    await put(store, change("Patient", "p1", tokens=[["code", "s", "a"]]))
    blind = Visibility("test", default=Where("code", TokenIs("s", "b")))

    await store.commit([store.prepare(change("Group", "g"))], [Expectation("Patient", CODE_A, blind, ())])

    assert await found(store, type_="Group") == ["g"]


async def test_of_concurrent_conditional_creates_exactly_one_wins(store: Any) -> None:
    nobody = Expectation("Patient", CODE_A, ALL, ())
    tries = [
        store.commit([store.prepare(change("Patient", f"p{n}", tokens=[["code", "s", "a"]]))], [nobody])
        for n in range(12)
    ]

    outcomes = await asyncio.gather(*tries, return_exceptions=True)

    assert sum(outcome is None for outcome in outcomes) == 1
    assert len(await found(store, CODE_A)) == 1


async def test_refuses_to_delete_what_is_still_referred_to(store: Any) -> None:
    await put(store, change("Patient", "p1"))
    await put(store, change("Observation", "o1", references=[["subject", "Patient/p1"]]))
    gone = store.prepare(change("Patient", "p1", 2, "DELETE"))

    with pytest.raises(StillReferenced) as still:
        await store.commit([gone], [Unreferenced("Patient", "p1")])

    assert (still.value.target, still.value.referrer) == ("Patient/p1", "Observation/o1")
    assert await found(store) == ["p1"]


async def test_deletes_together_with_the_last_referrer(store: Any) -> None:
    await put(store, change("Patient", "p1"))
    await put(store, change("Observation", "o1", references=[["subject", "Patient/p1"]]))
    both = [change("Patient", "p1", 2, "DELETE"), change("Observation", "o1", 2, "DELETE")]

    await store.commit([store.prepare(each) for each in both], [Unreferenced("Patient", "p1")])

    assert await found(store) == []


async def test_refuses_every_commit_after_close(store: Any) -> None:
    prepared = store.prepare(change("Patient", "p1"))
    await store.close()
    await store.close()

    with pytest.raises(Fault) as fault:
        await store.commit([prepared])

    assert fault.value.kind is Kind.UNAVAILABLE
    assert not await store.ready()
