"""When a resource was last updated is told, sorted by and tested, wherever the store keeps it."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.search.predicate import DateIs, Prefix, Present, ReferenceIs, Where, all_of, negate
from fhir_server.search.query import Query, Sort
from tests.contract.store_world import ALL, change, put

_OF_P = Where("subject", ReferenceIs(("Patient/p",)))


async def fill(store: Any) -> None:
    """Store ten resources, the odd ones of a patient, each updated at a time of its own; one says another."""
    for n in range(10):
        at = 5_000 - 100 * n
        said = at + 7 if n == 3 else at
        raw: dict[str, Any] = {"references": [["subject", "Patient/p"]]} if n % 2 else {}
        raw |= {"dates": [["_lastUpdated", said, said]], "numbers": [["factor", n % 3, n % 3]]}
        await put(store, change("Basic", f"b{n}", updated=at, **raw))


async def ids(store: Any, where: Any, *sort: Sort) -> list[str]:
    found: list[str] = []
    after = None
    while True:
        page = await store.search(ALL, Query("Basic", where, sort=sort, count=2, after=after))
        found += [stored.id for stored in page.matches]
        if page.next is None:
            return found
        after = page.next


@pytest.mark.parametrize(
    ("prefix", "at", "found"),
    [
        ("eq", 4900, ["b1"]),
        ("eq", 4700, []),
        ("eq", 4707, ["b3"]),
        ("ne", 4900, ["b3", "b5", "b7", "b9"]),
        ("gt", 4500, ["b1", "b3"]),
        ("ge", 4500, ["b1", "b3", "b5"]),
        ("lt", 4500, ["b7", "b9"]),
        ("le", 4500, ["b5", "b7", "b9"]),
    ],
)
async def test_a_candidate_is_tested_by_when_it_was_updated(
    store: Any, prefix: Prefix, at: int, found: list[str]
) -> None:
    await fill(store)
    when = Where("_lastUpdated", DateIs(prefix, at, at))

    assert await ids(store, all_of((_OF_P, when))) == found
    assert await ids(store, all_of((_OF_P, negate(when)))) == [
        f"b{n}" for n in range(1, 10, 2) if f"b{n}" not in found
    ]


async def test_every_one_has_been_updated(store: Any) -> None:
    await fill(store)
    there = Where("_lastUpdated", Present())

    assert len(await ids(store, there)) == 10
    assert await ids(store, all_of((_OF_P, negate(there)))) == []


async def test_few_candidates_are_sorted_by_it_page_after_page(store: Any) -> None:
    await fill(store)

    assert await ids(store, _OF_P, Sort("_lastUpdated")) == ["b9", "b7", "b5", "b3", "b1"]
    assert await ids(store, _OF_P, Sort("_lastUpdated", descending=True)) == ["b1", "b3", "b5", "b7", "b9"]


async def test_it_decides_between_equals_of_another_key(store: Any) -> None:
    await fill(store)

    assert await ids(store, _OF_P, Sort("factor"), Sort("_lastUpdated")) == ["b9", "b3", "b7", "b1", "b5"]


async def test_an_update_moves_it(store: Any) -> None:
    await fill(store)
    await put(store, change("Basic", "b1", 2, updated=9_000, dates=[["_lastUpdated", 9_000, 9_000]]))

    newest = Where("_lastUpdated", DateIs("gt", 5_000, 5_000))
    assert await ids(store, newest) == ["b1"]
    assert await ids(store, Where("_lastUpdated", DateIs("eq", 4_900, 4_900))) == []
