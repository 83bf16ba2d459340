"""What reading promises: nothing without a right to see it, counts and pages included."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.search.predicate import EVERYTHING, NOTHING, Chain, Has, IdIn, TokenIs, Where
from fhir_server.search.query import Query
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import HistoryQuery
from tests.contract.store_world import ALL, change, put

OPEN = Where("label", TokenIs("s", "open"))
ONLY_OPEN = Visibility("test", default=OPEN)


@pytest.fixture
async def some(store: Any) -> Any:
    """Resources that were always open, were opened, were closed, deleted or always secret."""
    is_open, secret = [["label", "s", "open"]], [["label", "s", "secret"]]
    await put(store, *(change("Patient", id_, tokens=is_open) for id_ in ("open", "closing", "deleted")))
    await put(store, *(change("Patient", id_, tokens=secret) for id_ in ("opening", "secret", "gone")))
    await put(store, change("Patient", "closing", 2, tokens=secret))
    await put(store, change("Patient", "opening", 2, tokens=is_open))
    await put(store, change("Patient", "deleted", 2, "DELETE"), change("Patient", "gone", 2, "DELETE"))
    return store


async def test_reads_the_current_version_when_it_may_be_seen(some: Any) -> None:
    seen = {
        id_: await some.read(ONLY_OPEN, "Patient", id_)
        for id_ in ("open", "opening", "closing", "secret", "deleted", "gone", "never")
    }

    assert {id_ for id_, stored in seen.items() if stored} == {"open", "opening", "deleted"}
    assert seen["deleted"].deleted


async def test_reads_a_version_as_it_was_then(some: Any) -> None:
    expected = {
        ("open", 1): True,
        ("open", 2): False,
        ("opening", 1): False,
        ("opening", 2): True,
        ("closing", 1): True,
        ("closing", 2): False,
        ("deleted", 1): True,
        ("deleted", 2): True,
        ("gone", 2): False,
        ("never", 1): False,
    }

    for (id_, version), visible in expected.items():
        stored = await some.read_version(ONLY_OPEN, "Patient", id_, version)
        assert (stored is not None) is visible, (id_, version)
        assert stored is None or stored.version == version


async def test_reads_many_in_order_and_each_once(some: Any) -> None:
    keys = [("Patient", id_) for id_ in ("opening", "secret", "open", "opening", "never", "deleted")]

    everything = await some.read_many(ALL, keys)
    visible = await some.read_many(ONLY_OPEN, keys)

    assert [stored.id for stored in everything] == ["opening", "secret", "open"]
    assert [stored.id for stored in visible] == ["opening", "open"]
    assert await some.read_many(ALL, []) == []


async def test_totals_and_pages_count_only_what_may_be_seen(some: Any) -> None:
    page = await some.search(ONLY_OPEN, Query("Patient", count=1, total="accurate"))
    rest = await some.search(ONLY_OPEN, Query("Patient", count=1, after=page.next))

    assert [match.id for match in (*page.matches, *rest.matches)] == ["open", "opening"]
    assert page.total == 2
    assert rest.next is None


async def test_counts_without_matches_when_none_are_wanted(some: Any) -> None:
    page = await some.search(ALL, Query("Patient", count=0, total="accurate"))

    assert (page.matches, page.total, page.next) == ([], 4, None)


async def test_nothing_visible_is_not_everything(some: Any) -> None:
    nothing = Visibility("test", default=NOTHING)

    assert await some.read(nothing, "Patient", "open") is None
    assert (await some.search(nothing, Query("Patient", total="accurate"))).total == 0
    assert (await some.history(nothing, HistoryQuery("Patient"))).total == 0
    assert [each async for each in some.scan(nothing)] == []


async def test_a_hop_to_a_hidden_resource_does_not_exist(store: Any) -> None:
    await put(
        store,
        change("Patient", "seen", tokens=[["label", "s", "open"], ["code", "s", "a"]]),
        change("Patient", "hidden", tokens=[["code", "s", "a"]]),
        change("Observation", "1", references=[["subject", "Patient/seen"]], tokens=[["code", "s", "a"]]),
        change("Observation", "2", references=[["subject", "Patient/hidden"]], tokens=[["code", "s", "a"]]),
    )
    only_open_patients = Visibility("test", {"Patient": OPEN}, EVERYTHING)
    no_observations = Visibility("test", {"Observation": NOTHING}, EVERYTHING)
    code = Where("code", TokenIs("s", "a"))
    chain = Query("Observation", Chain("subject", "Patient", code))
    has = Query("Patient", Has("Observation", "subject", code))

    async def ids(visibility: Visibility, query: Query) -> list[str]:
        return [match.id for match in (await store.search(visibility, query)).matches]

    assert await ids(ALL, chain) == ["1", "2"]
    assert await ids(only_open_patients, chain) == ["1"]
    assert await ids(ALL, has) == ["seen", "hidden"]
    assert await ids(only_open_patients, has) == ["seen"]
    assert await ids(no_observations, has) == []


async def test_scans_what_may_be_seen_of_one_type_or_of_all(some: Any) -> None:
    await put(some, *(change("Group", f"g{number}") for number in range(450)))

    assert len([each async for each in some.scan(ALL)]) == 454
    assert [each.id async for each in some.scan(ALL, "Group")] == [f"g{number}" for number in range(450)]
    assert [each.id async for each in some.scan(ONLY_OPEN)] == ["open", "opening"]
    assert [each async for each in some.scan(ALL, "Device")] == []


async def test_finds_by_many_ids(store: Any) -> None:
    await put(store, *(change("Patient", f"p{number}") for number in range(30)))
    ids = tuple(f"p{number}" for number in range(0, 3000, 7))

    page = await store.search(ALL, Query("Patient", IdIn(ids)))

    assert [match.id for match in page.matches] == ["p0", "p7", "p14", "p21", "p28"]


async def test_facts_count_current_resources_and_all_versions(some: Any) -> None:
    facts = await some.facts()

    assert facts.resources == {"Patient": 4}
    assert facts.versions == 10
    assert facts.size > 10_000


async def test_is_ready_while_open(store: Any) -> None:
    assert await store.ready()


async def test_what_may_be_seen_by_a_new_parameter_is_seen_at_once(store: Any) -> None:
    """The first resource that has a value at all, after a read that found none."""
    by_label = Visibility("test", {"Patient": OPEN})
    await put(store, change("Patient", "a"), change("Patient", "b", tokens=[["other", "s", "a"]]))
    assert [await store.read(by_label, "Patient", id_) for id_ in ("a", "a", "none")] == [None] * 3

    await put(store, change("Patient", "c", tokens=[["label", "s", "open"]]))
    await put(store, change("Patient", "d", tokens=[["label", "s", "closed"]]))

    assert (await store.read(by_label, "Patient", "c")).id == "c"
    assert await store.read(by_label, "Patient", "d") is None
    assert await store.read(by_label, "Patient", "a") is None
    await put(store, change("Patient", "c", 2, tokens=[["label", "s", "closed"]]))
    assert await store.read(by_label, "Patient", "c") is None
