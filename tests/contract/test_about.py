"""Conditions on policy classes: what the store finds is what ``search/match.py`` says, at every instant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.search.match import Catalog
from fhir_server.search.predicate import (
    EVERYTHING,
    About,
    Chain,
    Not,
    TokenIs,
    Where,
)
from fhir_server.search.query import Query
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import HistoryQuery, Reclass, Slice
from tests.contract.about_world import INSTANTS, Classed, House, consents, opened, settle
from tests.contract.store_world import ALL, ENGINES, change, is_asked, put, values_of
from tests.contract.test_agreement import hurry, walk

NUMBERED = count()
SEEDS = st.integers(0, 2**48)
QUICKLY = settings(
    max_examples=24,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module", params=ENGINES)
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with opened(request.param, tmp_path_factory.mktemp("about")) as made:
        yield made


@pytest.mark.parametrize("large", [False, True], ids=["as-if-small", "as-if-large"])
@QUICKLY
@given(seed=SEEDS)
def test_finds_what_the_plain_words_say_of_classes_at_any_instant(
    house: House, large: bool, seed: int
) -> None:
    if not is_asked(house.store, seed):
        return
    made = Classed(seed, next(NUMBERED))
    raw = made.resources()

    async def make() -> dict[str, tuple[Slice, ...]]:
        await house.store.commit([house.store.prepare(change(*key, **each)) for key, each in raw.items()])
        return await settle(house, made)

    standing = house.runner.run(make())
    with pytest.MonkeyPatch.context() as patch:
        if large:
            hurry(patch)
        for number in range(12):
            house.now = made.random.choice(INSTANTS)
            catalog = Catalog(
                ((*key, values_of(each)) for key, each in raw.items()), made.class_of(standing, house.now)
            )
            visibility = ALL
            if number % 3:
                consents = {type_: made.consent() for type_ in made.types}
                visibility = Visibility("test", default=EVERYTHING, consents=consents)
            query = Query(made.types[0], made.predicate(2), made.sorts(), 1 + number % 4, total="accurate")
            whole = catalog.search(visibility, replace(query, count=1000))
            expected = list(whole.ids)

            found = house.runner.run(walk(house.store, visibility, query))
            assert found == (expected, whole.total, expected), (query, visibility, house.now)


@QUICKLY
@given(seed=SEEDS)
def test_every_way_of_reading_agrees_with_the_search(house: House, seed: int) -> None:
    if not is_asked(house.store, seed):
        return
    made = Classed(seed, next(NUMBERED))
    raw = made.resources()
    store, type_ = house.store, made.types[0]
    keys = [key for key in raw if key[0] == type_]

    async def make() -> dict[str, tuple[Slice, ...]]:
        await store.commit([store.prepare(change(*key, **each)) for key, each in raw.items()])
        return await settle(house, made)

    standing = house.runner.run(make())
    house.now = made.random.choice(INSTANTS)
    catalog = Catalog(
        ((*key, values_of(each)) for key, each in raw.items()), made.class_of(standing, house.now)
    )
    visibility = Visibility(
        "test", default=EVERYTHING, consents={each: made.consent(0) for each in made.types}
    )
    # Without links: what is deleted is linked to nothing any more.
    seen = set(catalog.matching(visibility, type_, EVERYTHING))

    async def read() -> list[set[str]]:
        many = await store.read_many(visibility, keys)
        history = await store.history(visibility, HistoryQuery(type_, count=1000))
        versions = [await store.read_version(visibility, *key, 1) for key in keys]
        # Twice, the second time by what was compiled for the first.
        single = [[await store.read(visibility, *key) for key in keys] for _ in range(2)]
        assert history.total == len(history.versions)
        ways = [
            many,
            history.versions,
            versions,
            *single,
            [each async for each in store.scan(visibility, type_)],
        ]
        return [{stored.id for stored in way if stored is not None} for way in ways]

    assert house.runner.run(read()) == [seen] * 6

    async def delete() -> list[set[str]]:
        """Whoever saw a resource sees that it was deleted, and nobody else."""
        await put(store, *(change(*key, 2, "DELETE") for key in keys))
        found = [await store.read(visibility, *key) for key in keys]
        assert all(stored is None or stored.deleted for stored in found)
        history = await store.history(visibility, HistoryQuery(type_, count=1000))
        return [{each.id for each in found if each}, {each.id for each in history.versions if each.deleted}]

    assert house.runner.run(delete()) == [seen] * 2


@QUICKLY
@given(seed=SEEDS)
def test_pages_hold_to_what_was_filed_meanwhile_and_skip_nothing_else(house: House, seed: int) -> None:
    """While somebody walks the pages, patients withdraw and permit again."""
    if not is_asked(house.store, seed):
        return
    number, random = next(NUMBERED), Random(seed)
    type_, store = f"P{number}", house.store
    patients = [f"{type_}-{each}" for each in range(4)]
    house.now = 0

    async def run() -> None:
        about = {f"r{each}": random.choices(patients, k=random.choice((1, 1, 2))) for each in range(14)}
        await put(
            store, *(change(type_, id_, patients=list(dict.fromkeys(some))) for id_, some in about.items())
        )
        denied, versions = set[str](), dict.fromkeys(patients, 0)
        (no,) = [await denying(store, f"{type_}-somebody")]
        view = consents(**{type_: Not(About(frozenset({no})))})
        moved = set[str]()
        page = await store.search(view, Query(type_, count=2, total="accurate"))
        met = [match.id for match in page.matches]
        while page.next is not None:
            patient = random.choice(patients[:2])
            denied ^= {patient}
            moved.add(patient)
            slices = (Slice(-9, 9, b"denied"),) if patient in denied else ()
            await store.commit([], (), [Reclass(patient, versions[patient], slices)])
            versions[patient] += 1
            page = await store.search(view, Query(type_, count=2, after=page.next, total="accurate"))
            assert not any(denied.intersection(about[match.id]) for match in page.matches)
            assert page.total == sum(denied.isdisjoint(some) for some in about.values())
            met += [match.id for match in page.matches]

        assert len(set(met)) == len(met)
        assert {id_ for id_, some in about.items() if moved.isdisjoint(some)} <= set(met)

    house.runner.run(run())


@pytest.mark.parametrize("cause", ["secret", "plain"])
@pytest.mark.parametrize("order", ["together", "cause-last"])
async def test_what_a_link_hid_is_not_told_of_once_the_link_leads_nowhere(
    store: Any, cause: str, order: str
) -> None:
    """Nor its deletion nor what it said; while what the same link did not hide is."""
    hidden = Chain("subject", "Cause", Where("code", TokenIs("s", "secret")))
    view = consents(Note=Not(hidden), Cause=EVERYTHING)
    await put(
        store,
        change("Cause", "c", tokens=[["code", "s", cause]]),
        change("Note", "n", references=[["subject", "Cause/c"]]),
    )
    gone = [change("Note", "n", 2, "DELETE"), change("Cause", "c", 2, "DELETE")]
    for some in [gone] if order == "together" else [gone[:1], gone[1:]]:
        await put(store, *some)

    told = [
        await store.read(view, "Note", "n"),
        await store.read_version(view, "Note", "n", 1),
        await store.read_version(view, "Note", "n", 2),
        *(await store.history(view, HistoryQuery("Note", count=10))).versions,
    ]
    assert [None if each is None else each.version for each in told] == (
        [None, None, None] if cause == "secret" else [2, 1, 2, 2, 1]
    )


async def denying(store: Any, patient: str) -> int:
    """Return the number of the rule "denied"."""
    await store.commit([], (), [Reclass(patient, 0, (Slice(-9, 9, b"denied"),))])
    return int((await store.policies.classes([patient]))[patient])
