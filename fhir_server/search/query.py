"""A search as the stores take it: parsed, typed, with nothing left of its URL.

https://hl7.org/fhir/R4/search.html#return
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from fhir_server.frozen import frozen
from fhir_server.search.predicate import EVERYTHING, Predicate

SortKey: TypeAlias = int | float | str | None
"""A position's value for one sort parameter; None where the resource has no value."""


@frozen
class Sort:
    """Order by ``param``: ascending by a resource's least value, descending by its greatest; none is least.

    A span (Period, Range) counts by where it begins.
    """

    param: str
    descending: bool = False


@frozen
class Position:
    """Where a page ended: the sort keys of its last match, and that match's stable number in the store."""

    keys: tuple[SortKey, ...]
    tie: int


@frozen
class Query:
    """Find resources of ``type`` that satisfy ``where``: one page of ``count`` after ``after``.

    ``before``, instead of ``after``: the ``count`` matches that come last before it, in the same order.
    ``explain``: tell in :class:`store.api.Page` how the search was carried out.

    ``total``: "none" (do not count), "accurate" (count all that the caller may see).
    Without ``sort`` the order is that of first creation, which never changes. It also decides between equal
    keys, reversed when the first sort descends.
    """

    type: str
    where: Predicate = EVERYTHING
    sort: tuple[Sort, ...] = ()
    count: int = 20
    after: Position | None = None
    total: Literal["none", "accurate"] = "none"
    before: Position | None = None
    explain: bool = False
