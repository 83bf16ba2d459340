"""Orders: which field holds a key, and where a page begins, in Python as in the engine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.search.query import Position, Query, Sort
from fhir_server.store.mongo.sorting import Kind, order

KINDS: dict[str, Kind] = {"value": "spans", "name": "text", "unheard-of": "none"}
POSITIONS = st.builds(
    Position,
    st.tuples(st.one_of(st.none(), st.integers(0, 3)), st.one_of(st.none(), st.integers(0, 3))),
    st.integers(0, 5),
)
SORTS = st.tuples(
    st.builds(Sort, st.just("date"), st.booleans()), st.builds(Sort, st.just("value"), st.booleans())
)


def holds(filter_: dict[str, Any], document: dict[str, Any]) -> bool:
    """Say whether a document passes the filter of what is to come, by MongoDB's words for null."""
    return all(_condition(name, wanted, document) for name, wanted in filter_.items())


def _condition(name: str, wanted: Any, document: dict[str, Any]) -> bool:
    if name in ("$and", "$or"):
        return (all if name == "$and" else any)(holds(each, document) for each in wanted)
    value = document[name]
    if not isinstance(wanted, dict):
        return bool(value == wanted)
    [(sign, limit)] = wanted.items()
    if sign == "$ne":
        return bool(value != limit)
    if sign == "$in":
        return value in limit
    # A comparison is among values of one type: null is on neither side.
    return value is not None and bool(value < limit if sign == "$lt" else value > limit)


@given(POSITIONS, POSITIONS, SORTS, st.booleans())
def test_what_is_to_come_is_the_same_in_the_filter_and_in_python(
    start: Position, other: Position, sorts: tuple[Sort, ...], back: bool
) -> None:
    query = Query("Observation", sort=sorts, **{"before" if back else "after": start})
    way = order(query, KINDS, "date")
    document = {**dict(zip((key.field for key in way.keys), other.keys, strict=True)), "n": other.tie}

    assert holds(way.coming, document) is way.is_coming(other)


@given(st.lists(POSITIONS, max_size=6, unique=True), SORTS)
def test_walking_back_is_the_other_way_round(positions: list[Position], sorts: tuple[Sort, ...]) -> None:
    query = Query("Observation", sort=sorts)
    forth = order(query, KINDS, "date")
    back = order(replace(query, before=Position((0, 0), 0)), KINDS, "date")

    assert sorted(positions, key=forth.rank) == sorted(positions, key=back.rank)[::-1]


@pytest.mark.parametrize(
    ("sort", "field", "indexed"),
    [
        (Sort("date"), "d", False),
        (Sort("date", descending=True), "D", True),
        (Sort("_lastUpdated"), "y", False),
        (Sort("_lastUpdated", descending=True), "Y", True),
        (Sort("value"), "s0", False),
        (Sort("unheard-of"), "s0", False),
    ],
)
def test_least_values_order_ascending_and_greatest_descending(sort: Sort, field: str, indexed: bool) -> None:
    way = order(Query("Observation", sort=(sort,)), KINDS, "date")

    assert [key.field for key in way.keys] == [field]
    assert way.is_indexed is indexed
    assert way.sorting == {"$sort": {field: -1 if sort.descending else 1, "n": -1 if sort.descending else 1}}
    assert bool(way.computing) is field.startswith("s")


def test_only_what_has_no_order_in_the_document_is_opened() -> None:
    def opens(*params: str) -> bool:
        return order(Query("Observation", sort=tuple(map(Sort, params))), KINDS, "date").opens

    assert opens("date", "name")
    assert not opens("date", "value", "unheard-of")


def test_a_computed_key_is_a_number_of_pythons_own() -> None:
    way = order(Query("Observation", sort=(Sort("value"),)), KINDS, "date")

    assert way.position({"n": 7, "s0": None}) == Position((None,), 7)
    assert type(way.position({"n": True, "s0": True}).keys[0]) is int
