"""Which condition of a conjunction drives: its rows are listed, and the others test each of them.

SQLite without statistics chooses badly, so posting lists are counted, no further than it takes to tell which
is the shortest (decision 0002).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from fhir_server.store.sqlite.fragment import Conjunct, Cost, Sql

PROBE: Final = 1000
"""How far a posting list is counted when the shortest is looked for."""

_OPENING: Final = 400
"""Opening a resource costs as much as reading so many rows of an index."""

_DEAR: Final = 300
"""What listing costs that opens resources is taken for so many rows: fewer candidates are tested instead."""

Size = Callable[[Sql, int], int]
"""Counts the rows of a SELECT, up to a limit."""


@dataclass(frozen=True, slots=True)
class Driven:
    """A conjunction with its driver; without one, only a walk through the type finds what passes.

    ``size``: rows of the driver, counted up to ``PROBE``; None when it was not counted. ``tests``: the
    others, the cheapest first.
    """

    driver: Conjunct | None
    tests: tuple[Conjunct, ...]
    size: int | None = None

    @property
    def comes_in_order(self) -> bool:
        """True when candidates come by ``sk``."""
        return self.driver is None or self.driver.in_order

    @property
    def walked(self) -> tuple[Conjunct, ...]:
        """All conjuncts as tests, for walking the type instead of the driver."""
        return self.tests if self.driver is None else (self.driver, *self.tests)


def choose(conjuncts: Sequence[Conjunct], size: Size, limit: int = PROBE) -> Driven:
    """Choose the conjunct with the shortest posting list as driver, and how the others test.

    Lists are counted up to ``limit``; of those that are longer, one that comes in order is chosen.
    """
    able = [conjunct for conjunct in conjuncts if conjunct.rows is not None]
    if not able:
        return Driven(None, _cheapest_first(conjuncts))
    driver, counted = _shortest(able, size, limit)
    others = [conjunct for conjunct in conjuncts if conjunct is not driver]
    if counted is not None and counted < limit:
        others = [_for_few(each, counted, size) for each in others]
    return Driven(driver, _cheapest_first(others), counted)


def count_up_to(conjunct: Conjunct, limit: int, size: Size) -> int:
    """Count the rows of a conjunct that can drive, up to ``limit``; not so far where each is dear."""
    if conjunct.size is not None:
        return min(conjunct.size, limit)
    if conjunct.is_dear:
        return min(_DEAR, limit)
    assert conjunct.rows is not None
    stop = -(-limit // conjunct.weight)
    found = size(conjunct.rows(), stop)
    return limit if found == stop else found


def _shortest(able: Sequence[Conjunct], size: Size, limit: int) -> tuple[Conjunct, int | None]:
    """Count postings, the likely short ones first and none further than the shortest so far."""
    if len(able) == 1:
        return able[0], able[0].size  # it drives anyway: not worth counting
    # Among equals, one that comes in order by sk can be read without sorting.
    hopeful = sorted(able, key=lambda each: (each.is_dear, each.size is None, each.weight, not each.in_order))
    driver, shortest = hopeful[0], limit
    for each in hopeful:
        counted = count_up_to(each, shortest, size)
        if counted < shortest:
            driver, shortest = each, counted
    return driver, shortest


def _for_few(conjunct: Conjunct, candidates: int, size: Size) -> Conjunct:
    """Open the few candidates where the set that they would be looked up in is long."""
    if conjunct.opened is None or conjunct.rows is None:
        return conjunct
    limit = max(PROBE, candidates * _OPENING)
    if count_up_to(conjunct, limit, size) < limit:
        return conjunct
    return replace(conjunct, test=conjunct.opened, cost=Cost.RECORD)


def _cheapest_first(conjuncts: Sequence[Conjunct]) -> tuple[Conjunct, ...]:
    return tuple(sorted(conjuncts, key=lambda conjunct: conjunct.cost))
