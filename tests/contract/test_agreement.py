"""Two voices agree: what the store finds is what ``search/match.py`` says, on random data and predicates.

Every example has types of its own in one store, so that thousands of them cost no set-up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.search.fold import fold
from fhir_server.search.match import Catalog
from fhir_server.search.predicate import (
    EVERYTHING,
    All,
    AnyOf,
    Chain,
    DateIs,
    Has,
    HasWords,
    IdIn,
    Near,
    Not,
    NumberIs,
    Predicate,
    Present,
    QuantityIs,
    ReferenceIs,
    StringContains,
    StringIs,
    StringStarts,
    Together,
    TokenIn,
    TokenIs,
    UriIs,
    Where,
)
from fhir_server.search.query import Position, Query, Sort
from fhir_server.search.visibility import Visibility
from fhir_server.store.sqlite import search
from tests.contract.store_world import ALL, change, open_sqlite, values_of

DAY = 86_400_000
PREFIXES = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")
WORDS = ("Li", "li", "Liu", "Müller", "muller", "张三", "张", "x" * 64, "x" * 66, "x" * 66 + "y", "", "İ")
SYSTEMS, CODES, UNITS = ("", "s", "t"), ("a", "b", "c"), ("", "mg", "g")
IDS = tuple(f"r{number}" for number in range(6))
MOMENTS = st.sampled_from([0, 1, DAY // 2, DAY - 1, DAY, 2 * DAY, 3 * DAY, 40 * DAY])
LENGTHS = st.sampled_from([0, 1, DAY - 1, DAY, DAY + 1, 30 * DAY])
LATITUDES, LONGITUDES = (30.66, 30.67, 31.2, -33.9, 89.99), (104.06, 104.07, 121.5, -179.99, 179.99)
NUMBERS = st.sampled_from([-2.0, -0.5, 0.0, 1.0, 1.5, 2.0, 10.0])

_spans = st.builds(lambda lo, length: (lo, lo + length), MOMENTS, LENGTHS)
_ranges = st.builds(lambda a, b: (min(a, b), max(a, b)), NUMBERS, NUMBERS)
_points = st.builds(lambda a: (a, a), NUMBERS)


def _rows(*columns: Any) -> st.SearchStrategy[list[list[Any]]]:
    return st.lists(st.tuples(*columns).map(list), max_size=3)


def _spread(param: str, pairs: Any) -> st.SearchStrategy[list[list[Any]]]:
    return st.lists(pairs.map(lambda pair: [param, *pair]), max_size=2)


def _values(kind: str, *columns: Any) -> st.SearchStrategy[list[list[Any]]]:
    return st.lists(st.tuples(st.just(kind), *columns).map(list), max_size=2)


def _composites(targets: st.SearchStrategy[str]) -> st.SearchStrategy[list[list[Any]]]:
    """Elements of five composite parameters, one for each kind that a component can be."""
    codes = _values("token", st.sampled_from(SYSTEMS), st.sampled_from(CODES))
    spans = st.one_of(_points, _ranges)
    seconds = {
        "pair": _values("token", st.sampled_from(SYSTEMS), st.sampled_from(CODES)),
        "measured": st.lists(
            st.builds(
                lambda system, code, unit, span: ["quantity", system, code, unit, *span],
                st.sampled_from(SYSTEMS),
                st.sampled_from(UNITS),
                st.sampled_from(UNITS),
                spans,
            ),
            max_size=2,
        ),
        "dated": st.lists(_spans.map(lambda span: ["date", *span]), max_size=2),
        "said": _values("string", st.sampled_from(WORDS)),
        "linked": st.lists(
            st.one_of(
                targets.map(lambda target: ["reference", target]),
                st.sampled_from(CODES).map(lambda uri: ["uri", uri]),
            ),
            max_size=2,
        ),
    }
    numbers = st.lists(spans.map(lambda span: ["number", *span]), max_size=2)
    elements = [
        st.tuples(st.just(param), st.tuples(codes, second).map(list)).map(list)
        for param, second in seconds.items()
    ]
    three = st.tuples(codes, numbers, numbers).map(lambda rows: ["placed", list(rows)])
    return st.lists(st.one_of(*elements, three), max_size=3)


@st.composite
def resources(draw: st.DrawFn, types: tuple[str, str]) -> dict[tuple[str, str], dict[str, Any]]:
    made = {}
    for type_ in types:
        for id_ in draw(st.lists(st.sampled_from(IDS), unique=True, max_size=6)):
            targets = st.sampled_from([f"{to}/{each}" for to in types for each in IDS[:3]] + ["http://x/a"])
            dates = draw(_spread("date", _spans))
            made[type_, id_] = {
                "tokens": draw(_rows(st.just("code"), st.sampled_from(SYSTEMS), st.sampled_from(CODES))),
                "strings": draw(_rows(st.just("name"), st.sampled_from(WORDS))),
                "dates": dates,
                "numbers": draw(_spread("factor", st.one_of(_points, _ranges))),
                "quantities": [
                    ["value", system, unit, name, lo, hi]
                    for system, unit, name, (lo, hi) in draw(
                        st.lists(
                            st.tuples(
                                st.sampled_from(SYSTEMS),
                                st.sampled_from(UNITS),
                                st.sampled_from(UNITS),
                                st.one_of(_points, _ranges),
                            ),
                            max_size=2,
                        )
                    )
                ],
                "references": draw(_rows(st.just("subject"), targets)),
                "uris": draw(_rows(st.just("url"), st.sampled_from(CODES))),
                "positions": draw(
                    _rows(st.just("near"), st.sampled_from(LATITUDES), st.sampled_from(LONGITUDES))
                ),
                "words": draw(_rows(st.just("_text"), st.sampled_from(CODES))),
                "composites": draw(_composites(targets)),
                "clinical": dates[0][1] if dates else None,
            }
    return made


_number_is = st.builds(
    lambda prefix, value, half: NumberIs(prefix, value, value - half, value + half),
    st.sampled_from(PREFIXES),
    NUMBERS,
    st.sampled_from([0.05, 0.5, 1.0]),
)
_date_is = st.builds(lambda prefix, span: DateIs(prefix, *span), st.sampled_from(PREFIXES), _spans)
_quantity_is = st.builds(
    QuantityIs, _number_is, st.sampled_from([None, *SYSTEMS]), st.sampled_from([None, "mg", "g"])
)
_starts = st.builds(lambda text: StringStarts(fold(text)), st.sampled_from(WORDS))
_contains = st.builds(
    lambda text: StringContains(fold(text)), st.sampled_from((*WORDS, "i", "u", "三", "xy"))
)
_members = st.builds(
    TokenIn,
    st.frozensets(st.tuples(st.sampled_from([None, *SYSTEMS]), st.sampled_from(CODES)), max_size=4)
    # Many members are read as a set, few are looked up.
    .flatmap(lambda few: st.sampled_from([few, few | {("s", f"none-{n}") for n in range(20)}])),
)
_near = st.builds(
    Near,
    st.sampled_from(LATITUDES),
    st.sampled_from(LONGITUDES),
    st.sampled_from([0.0, 2_000.0, 200_000.0, 3e6, 1e9]),
)


def _together(targets: st.SearchStrategy[str]) -> st.SearchStrategy[Predicate]:
    token = st.builds(TokenIs, st.sampled_from([None, *SYSTEMS]), st.sampled_from([None, *CODES]))
    seconds = {
        "pair": st.one_of(token, _members),
        "measured": _quantity_is,
        "dated": _date_is,
        "said": st.one_of(_starts, _contains, st.builds(StringIs, st.sampled_from(WORDS))),
        "linked": st.one_of(
            st.builds(ReferenceIs, st.lists(targets, max_size=2).map(tuple)),
            st.builds(UriIs, st.sampled_from(CODES)),
        ),
    }
    pairs = [
        st.builds(lambda param, *tests: Together(param, tests), st.just(param), token, second)
        for param, second in seconds.items()
    ]
    three = st.builds(lambda *tests: Together("placed", tests), token, _number_is, _number_is)
    return st.one_of(*pairs, three)


def leaves(types: tuple[str, str]) -> st.SearchStrategy[Predicate]:
    targets = st.sampled_from([f"{to}/{each}" for to in types for each in IDS[:3]] + ["http://x/a"])
    systems, codes = st.sampled_from([None, *SYSTEMS]), st.sampled_from([None, *CODES])
    params = ("code", "name", "date", "factor", "value", "subject", "url", "near", "_text", "pair", "dated")
    return st.one_of(
        st.builds(Where, st.just("code"), st.builds(TokenIs, systems, codes)),
        st.builds(Where, st.just("name"), st.one_of(_starts, _contains)),
        st.builds(Where, st.just("code"), _members),
        st.builds(Where, st.just("near"), _near),
        st.builds(Where, st.just("_text"), st.builds(HasWords, st.frozensets(st.sampled_from(CODES)))),
        _together(targets),
        st.builds(Where, st.just("name"), st.builds(StringIs, st.sampled_from(WORDS))),
        st.builds(Where, st.just("date"), _date_is),
        st.builds(Where, st.just("factor"), _number_is),
        st.builds(Where, st.just("value"), _quantity_is),
        st.builds(
            Where, st.just("subject"), st.builds(ReferenceIs, st.lists(targets, max_size=3).map(tuple))
        ),
        st.builds(Where, st.just("url"), st.builds(UriIs, st.sampled_from(CODES))),
        st.builds(Where, st.sampled_from((*params, "unheard-of")), st.just(Present())),
        st.builds(IdIn, st.lists(st.sampled_from(IDS), max_size=3).map(tuple)),
        st.just(EVERYTHING),
    )


def predicates(types: tuple[str, str]) -> st.SearchStrategy[Predicate]:
    return st.recursive(
        leaves(types),
        lambda inner: st.one_of(
            st.builds(All, st.lists(inner, min_size=2, max_size=3).map(tuple)),
            st.builds(AnyOf, st.lists(inner, min_size=2, max_size=3).map(tuple)),
            st.builds(Not, inner),
            st.builds(Chain, st.just("subject"), st.sampled_from(types), inner),
            st.builds(Has, st.sampled_from(types), st.just("subject"), inner),
        ),
        max_leaves=5,
    )


_sorts = st.lists(
    st.builds(
        Sort,
        st.sampled_from(["code", "name", "date", "factor", "value", "subject", "url", "_id", "unheard-of"]),
        st.booleans(),
    ),
    max_size=2,
).map(tuple)

NUMBERED = count()

# Strategies are costly to build: they are built once, for types A and B, which each example then renames.
RESOURCES, LEAVES, PREDICATES = resources(("A", "B")), leaves(("A", "B")), predicates(("A", "B"))


def renamed(drawn: Any, number: int) -> Any:
    """Give the types A and B, wherever they stand in what was drawn, the example's number."""
    if isinstance(drawn, str):
        type_, slash, rest = drawn.partition("/")
        return f"{type_}{number}{slash}{rest}" if type_ in {"A", "B"} else drawn
    if isinstance(drawn, tuple | list):
        return type(drawn)(renamed(each, number) for each in drawn)
    if isinstance(drawn, dict):
        return {renamed(key, number): renamed(value, number) for key, value in drawn.items()}
    if is_dataclass(drawn) and not isinstance(drawn, type):
        return replace(
            drawn, **{each.name: renamed(getattr(drawn, each.name), number) for each in fields(drawn)}
        )
    return drawn


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[asyncio.Runner, Any]]:
    with asyncio.Runner() as runner:

        async def make() -> Any:
            return open_sqlite(tmp_path_factory.mktemp("agreement"))

        store = runner.run(make())
        yield runner, store
        assert runner.run(store.check()) == []
        runner.run(store.close())


