"""Search among contained resources: they are found by their own values and told with their containers.

A container may be of any type that the caller may search, and is hidden or shown by the rights and consents
that hold for it: what it contains is seen with it. https://hl7.org/fhir/R4/search.html#contained
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Final, cast

from fhir_server.audit.trail import unnoted
from fhir_server.faults import Fault, Kind
from fhir_server.interactions.context import Context
from fhir_server.interactions.merge import merged
from fhir_server.resources.codec import Tree, decode, encode
from fhir_server.resources.types import RESOURCE_TYPES, definitions
from fhir_server.search.extract import contained as contained_in
from fhir_server.search.match import matches
from fhir_server.search.parse import Search
from fhir_server.search.predicate import Contains, Nothing, Predicate, any_of
from fhir_server.search.query import Position, Query
from fhir_server.search.values import Values
from fhir_server.store.api import Page, Stored

Shown = tuple[str, bytes]
"""An entry of the answer: its fullUrl and its canonical JSON."""

_Part = tuple[int, str, bytes]
"""An entry with its number within the container: 0 is the container itself."""

_STEP: Final = 200
_MOST_COUNTED: Final = 20_000


def containers(context: Context, search: Search) -> list[Query]:
    """Return the queries that find a search's contained resources, one for each type of their containers.

    With ``_contained=both`` the query of the type that is searched finds its own matches too. Empty where the
    caller may see nothing of that type.
    """
    asked, visibility = search.query, context.visibility
    inside = Contains(asked.type, asked.where)
    is_both = search.contained == "both"

    def is_open(type_: str) -> bool:
        return not isinstance(visibility.right_to(type_), Nothing)

    if not is_open(asked.type):
        return []
    types = _containing() | ({asked.type} if is_both else set())
    return [
        replace(
            asked,
            type=each,
            where=any_of((asked.where, inside)) if is_both and each == asked.type else inside,
        )
        for each in sorted(types)
        if is_open(each)
    ]


@cache
def _containing() -> frozenset[str]:
    """Return the types that can contain others; events of the audit are the server's and contain nothing."""
    found = (each for each in RESOURCE_TYPES if "contained" in definitions()[each].properties)
    return frozenset(found) - {"AuditEvent"}


async def contained(
    context: Context, search: Search, queries: Sequence[Query], cursor: Position | None, *, back: bool
) -> tuple[Page, list[Shown]]:
    """Return one page, and its entries where these are not the page's resources but parts of them.

    ``_containedType=contained``: each contained resource counts as one match. A position is then that of the
    container, with the number of the resource within it after its keys.
    """
    if search.contained_type == "container":
        page = await merged(context, queries, cursor, back=back)
        return page, [(_address(context, each), each.body) for each in page.matches]
    parts = _Parts(context, search)
    total = await parts.count(queries) if search.query.total == "accurate" else None
    if not search.query.count:
        return Page([], total, None), []
    return await parts.page(queries, cursor, total, back=back)


