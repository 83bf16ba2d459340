"""One page of several types: their searches joined in one order, by positions that hold for all of them.

Every type is searched by itself and merged by sort keys. Equal keys go by the name of the type, then by the
order within it; a joined position is the last match's own one with the type's name after its keys.
https://hl7.org/fhir/R4/http.html#search
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from fhir_server.interactions.context import Context
from fhir_server.search.query import Position, Query, Sort, SortKey
from fhir_server.store.api import Page, Stored

Match = tuple[Stored, Position]

_BEYOND = 2**62
"""Greater than every tie of a store, whose least is 0."""


async def merged(context: Context, queries: Sequence[Query], cursor: Position | None, *, back: bool) -> Page:
    """Return one page of what the ``queries`` find together; they differ in type and ``where`` alone.

    ``cursor``: the position after which, or before which (``back``), the page lies.
    """
    queries = sorted(queries, key=lambda query: query.type)
    if not queries:
        return Page([], 0, None)
    model = queries[0]
    total = await _total(context, queries) if model.total == "accurate" else None
    if not model.count:
        return Page([], total, None)
    lanes = [_Lane(context, query, len(queries), back=back) for query in queries]
    for lane in lanes:
        lane.start(cursor)
    found: list[tuple[str, Match]] = []
    while len(found) <= model.count:
        foremost = await _foremost(lanes, model.sort, back=back)
        if foremost is None:
            break
        found.append((foremost.query.type, foremost.pop()))
    more = len(found) > model.count
    found = found[: model.count]
    if back:
        found.reverse()
    positions = [Position((*position.keys, type_), position.tie) for type_, (_, position) in found]
    before, after = (more, True) if back else (cursor is not None, more)
    plans = {lane.query.type: lane.plan for lane in lanes if lane.plan is not None}
    return Page(
        matches=[stored for _, (stored, _) in found],
        total=total,
        next=positions[-1] if positions and after else None,
        previous=positions[0] if positions and before else None,
        plan=plans or None,
        positions=positions,
    )


async def _total(context: Context, queries: Sequence[Query]) -> int:
    pages = [
        await context.store.search(context.visibility, replace(query, count=0, sort=(), explain=False))
        for query in queries
    ]
    return sum(page.total or 0 for page in pages)


class _Lane:
    """The matches of one type, fetched a few at a time, in the direction of the page."""

    def __init__(self, context: Context, query: Query, lanes: int, *, back: bool) -> None:
        # Of many types each gives a few to a page; without a sort one type gives them all.
        share = query.count if not query.sort else 2 * query.count // lanes + 2
        self._most = query.count + 1
        self.query = replace(query, count=min(self._most, share + 1), total="none")
        self.plan: object = None
        self._context = context
        self._back = back
        self._buffer: deque[Match] = deque()
        self._is_done = False
        self._at: Position | None = None

    def start(self, cursor: Position | None) -> None:
        """Begin at a joined position: at this type's own place in relation to it."""
        if cursor is None:
            return
        keys, own = cursor.keys[:-1], str(cursor.keys[-1])
        name = self.query.type
        down = bool(self.query.sort) and self.query.sort[0].descending
        if name == own:
            tie = cursor.tie
        elif not keys and (name < own) is not self._back:
            self._is_done = True
            return
        else:
            # A type before the position's own has given all matches with its keys, a later one none of them.
            tie = _BEYOND if (name < own) is not down else -_BEYOND
        self._at = Position(keys, tie)

    async def peek(self) -> Match | None:
        """Return the next match; None when there is none left."""
        if not self._buffer and not self._is_done:
            await self._fill()
        return self._buffer[0] if self._buffer else None

    def pop(self) -> Match:
        """Take the match that :meth:`peek` returned."""
        return self._buffer.popleft()

    async def _fill(self) -> None:
        back = self._back
        query = replace(self.query, before=self._at) if back else replace(self.query, after=self._at)
        page = await self._context.store.search(self._context.visibility, query)
        self.plan = self.plan or page.plan
        self._buffer.extend(zip(page.matches, page.positions, strict=True))
        if back:
            self._buffer.reverse()
        end = page.previous if back else page.next
        self._is_done = end is None
        self._at = end
        # A type that gave all that was asked for is likely to give more: few types hold most records.
        self.query = replace(self.query, count=min(self._most, 4 * self.query.count))


_Head = tuple[tuple[SortKey, ...], str, _Lane]


async def _foremost(lanes: Sequence[_Lane], sorts: Sequence[Sort], *, back: bool) -> _Lane | None:
    """Return the lane whose next match comes first; None when all are empty."""
    waiting: list[_Head] = []
    for lane in reversed(lanes) if back else lanes:
        match = await lane.peek()
        if match is not None:
            if not sorts:
                return lane
            waiting.append((match[1].keys, lane.query.type, lane))
    if not waiting:
        return None
    best = waiting[0]
    for each in waiting[1:]:
        if (_compare(sorts, each, best) < 0) is not back:
            best = each
    return best[2]


def _compare(sorts: Sequence[Sort], one: _Head, other: _Head) -> int:
    """Tell whether the match of one type comes before that of another (-1), or after it (1)."""
    for sort, a, b in zip(sorts, one[0], other[0], strict=True):
        if a != b:
            # None is least; two keys of one parameter are of one kind.
            is_less = a is None or (b is not None and a < b)  # type: ignore[operator]
            return -1 if is_less is not sort.descending else 1
    return -1 if one[1] < other[1] else 1
