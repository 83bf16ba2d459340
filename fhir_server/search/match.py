"""What a predicate means, in plain Python: slow and obvious, the measure of every store.

The stores must return the same resources in the same order on any data (tests/contract).
https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from fhir_server.search.fold import fold
from fhir_server.search.predicate import (
    About,
    All,
    AnyOf,
    Chain,
    Contains,
    DateIs,
    Everything,
    Has,
    HasWords,
    IdIn,
    Near,
    Not,
    Nothing,
    NumberIs,
    Predicate,
    Present,
    QuantityIs,
    ReferenceIs,
    StringContains,
    StringEnds,
    StringIs,
    StringStarts,
    Test,
    Together,
    TokenIn,
    TokenIs,
    UriIs,
    Where,
)
from fhir_server.search.query import Position, Query, Sort, SortKey
from fhir_server.search.sphere import distance
from fhir_server.search.values import Values
from fhir_server.search.visibility import Visibility

Resolve = Callable[[str, str], Values | None]
"""(type, id) → the values of the current resource; None when there is none."""

Referrers = Callable[[str, str, str], Iterable[tuple[str, Values]]]
"""(type, param, target) → (id, values) of current resources of ``type`` whose ``param`` refers to target."""


ClassOf = Callable[[str], int]
"""A patient's id → the policy class that it is in now; 0 when it is in none."""


def unclassed(_patient: str) -> int:
    """Refuse to say which policy class a patient is in: for questions in which no :class:`About` may be."""
    raise LookupError("policy classes are not known here")


def matches(  # noqa: C901, PLR0911 - one case for each node of the tree
    predicate: Predicate,
    type_: str,
    id_: str,
    values: Values,
    resolve: Resolve,
    referrers: Referrers,
    class_of: ClassOf = unclassed,
) -> bool:
    """Say whether the resource ``type_/id_`` with these values satisfies the predicate."""

    def holds(item: Predicate) -> bool:
        return matches(item, type_, id_, values, resolve, referrers, class_of)

    match predicate:
        case Everything():
            return True
        case Nothing():
            return False
        case Where(param, test):
            return passes(test, param, values)
        case Together(param, tests):
            return any(together(tests, row) for name, row in values.composites if name == param)
        case IdIn(ids):
            return id_ in ids
        case All(items):
            return all(holds(item) for item in items)
        case AnyOf(items):
            return any(holds(item) for item in items)
        case Not(item):
            return not holds(item)
        case Chain(param, target_type, inner):
            linked = ((to, resolve(target_type, to)) for to in _linked(values, param, target_type))
            return any(
                matches(inner, target_type, to, found, resolve, referrers, class_of)
                for to, found in linked
                if found is not None
            )
        case Has(source_type, param, inner):
            return any(
                matches(inner, source_type, source, found, resolve, referrers, class_of)
                for source, found in referrers(source_type, param, f"{type_}/{id_}")
            )
        case Contains(inside, inner):
            return any(
                matches(inner, inside, each, found, resolve, referrers, class_of)
                for named, each, found in values.contained
                if named == inside
            )
        case About(classes, above):
            numbers = map(class_of, values.patients)
            return any(number in classes or (above is not None and number > above) for number in numbers)


def _linked(values: Values, param: str, type_: str) -> Iterator[str]:
    """Yield the ids of the resources of ``type_`` that ``param`` refers to."""
    for name, target in values.references:
        named, slash, id_ = target.partition("/")
        if name == param and slash and named == type_:
            yield id_