class _Parts:
    """The matches of one search within the containers that hold them."""

    def __init__(self, context: Context, search: Search) -> None:
        self._context = context
        self._type = search.query.type
        self._where = search.query.where
        self._is_both = search.contained == "both"
        self._wanted = search.query.count
        self._down = bool(search.query.sort) and search.query.sort[0].descending

    async def page(
        self, queries: Sequence[Query], cursor: Position | None, total: int | None, *, back: bool
    ) -> tuple[Page, list[Shown]]:
        """Return the page that lies after, or before, ``cursor``, and its entries."""
        # One more container than entries are wanted: the first may have given all its entries already.
        queries = [replace(each, count=self._wanted + 1, total="none") for each in queries]
        start = None if cursor is None else self._including(cursor, back=back)
        found = await merged(self._context, queries, start, back=back)
        entries: list[tuple[Position, Shown]] = []
        for stored, at in zip(found.matches, found.positions, strict=True):
            for number, url, body in self._of(stored):
                if not _is_beyond(cursor, at, number, back=back):
                    entries.append((Position((*at.keys, number), at.tie), (url, body)))
        rest = found.previous if back else found.next
        more = rest is not None or len(entries) > self._wanted
        entries = entries[-self._wanted :] if back else entries[: self._wanted]
        before, after = (more, True) if back else (cursor is not None, more)
        page = Page(
            matches=[],
            total=total,
            next=entries[-1][0] if entries and after else None,
            previous=entries[0][0] if entries and before else None,
            plan=found.plan,
        )
        return page, [shown for _, shown in entries]

    async def count(self, queries: Sequence[Query]) -> int:
        """Return how many entries all pages have together; Fault(TOO_COSTLY) beyond a limit."""
        total = opened = 0
        # Who asks for a number is told of no single record.
        with unnoted():
            for query in queries:
                after: Position | None = None
                while True:
                    step = replace(query, count=_STEP, sort=(), total="none", explain=False, after=after)
                    found = await self._context.store.search(self._context.visibility, step)
                    opened += len(found.matches)
                    if opened > _MOST_COUNTED:
                        raise Fault(
                            Kind.TOO_COSTLY,
                            f"More than {_MOST_COUNTED} resources would be opened to count what they contain."
                            " Leave out _total, or ask for _containedType=container.",
                        )
                    if found.matches:
                        # Off the event loop: others are waiting.
                        total += await asyncio.to_thread(self._number, found.matches)
                    if found.next is None:
                        break
                    after = found.next
        return total

    def _number(self, found: Sequence[Stored]) -> int:
        return sum(1 for stored in found for _ in self._of(stored))

    def _of(self, stored: Stored) -> Iterator[_Part]:
        """Yield the entries of one container, in their order within it."""
        values = self._context.services.extractor.from_body(stored.type, stored.body)
        address = _address(self._context, stored)
        is_asked = self._is_both and stored.type == self._type
        if is_asked and _holds(self._where, stored.type, stored.id, values):
            yield 0, address, stored.body
        tree = decode(stored.body)
        rows = zip(contained_in(tree), values.contained, strict=True)
        for number, (each, (type_, id_, inner)) in enumerate(rows, 1):
            if type_ == self._type and _holds(self._where, type_, id_, inner):
                yield number, f"{address}#{id_}", encode(_alone(each, tree, address))

    def _including(self, cursor: Position, *, back: bool) -> Position:
        """Return the position next to a container, so that it is found again: it may have more entries."""
        step = 1 if self._down is not back else -1
        return Position(cursor.keys[:-1], cursor.tie + step)


def _is_beyond(cursor: Position | None, at: Position, number: int, *, back: bool) -> bool:
    """Tell whether an entry of the container at a position was told already: the cursor is after it."""
    if cursor is None or (cursor.keys[:-1], cursor.tie) != (at.keys, at.tie):
        return False
    told = cast("int", cursor.keys[-1])
    return number >= told if back else number <= told


def _holds(where: Predicate, type_: str, id_: str, values: Values) -> bool:
    """Judge by a resource's own values: a search of contained ones follows no reference."""
    return matches(where, type_, id_, values, lambda *_: None, lambda *_: ())


def _alone(tree: Tree, container: Tree, address: str) -> Tree:
    """Return a contained resource as it stands by itself.

    It has the security labels of its container, for it has none of its own (dom-5); it contains what it
    refers to beside itself, and refers to its container by address.
    """
    meta: Tree = dict(tree.get("meta", {}))
    labels = container.get("meta", {}).get("security")
    if labels:
        meta["security"] = labels
    first = {"resourceType": tree["resourceType"], "id": tree.get("id"), "meta": meta}
    made: Tree = {**first, "contained": _beside(tree, container)}
    made |= {key: value for key, value in tree.items() if key not in first}
    moved: Tree = _referring(made, {"#": address, f"#{tree.get('id')}": "#"})
    return {key: value for key, value in moved.items() if value or key not in ("id", "meta", "contained")}


def _beside(tree: Tree, container: Tree) -> list[Tree]:
    """Return what a contained resource refers to within its container, in order, and what this refers to."""
    known = {f"#{each.get('id')}": each for each in contained_in(container)}
    reached: set[str] = set()
    waiting: list[Any] = [tree]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str) and value in known and value not in reached:
            reached.add(value)
            waiting.append(known[value])
    return [each for name, each in known.items() if name in reached and each is not tree]


def _referring(value: Any, moved: Mapping[str, str]) -> Any:
    """Return a value in which the references to what has moved lead there."""
    if isinstance(value, list):
        return [_referring(each, moved) for each in value]
    if not isinstance(value, dict):
        return value
    made = {key: _referring(each, moved) for key, each in value.items()}
    target = made.get("reference")
    if isinstance(target, str) and target in moved:
        made["reference"] = moved[target]
    return made


def _address(context: Context, stored: Stored) -> str:
    return f"{context.request.base}/{stored.type}/{stored.id}"