async def walk(store: Any, visibility: Visibility, query: Query) -> tuple[list[str], int | None]:
    """Follow the pages to the end."""
    found: list[str] = []
    after: Position | None = None
    total = None
    while True:
        page = await store.search(
            visibility, Query(query.type, query.where, query.sort, query.count, after, query.total)
        )
        found += [match.id for match in page.matches]
        total, after = page.total, page.next
        if after is None:
            return found, total


async def walk_back(store: Any, visibility: Visibility, query: Query) -> list[str]:
    """Find the last page, follow its ``previous`` to the beginning, and return what was met, in order."""
    found: list[str] = []
    page = await store.search(visibility, query)
    while page.next is not None:
        page = await store.search(visibility, replace(query, after=page.next))
    while True:
        found = [match.id for match in page.matches] + found
        if page.previous is None:
            return found
        page = await store.search(visibility, replace(query, before=page.previous))
        assert page.next is not None


QUICKLY = settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.parametrize("few", [True, False], ids=["sorts-candidates", "walks-the-index"])
@QUICKLY
@given(data=st.data())
def test_finds_what_the_plain_words_say_in_the_same_order(
    world: tuple[asyncio.Runner, Any], few: bool, data: st.DataObject
) -> None:
    runner, store = world
    number = next(NUMBERED)
    types = (f"A{number}", f"B{number}")
    raw = renamed(data.draw(RESOURCES), number)
    catalog = Catalog((type_, id_, values_of(values)) for (type_, id_), values in raw.items())
    changes = [change(type_, id_, **values) for (type_, id_), values in raw.items()]
    runner.run(store.commit([store.prepare(each) for each in changes]))

    with pytest.MonkeyPatch.context() as patch:
        if not few:
            patch.setattr(search, "_SORTED_AT_LEAST", 0)
            patch.setattr(search, "_SORTED_AT_MOST", 0)
            patch.setattr(search, "_PICKED", 0)
        for _ in range(4):
            hidden = renamed(data.draw(st.none() | LEAVES), number)
            visibility = ALL if hidden is None else Visibility("test", {types[1]: hidden}, EVERYTHING)
            where, size = renamed(data.draw(PREDICATES), number), data.draw(st.integers(1, 4))
            query = Query(types[0], where, data.draw(_sorts), size, total="accurate")
            expected = catalog.search(visibility, replace(query, count=1000))

            assert runner.run(walk(store, visibility, query)) == (list(expected.ids), expected.total)
            assert runner.run(walk_back(store, visibility, query)) == list(expected.ids)


