"""What a page shows of the matches that were found, and where its neighbours begin: the same in every store.

https://hl7.org/fhir/R4/http.html#paging
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from fhir_server.search.query import Position, Query
from fhir_server.store.api import Page, Stored

T = TypeVar("T")


def shown(query: Query, matches: Sequence[T]) -> tuple[Sequence[T], bool]:
    """Return those of ``matches`` that the page holds, and whether there are more in the direction walked.

    ``matches``: in the query's order, one more than the page holds if there is one: the last, or with
    ``query.before`` the first.
    """
    more = bool(query.count) and len(matches) > query.count
    if query.before is not None and query.count:
        return matches[-query.count :], more
    return matches[: query.count], more


def page(
    query: Query, stored: list[Stored], positions: Sequence[Position], *, more: bool, total: int | None
) -> Page:
    """Return the page of what is shown, with the edges of those before and after it."""
    if not positions:
        return Page(stored, total, None, positions=positions)
    first, last = positions[0], positions[-1]
    if query.before is not None:
        return Page(stored, total, last, first if more else None, positions=positions)
    following, previous = last if more else None, first if query.after else None
    return Page(stored, total, following, previous, positions=positions)
