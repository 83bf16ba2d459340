"""Pages over several types: whatever data, sort and size of page, the walk is the sorted whole, both ways."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from fhir_server.interactions.context import Context
from fhir_server.interactions.merge import merged
from fhir_server.search.match import sort_key
from fhir_server.search.query import Position, Query, Sort
from fhir_server.search.values import Values
from fhir_server.store.api import Page, Stored

TYPES = ("Condition", "Observation", "Patient")
KEYS = st.lists(st.integers(0, 3), max_size=2)
WORLD = st.lists(st.tuples(st.sampled_from(TYPES), KEYS, KEYS), max_size=14)
SORTS = st.lists(
    st.builds(Sort, st.sampled_from(["a", "b"]), st.booleans()), max_size=2, unique_by=lambda s: s.param
)


def values(a: list[int], b: list[int]) -> Values:
    made = Values()
    made.numbers = [("a", n, n) for n in a] + [("b", n, n) for n in b]
    return made


class Shelf:
    """A store in memory that pages one type at a time, both ways."""

    def __init__(self, world: list[tuple[str, list[int], list[int]]]) -> None:
        self._rows = [(type_, str(tie), values(a, b), tie) for tie, (type_, a, b) in enumerate(world)]

    def ordered(self, type_: str, sorts: tuple[Sort, ...]) -> list[tuple[Position, str]]:
        found = [
            (Position(tuple(sort_key(id_, row, sort) for sort in sorts), tie), id_)
            for named, id_, row, tie in self._rows
            if named == type_
        ]
        return sorted(found, key=lambda each: rank(sorts, each[0]))

    async def search(self, _: Any, query: Query) -> Page:
        everything = self.ordered(query.type, query.sort)
        total = len(everything) if query.total == "accurate" else None
        if query.before is not None:
            end = rank(query.sort, query.before)
            left = [each for each in everything if rank(query.sort, each[0]) < end]
            shown, more = left[max(0, len(left) - query.count) :], len(left) > query.count
            return page(query, shown, total, before=more, after=bool(shown))
        if query.after is not None:
            start = rank(query.sort, query.after)
            everything = [each for each in everything if rank(query.sort, each[0]) > start]
        shown, more = everything[: query.count], len(everything) > query.count
        return page(query, shown, total, before=query.after is not None, after=more)


def page(
    query: Query, shown: list[tuple[Position, str]], total: int | None, *, before: bool, after: bool
) -> Page:
    positions = [position for position, _ in shown]
    return Page(
        [Stored(query.type, id_, 1, 0, "PUT", b"{}") for _, id_ in shown],
        total,
        positions[-1] if positions and after else None,
        positions[0] if positions and before else None,
        positions=positions,
    )


def rank(sorts: tuple[Sort, ...], position: Position) -> tuple[float, ...]:
    """Return what orders a position within its type; missing keys are least."""
    keys = [-1.0 if key is None else float(key) for key in position.keys]
    signed = [-key if sort.descending else key for sort, key in zip(sorts, keys, strict=True)]
    down = bool(sorts) and sorts[0].descending
    return (*signed, -position.tie if down else position.tie)


def whole(shelf: Shelf, sorts: tuple[Sort, ...]) -> list[str]:
    """Return all ids in the order that is promised: by keys, then type, then the order within the type."""
    placed = [
        (rank(sorts, position)[:-1], type_, rank(sorts, position)[-1], id_)
        for type_ in TYPES
        for position, id_ in shelf.ordered(type_, sorts)
    ]
    return [id_ for *_, id_ in sorted(placed)]


def context(shelf: Shelf) -> Context:
    return cast("Context", SimpleNamespace(store=shelf, visibility=None))


@given(WORLD, SORTS, st.integers(1, 6))
def test_pages_forward_and_back_are_the_whole_in_order(
    world: list[tuple[str, list[int], list[int]]], sorting: list[Sort], count: int
) -> None:
    shelf, sorts = Shelf(world), tuple(sorting)
    queries = [Query(type_, sort=sorts, count=count, total="accurate") for type_ in TYPES]
    expected = whole(shelf, sorts)

    async def walk() -> tuple[list[list[str]], list[list[str]]]:
        forward: list[list[str]] = []
        found = await merged(context(shelf), queries, None, back=False)
        assert found.total == len(world)
        assert found.previous is None
        while True:
            forward.append([stored.id for stored in found.matches])
            if found.next is None:
                break
            found = await merged(context(shelf), queries, found.next, back=False)
        backward: list[list[str]] = [forward[-1]]
        while found.previous is not None:
            found = await merged(context(shelf), queries, found.previous, back=True)
            if found.matches:
                backward.append([stored.id for stored in found.matches])
        return forward, backward

    forward, backward = asyncio.run(walk())

    assert [id_ for ids in forward for id_ in ids] == expected
    assert [id_ for ids in reversed(backward) for id_ in ids] == expected


def test_no_types_are_an_empty_page() -> None:
    found = asyncio.run(merged(context(Shelf([])), [], None, back=False))

    assert (found.matches, found.total, found.next) == ([], 0, None)


def test_count_zero_counts_and_fetches_nothing() -> None:
    shelf = Shelf([("Patient", [1], []), ("Condition", [], [])])
    queries = [Query(type_, count=0, total="accurate") for type_ in TYPES]

    found = asyncio.run(merged(context(shelf), queries, None, back=False))

    assert (found.matches, found.total) == ([], 2)
