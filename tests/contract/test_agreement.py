"""Two voices agree: what the store finds is what ``search/match.py`` says, on random data and predicates.

Every example has types of its own in one store, so that thousands of questions cost no set-up. The seed that
Hypothesis reports makes the world again. ``FHIR_TEST_WORLDS`` asks for more worlds than the usual number.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.faults import Fault, Kind
from fhir_server.search.match import Catalog
from fhir_server.search.predicate import (
    EVERYTHING,
    All,
    AnyOf,
    Contains,
    IdIn,
    Predicate,
    ReferenceIs,
    TokenIs,
    UriIs,
    Where,
    any_of,
    negate,
)
from fhir_server.search.query import Query, Sort
from fhir_server.search.visibility import Visibility
from fhir_server.store.mongo import asking, opened
from fhir_server.store.sqlite import functions, search, walks
from fhir_server.store.sqlite.store import Options
from tests.contract.random_world import IDS, Raw, World
from tests.contract.store_world import (
    ALL,
    ENGINES,
    change,
    drop_store,
    is_asked,
    open_store,
    put,
    values_of,
)

WORLDS = int(os.environ.get("FHIR_TEST_WORLDS", "60"))
QUESTIONS = 20
NUMBERED = count()
SEEDS = st.integers(0, 2**48)
QUICKLY = settings(
    max_examples=WORLDS,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

Store = tuple[asyncio.Runner, Any]


@pytest.fixture(scope="module", params=ENGINES)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("agreement")
    with asyncio.Runner() as runner:
        store = runner.run(open_store(request.param, folder))
        yield runner, store
        assert runner.run(store.check()) == []
        runner.run(store.close())
    drop_store(request.param, folder, large=True)


def new_types() -> tuple[str, str]:
    number = next(NUMBERED)
    return f"A{number}", f"B{number}"


def catalog_of(raw: dict[tuple[str, str], Raw]) -> Catalog:
    return Catalog((type_, id_, values_of(values)) for (type_, id_), values in raw.items())


async def write(store: Any, raw: dict[tuple[str, str], Raw]) -> None:
    await store.commit([store.prepare(change(*key, **values)) for key, values in raw.items()])


async def walk(store: Any, visibility: Visibility, query: Query) -> tuple[list[str], int | None, list[str]]:
    """Follow the pages to the end, and back; return what was met on both ways, in order, and the total."""
    page = await store.search(visibility, query)
    total = page.total
    forth = [match.id for match in page.matches]
    while page.next is not None:
        page = await store.search(visibility, replace(query, after=page.next))
        assert page.matches
        forth += [match.id for match in page.matches]
    back = [match.id for match in page.matches]
    while page.previous is not None:
        page = await store.search(visibility, replace(query, before=page.previous))
        assert page.next is not None
        back = [match.id for match in page.matches] + back
    return forth, total, back


def hurry(patch: pytest.MonkeyPatch) -> None:
    """Make the stores take the ways that are meant for large ones."""
    for name in ("_SORTED_AT_LEAST", "_SORTED_AT_MOST", "_PICKED"):
        patch.setattr(search, name, 0)
    patch.setattr(asking, "MOST_LISTED", 0)


@pytest.mark.parametrize("large", [False, True], ids=["as-if-small", "as-if-large"])
@QUICKLY
@given(seed=SEEDS)
def test_finds_what_the_plain_words_say_in_the_same_order(world: Store, large: bool, seed: int) -> None:
    runner, store = world
    if not is_asked(store, seed):
        return
    types = new_types()
    made = World(seed, types)
    raw = made.resources()
    catalog = catalog_of(raw)
    runner.run(write(store, raw))

    with pytest.MonkeyPatch.context() as patch:
        if large:
            hurry(patch)
            patch.setattr(search, "_PATIENCE", 10)
            patch.setattr(search, "isqrt", lambda _: seed % 3)
            patch.setattr(search, "_STROLL", seed % 90)
        for number in range(QUESTIONS):
            hidden = made.leaf() if number % 3 == 0 else None
            visibility = ALL if hidden is None else Visibility("test", {types[1]: hidden}, EVERYTHING)
            query = Query(types[0], made.predicate(), made.sorts(), 1 + number % 4, total="accurate")
            whole = catalog.search(visibility, replace(query, count=1000))
            expected = list(whole.ids)

            assert runner.run(walk(store, visibility, query)) == (expected, whole.total, expected), query


@QUICKLY
@given(seed=SEEDS)
def test_the_components_of_one_element_are_not_mixed_with_those_of_another(world: Store, seed: int) -> None:
    runner, store = world
    if not is_asked(store, seed):
        return
    types = new_types()
    made = World(seed, types)
    raw = made.resources()
    catalog = catalog_of(raw)
    # A second condition drives now and then, so that the composite is tested by resource as well.
    asked = [made.composite() for _ in range(QUESTIONS)]
    asked += [All((made.composite(), IdIn(IDS[:3]))) for _ in range(QUESTIONS)]

    async def ask() -> list[list[str]]:
        await write(store, raw)
        pages = [await store.search(ALL, Query(types[0], where, count=100)) for where in asked]
        return [[match.id for match in page.matches] for page in pages]

    assert runner.run(ask()) == [catalog.matching(ALL, types[0], where) for where in asked]


@QUICKLY
@given(seed=SEEDS)
def test_what_is_contained_is_found_by_its_own_values(world: Store, seed: int) -> None:
    runner, store = world
    if not is_asked(store, seed, 20):
        return
    types = new_types()
    made = World(seed, types)
    raw = made.resources()
    catalog = catalog_of(raw)
    runner.run(write(store, raw))
    asked: list[Predicate] = [made.contains() for _ in range(QUESTIONS)]
    asked += [negate(each) for each in asked[:4]] + [any_of((made.leaf(), each)) for each in asked[4:9]]

    for number, where in enumerate(asked):
        hidden = made.leaf() if number % 3 == 0 else EVERYTHING
        visibility = Visibility("test", {types[0]: hidden}, EVERYTHING)
        query = Query(types[0], where, made.sorts(), 1 + number % 3, total="accurate")
        whole = catalog.search(visibility, replace(query, count=1000))
        expected = list(whole.ids)

        assert runner.run(walk(store, visibility, query)) == (expected, whole.total, expected), query


@pytest.mark.parametrize("count", [0, 5])
def test_a_question_opens_no_more_containers_than_its_limit(world: Store, count: int) -> None:
    runner, store = world
    type_, inside = new_types()
    raw = {(type_, f"r{n}"): {"contained": [[inside, "c", {"uris": [["url", "a"]]}]]} for n in range(12)}
    runner.run(write(store, raw))
    query = Query(type_, Contains(inside, Where("url", UriIs("none"))), count=count, total="accurate")

    assert runner.run(store.search(ALL, query)).total == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(functions, "MOST_CONTAINERS", 8)
        patch.setattr(opened, "MOST_OPENED", 8)
        with pytest.raises(Fault) as refused:
            runner.run(store.search(ALL, query))
    # The connection is as good as before.
    assert runner.run(store.search(ALL, query)).total == 0

    assert refused.value.kind is Kind.TOO_COSTLY
    assert "by patient or period" in refused.value.diagnostics
    assert " 8 resources" in refused.value.diagnostics


@settings(QUICKLY, max_examples=WORLDS // 2)
@given(seed=SEEDS, down=st.booleans(), single=st.booleans())
def test_a_reference_sorted_by_its_clinical_date_is_in_the_same_order(
    world: Store, seed: int, down: bool, single: bool
) -> None:
    runner, store = world
    if not is_asked(store, seed):
        return
    types = new_types()
    raw = World(seed, types).resources()
    target = f"{types[1]}/r0"
    for values in raw.values():
        values["references"].append(["subject", target])
        if single:
            values["dates"] = values["dates"][:1]
    where = Where("subject", ReferenceIs((target,)))
    query = Query(types[0], where, (Sort("date", down),), 2, total="accurate")

    runner.run(write(store, raw))

    whole = catalog_of(raw).search(ALL, replace(query, count=1000))
    expected = list(whole.ids)
    assert runner.run(walk(store, ALL, query)) == (expected, whole.total, expected)


@settings(QUICKLY, max_examples=WORLDS // 2)
@given(seed=SEEDS)
def test_updates_and_deletions_leave_the_index_as_if_written_afresh(world: Store, seed: int) -> None:
    runner, store = world
    if not is_asked(store, seed):
        return
    types = new_types()
    made = World(seed, types)
    raw, later = made.resources(), made.resources()
    catalog = catalog_of(raw)
    changes = []
    for key in raw:
        if key in later:
            changes.append(change(*key, 2, **later[key]))
            catalog.put(*key, values_of(later[key]))
        else:
            changes.append(change(*key, 2, "DELETE"))
            catalog.remove(*key)

    async def rewrite() -> None:
        await write(store, raw)
        await store.commit([store.prepare(each) for each in changes])

    runner.run(rewrite())

    for _ in range(QUESTIONS // 2):
        where = made.predicate()
        expected = catalog.matching(ALL, types[0], where)
        query = Query(types[0], where, count=3, total="accurate")
        assert runner.run(walk(store, ALL, query)) == (expected, len(expected), expected), where


@settings(QUICKLY, max_examples=WORLDS // 2)
@given(seed=SEEDS, back=st.booleans())
def test_pages_skip_and_repeat_nothing_that_was_there_throughout(world: Store, seed: int, back: bool) -> None:
    runner, store = world
    if not is_asked(store, seed):
        return
    types = new_types()
    made = World(seed, types)
    raw, others = made.resources(), made.resources()
    moving = {key for key in raw if key in others and int(key[1][1:]) % 2}
    query = Query(types[0], sort=made.sorts(), count=2)

    async def interleaved() -> list[str]:
        """Walk while, after each page, one resource is changed, made or deleted."""
        await write(store, raw)
        page = await store.search(ALL, query)
        while back and page.next is not None:
            page = await store.search(ALL, replace(query, after=page.next))
        met = [match.id for match in page.matches]
        pending = [*moving, *(key for key in others if key not in raw)]
        while (position := page.previous if back else page.next) is not None:
            if pending:
                key = pending.pop()
                version = 2 if key in raw else 1
                gone = key in raw and len(pending) % 3 == 0
                made_of = {} if gone else others[key]
                one = change(*key, version, "DELETE" if gone else "PUT", **made_of)
                await store.commit([store.prepare(one)])
            edge = {"before": position} if back else {"after": position}
            page = await store.search(ALL, replace(query, **edge))
            met += [match.id for match in page.matches]
        return met

    met = runner.run(interleaved())

    constant = [id_ for type_, id_ in raw if type_ == types[0] and (type_, id_) not in moving]
    assert sorted(id_ for id_ in met if id_ in constant) == sorted(constant)


@pytest.mark.parametrize("engine", ENGINES)
async def test_thousands_of_alternatives_do_not_outgrow_the_engine(engine: str, tmp_path: Path) -> None:
    """Nor the time that a search may take, counted as the processor's: other programs may be busy too."""
    where = AnyOf(tuple(Where("code", TokenIs("s", f"code-{number}")) for number in range(2500)))
    alternatives: tuple[Predicate, ...] = (
        where,
        AnyOf(tuple(All((each, Where("code", TokenIs("s", None)))) for each in where.items)),
    )
    store = await open_store(engine, tmp_path, search_seconds=100.0)
    codes = ([["code", "s", f"code-{n * 500}"]] for n in range(9))
    await put(store, *(change("Many", f"m{n}", tokens=code) for n, code in enumerate(codes)))

    both = Query("Many", All((where, Where("code", TokenIs(None, "code-1000")))))
    assert [match.id for match in (await store.search(ALL, both)).matches] == ["m2"]
    for each in alternatives:
        began = process_time()
        page = await store.search(ALL, Query("Many", each))
        assert process_time() - began < Options().search_seconds
        assert [match.id for match in page.matches] == ["m0", "m1", "m2", "m3", "m4"]
    await store.close()
    drop_store(engine, tmp_path)


@pytest.mark.parametrize("name", ["_SORTED_AT_LEAST", "_SORTED_AT_MOST", "_PICKED", "_PATIENCE", "_STROLL"])
def test_the_limits_that_these_tests_lower_exist(name: str) -> None:
    assert getattr(search, name) > 0
    assert asking.MOST_LISTED > 0
    assert walks.Walk(sorts=(), start=None, wanted=1, back=False).steps is None