@settings(QUICKLY, max_examples=15)
@given(data=st.data(), down=st.booleans(), single=st.booleans())
def test_a_reference_sorted_by_its_clinical_date_is_in_the_same_order(
    world: tuple[asyncio.Runner, Any], data: st.DataObject, down: bool, single: bool
) -> None:
    runner, store = world
    number = next(NUMBERED)
    types = (f"A{number}", f"B{number}")
    raw = renamed(data.draw(RESOURCES), number)
    target = f"{types[1]}/r0"
    for values in raw.values():
        values["references"].append(["subject", target])
        if single:
            values["dates"] = values["dates"][:1]
    catalog = Catalog((type_, id_, values_of(values)) for (type_, id_), values in raw.items())
    changes = [change(type_, id_, **values) for (type_, id_), values in raw.items()]
    where = Where("subject", ReferenceIs((target,)))
    query = Query(types[0], where, (Sort("date", down),), 2, total="accurate")

    runner.run(store.commit([store.prepare(each) for each in changes]))

    expected = catalog.search(ALL, replace(query, count=1000))
    assert runner.run(walk(store, ALL, query)) == (list(expected.ids), expected.total)
    assert runner.run(walk_back(store, ALL, query)) == list(expected.ids)


@QUICKLY
@given(data=st.data())
def test_updates_and_deletions_leave_the_index_as_if_written_afresh(
    world: tuple[asyncio.Runner, Any], data: st.DataObject
) -> None:
    runner, store = world
    number = next(NUMBERED)
    types = (f"A{number}", f"B{number}")
    raw, later = renamed(data.draw(RESOURCES), number), renamed(data.draw(RESOURCES), number)
    where = renamed(data.draw(PREDICATES), number)
    catalog = Catalog((type_, id_, values_of(values)) for (type_, id_), values in raw.items())
    changes = []
    for key in raw:
        if key in later:
            changes.append(change(*key, 2, **later[key]))
            catalog.put(*key, values_of(later[key]))
        else:
            changes.append(change(*key, 2, "DELETE"))
            catalog.remove(*key)

    async def ask() -> tuple[list[str], int | None]:
        await store.commit([store.prepare(change(*key, **values)) for key, values in raw.items()])
        await store.commit([store.prepare(each) for each in changes])
        return await walk(store, ALL, Query(types[0], where, count=3, total="accurate"))

    found, total = runner.run(ask())

    expected = catalog.matching(ALL, types[0], where)
    assert found == expected
    assert total == len(expected)


def test_thousands_of_alternatives_do_not_outgrow_the_engine(world: tuple[asyncio.Runner, Any]) -> None:
    runner, store = world
    where = AnyOf(tuple(Where("code", TokenIs("s", f"code-{number}")) for number in range(2500)))

    async def ask() -> list[str]:
        await store.commit(
            [
                store.prepare(change("Many", f"m{n}", tokens=[["code", "s", f"code-{n * 500}"]]))
                for n in range(9)
            ]
        )
        plain = [match.id for match in (await store.search(ALL, Query("Many", where))).matches]
        both = Query("Many", All((where, Where("code", TokenIs(None, "code-1000")))))
        assert [match.id for match in (await store.search(ALL, both)).matches] == ["m2"]
        return plain

    assert runner.run(ask()) == ["m0", "m1", "m2", "m3", "m4"]