def passes(  # noqa: C901, PLR0911, PLR0912 - one case for each test
    test: Test, param: str, values: Values
) -> bool:
    """Say whether some value of ``param`` passes ``test``.

    Of the tests that look at more than one row in one column:
    :class:`TokenIn`: some token is a member, with its system, or with None for any system.
    :class:`Near`: some position lies within the distance, its limit included, by :func:`sphere.distance`.
    :class:`HasWords`: the parameter's words, all of the resource together, hold every word asked for.
    """
    match test:
        case Present():
            return any(True for _ in _of(values, param))
        case TokenIs(system, code):
            tokens = ((s, c) for name, s, c in values.tokens if name == param)
            return any(system in (None, s) and code in (None, c) for s, c in tokens)
        case TokenIn(members):
            tokens = ((s, c) for name, s, c in values.tokens if name == param)
            return any((s, c) in members or (None, c) in members for s, c in tokens)
        case StringStarts(start):
            return any(name == param and fold(text).startswith(start) for name, text in values.strings)
        case StringContains(part):
            return any(name == param and part in fold(text) for name, text in values.strings)
        case StringEnds(end, whole):
            folded = (fold(text) for name, text in values.strings if name == param)
            return any(text == end if whole else text.endswith(end) for text in folded)
        case StringIs(exact):
            return (param, exact) in values.strings
        case UriIs(uri):
            return (param, uri) in values.uris
        case ReferenceIs(targets):
            return any(name == param and target in targets for name, target in values.references)
        case DateIs():
            return any(name == param and date_is(test, lo, hi) for name, lo, hi in values.dates)
        case NumberIs():
            return any(name == param and number_is(test, lo, hi) for name, lo, hi in values.numbers)
        case QuantityIs(number, system, unit):
            return any(
                number_is(number, lo, hi) and system in (None, s) and unit in (None, code, name)
                for row_param, s, code, name, lo, hi in values.quantities
                if row_param == param
            )
        case Near(latitude, longitude, metres):
            return any(
                name == param and distance(latitude, longitude, lat, lon) <= metres
                for name, lat, lon in values.positions
            )
        case HasWords(words):
            return words <= {word for name, word in values.words if name == param}


def together(tests: tuple[Test, ...], components: tuple[tuple[tuple[Any, ...], ...], ...]) -> bool:
    """Say whether one element of a composite passes: some value of each component its test, in their order.

    A component's values are rows without their parameter, as in :attr:`Values.composites`. One without values
    passes no test, and a test of another kind than the values (a date's on a token) is not passed either.
    """
    return len(tests) == len(components) and all(
        passes(test, "", _component(rows)) for test, rows in zip(tests, components, strict=True)
    )


def _component(rows: tuple[tuple[Any, ...], ...]) -> Values:
    """Return the values of one component as if they were those of a parameter without a name."""
    values = Values()
    kinds: dict[str, list[Any]] = {
        "token": values.tokens,
        "quantity": values.quantities,
        "number": values.numbers,
        "date": values.dates,
        "string": values.strings,
        "reference": values.references,
        "uri": values.uris,
    }
    for kind, *columns in rows:
        kinds[kind].append(("", *columns))
    return values


def _of(values: Values, param: str) -> Iterator[object]:
    """Yield every row of ``param``, whatever its kind."""
    for kind in (
        values.tokens,
        values.strings,
        values.dates,
        values.numbers,
        values.quantities,
        values.references,
        values.uris,
        values.composites,
        values.positions,
        values.words,
    ):
        for row in kind:
            if row[0] == param:
                yield row


def date_is(test: DateIs, lo: int, hi: int) -> bool:  # noqa: PLR0911 - one line for each prefix
    """Compare a stored span with the one searched for. https://hl7.org/fhir/R4/search.html#prefix"""
    within = lo >= test.lo and hi <= test.hi
    match test.prefix:
        case "eq":
            return within
        case "ne":
            return not within
        case "gt":
            return hi > test.hi
        case "lt":
            return lo < test.lo
        case "ge":
            return hi > test.hi or within
        case "le":
            return lo < test.lo or within
        case "sa":
            return lo > test.hi
        case "eb":
            return hi < test.lo
        case "ap":
            return lo <= test.hi and hi >= test.lo


def number_is(test: NumberIs, lo: float, hi: float) -> bool:  # noqa: PLR0911 - one line for each prefix
    """Compare a stored number, or a Range from ``lo`` to ``hi``, with the one searched for."""
    within = lo >= test.lo and hi < test.hi
    match test.prefix:
        case "eq":
            return within
        case "ne":
            return not within
        case "gt":
            return hi > test.value
        case "lt":
            return lo < test.value
        case "ge":
            return hi >= test.value
        case "le":
            return lo <= test.value
        case "sa":
            return lo > test.value
        case "eb":
            return hi < test.value
        case "ap":
            return hi >= test.lo and lo < test.hi


def sort_key(id_: str, values: Values, sort: Sort) -> SortKey:
    """Return what a resource is ordered by: its least value ascending, its greatest descending; None without.

    Spans (dates, Ranges) count by where they begin; strings folded; tokens by code; references by target.
    """
    param = sort.param
    if param == "_id":
        return id_
    # A parameter has values of one kind, so that what is compared is of one type.
    keys: list[float] | list[str] = [lo for name, lo, _ in (*values.dates, *values.numbers) if name == param]
    keys = keys or [row[4] for row in values.quantities if row[0] == param]
    keys = keys or [fold(text) for name, text in values.strings if name == param]
    keys = keys or [code for name, _, code in values.tokens if name == param]
    keys = keys or [to for name, to in (*values.references, *values.uris) if name == param]
    if not keys:
        return None
    return max(keys) if sort.descending else min(keys)


