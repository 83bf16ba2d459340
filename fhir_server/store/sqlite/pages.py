"""From the matches of a search to its page: what is shown of them is opened, some microseconds each.

https://hl7.org/fhir/R4/http.html#paging
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fhir_server.search.query import Position, Query
from fhir_server.store.api import Page, Stored
from fhir_server.store.shown import page, shown
from fhir_server.store.sqlite.reader import Session
from fhir_server.store.sqlite.records import Opener
from fhir_server.store.sqlite.walks import Match

_OPENED_IN_LOOP: Final = 200
"""More than so many are opened in the pool: no statement runs meanwhile that could be stopped."""

_OPENED_AT_ONCE: Final = 100
"""Between so many the clock is looked at."""


def page_of(
    opener: Opener, session: Session, query: Query, matches: Sequence[Match], total: int | None = None
) -> Page:
    """Open what is shown of ``matches``, which hold one more if there is more in the direction walked.

    Raises :class:`reader.Late` when the session's time is over, or in the event loop when there are many.
    """
    chosen, more = shown(query, matches)
    stored = _opened(opener, session, [sk for sk, _ in chosen])
    positions = [Position(keys, sk) for sk, keys in chosen]
    return page(query, stored, positions, more=more, total=total)


def _opened(opener: Opener, session: Session, numbers: Sequence[int]) -> list[Stored]:
    if len(numbers) > _OPENED_IN_LOOP:
        session.leave_loop()
    stored: list[Stored] = []
    for start in range(0, len(numbers), _OPENED_AT_ONCE):
        session.check()
        stored += opener.current(session.connection, numbers[start : start + _OPENED_AT_ONCE])
    return stored