@dataclass(frozen=True, slots=True)
class Found:
    """One page as :class:`Catalog` finds it: ids in order, their number in all, where the next starts.

    ``previous``: the ``before`` of the page that comes before; None when nothing does.
    """

    ids: tuple[str, ...]
    total: int | None
    next: Position | None
    previous: Position | None = None


class Catalog:
    """Current resources in memory, in order of their creation: what a store must answer, told simply."""

    def __init__(
        self, entries: Iterable[tuple[str, str, Values]] = (), class_of: ClassOf = unclassed
    ) -> None:
        self._class_of = class_of
        self._entries: dict[tuple[str, str], Values] = {}
        self._ordinals: dict[tuple[str, str], int] = {}
        for type_, id_, values in entries:
            self.put(type_, id_, values)

    def put(self, type_: str, id_: str, values: Values) -> None:
        """Create a resource, or update one; it keeps the place of its first creation, even after deletion."""
        self._entries[type_, id_] = values
        self._ordinals.setdefault((type_, id_), len(self._ordinals))

    def remove(self, type_: str, id_: str) -> None:
        """Delete a resource."""
        del self._entries[type_, id_]

    def matching(self, visibility: Visibility, type_: str, where: Predicate) -> list[str]:
        """Return the ids of what matches and may be seen, in order of creation."""
        joined = visibility.restrict(type_, where)
        return [
            id_
            for named, id_ in sorted(self._entries, key=self._ordinals.__getitem__)
            if named == type_ and self._matches(joined, type_, id_)
        ]

    def _matches(self, where: Predicate, type_: str, id_: str) -> bool:
        values = self._entries[type_, id_]
        return matches(where, type_, id_, values, self._resolve, self._referrers, self._class_of)

    def search(self, visibility: Visibility, query: Query) -> Found:
        """Return one page, as :meth:`fhir_server.store.api.Store.search` does.

        Missing keys are least. Ties are in order of creation, reversed when the first sort descends. The tie
        of a position is the ordinal of the resource's creation.
        """
        ids = self.matching(visibility, query.type, query.where)
        total = len(ids) if query.total == "accurate" else None
        edge = query.before or query.after
        placed = [(self._position(query, id_), id_) for id_ in ids]
        if edge is None:
            earlier, later = [], _ordered(query.sort, placed)
        else:
            # The other page's edge stands among the matches, behind its own resource if that is still there.
            ordered = _ordered(query.sort, [*placed, (edge, "")])
            cut = ordered.index((edge, ""))
            earlier, later = [each for each in ordered[:cut] if each[0] != edge], ordered[cut + 1 :]
        if query.before:
            page = earlier[-query.count :] if query.count else []
            more = len(earlier) > len(page)
        else:
            page = later[: query.count]
            more = len(later) > len(page)
        found = Found(tuple(id_ for _, id_ in page), total, None)
        if not page:
            return found
        first, last = page[0][0], page[-1][0]
        if query.before:
            return replace(found, next=last, previous=first if more else None)
        return replace(found, next=last if more else None, previous=first if query.after else None)

    def _position(self, query: Query, id_: str) -> Position:
        key = query.type, id_
        keys = tuple(sort_key(id_, self._entries[key], sort) for sort in query.sort)
        return Position(keys, self._ordinals[key])

    def _resolve(self, type_: str, id_: str) -> Values | None:
        return self._entries.get((type_, id_))

    def _referrers(self, type_: str, param: str, target: str) -> Iterator[tuple[str, Values]]:
        for (named, id_), values in self._entries.items():
            if named == type_ and (param, target) in values.references:
                yield id_, values


def _ordered(sorts: tuple[Sort, ...], placed: list[tuple[Position, str]]) -> list[tuple[Position, str]]:
    """Sort by the tie, then by each key from the last to the first: every round keeps the order of equals."""
    ordered = sorted(placed, key=lambda each: each[0].tie, reverse=bool(sorts) and sorts[0].descending)
    for number, sort in reversed(list(enumerate(sorts))):
        ordered = sorted(ordered, key=lambda each: _comparable(each[0].keys[number]), reverse=sort.descending)
    return ordered


def _comparable(key: SortKey) -> tuple[int, float | str]:
    """Put None before every value."""
    return (0, 0) if key is None else (1, key)
