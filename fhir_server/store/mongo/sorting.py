"""The order of a search: which field holds each key, and where a page starts.

The key of a resource is its least value in an ascending sort and its greatest in a descending one, whichever
way the pages are walked; none is least; ties go by ``n``, in the direction of the first key.
https://hl7.org/fhir/R4/search.html#sort
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cmp_to_key
from typing import Any, Final, Literal

from fhir_server.search.joined import indexed_as
from fhir_server.search.match import sort_key
from fhir_server.search.query import Position, Query, Sort, SortKey
from fhir_server.search.values import Values
from fhir_server.store.mongo.client import Document
from fhir_server.store.mongo.documents import UPDATED
from fhir_server.store.mongo.filters import FALSE, TRUE, Filter, Stage, all_of, any_of
from fhir_server.store.mongo.keys import Keys, parameter

Kind = Literal["stored", "spans", "text", "none"]
"""Where a sort's keys come from: a field, the spans of the document, the opened resource, nowhere."""

_CREATED: Final = "n"


@dataclass(frozen=True, slots=True)
class Key:
    """A sort with the field that holds its key, and the expression that computes it; None: it is stored."""

    sort: Sort
    kind: Kind
    field: str
    expression: Any = None


@dataclass(frozen=True, slots=True)
class Order:
    """The order in which a query's pages are walked, forth or back."""

    keys: tuple[Key, ...]
    start: Position | None
    back: bool

    @property
    def is_indexed(self) -> bool:
        """True when an index may come in this order, so that what follows is done for the first ones only."""
        if not self.keys:
            return True
        return len(self.keys) == 1 and self.keys[0].field in ("D", "Y")

    @property
    def opens(self) -> bool:
        """True when only opened resources tell the keys."""
        return any(key.kind == "text" for key in self.keys)

    @property
    def computing(self) -> list[Stage]:
        """The stage that computes keys, if any is computed."""
        computed = {key.field: key.expression for key in self.keys if key.expression is not None}
        return [{"$set": computed}] if computed else []

    @property
    def sorting(self) -> Stage:
        """The stage that sorts."""
        by = {key.field: self._direction(key.sort.descending) for key in self.keys}
        return {"$sort": {**by, _CREATED: self._direction(self._first_descends)}}

    @property
    def coming(self) -> Filter:
        """The filter of what is still to come after the start, in the direction walked."""
        if self.start is None:
            return TRUE
        equal: list[Filter] = []
        branches: list[Filter] = []
        for key, value in zip(self.keys, self.start.keys, strict=True):
            down = self._direction(key.sort.descending) < 0
            branches.append(all_of([*equal, _beyond(key.field, value, down=down)]))
            equal.append({key.field: value})
        sign = "$lt" if self._direction(self._first_descends) < 0 else "$gt"
        branches.append(all_of([*equal, {_CREATED: {sign: self.start.tie}}]))
        return any_of(branches)

    def position(self, document: Document) -> Position:
        """Return where a document stands that has its key fields."""
        keys = tuple(_plain(document.get(key.field)) for key in self.keys)
        return Position(keys, int(document[_CREATED]))

    def opened(self, type_: str, id_: str, values: Values, created: int) -> Position:
        """Return where a resource stands, given its values."""
        return Position(tuple(_opened(type_, id_, values, key.sort) for key in self.keys), int(created))

    def is_coming(self, position: Position) -> bool:
        """Tell whether what stands at ``position`` is still to come."""
        return self.start is None or self._compare(position, self.start) > 0

    @property
    def rank(self) -> Any:
        """A key function by which Python sorts positions in the direction walked."""
        return cmp_to_key(self._compare)

    def _compare(self, one: Position, other: Position) -> int:
        for key, mine, theirs in zip(self.keys, one.keys, other.keys, strict=True):
            if mine != theirs:
                return self._direction(key.sort.descending) * (1 if _is_more(mine, theirs) else -1)
        return self._direction(self._first_descends) * ((one.tie > other.tie) - (one.tie < other.tie))

    @property
    def _first_descends(self) -> bool:
        return bool(self.keys) and self.keys[0].sort.descending

    def _direction(self, descending: bool) -> int:
        return -1 if descending is not self.back else 1


def order(query: Query, kinds: Mapping[str, Kind], clinical: str | None) -> Order:
    """Return the order of a query. ``clinical``: the parameter that is its type's clinical date."""
    keys = tuple(_key(query.type, sort, kinds, clinical, place) for place, sort in enumerate(query.sort))
    return Order(keys, query.before or query.after, query.before is not None)


def stored(sort: Sort, clinical: str | None) -> str | None:
    """Return the field that holds the key of a sort in every document; None: none does."""
    if sort.param == UPDATED:
        return "Y" if sort.descending else "y"
    if sort.param == clinical:
        return "D" if sort.descending else "d"
    return None


def probe(type_: str, param: str, keys: Keys) -> list[Stage]:
    """Return the pipeline that finds one resource with a value of ``param``, and its spans in ``x``.

    A parameter has values of one kind only, so that one resource tells which.
    """
    numbers = [parameter(type_, each) for each in indexed_as(type_, param)]
    present = [keys.present(p) for p in numbers]
    return [
        {"$match": {"t": type_, "l": 1, "k": {"$in": present}}},
        {"$limit": 1},
        {"$project": {"_id": 0, "x": {"$size": _spans(numbers)}}},
    ]


def _key(type_: str, sort: Sort, kinds: Mapping[str, Kind], clinical: str | None, place: int) -> Key:
    field = stored(sort, clinical)
    if field is not None:
        return Key(sort, "stored", field)
    name, kind = f"s{place}", kinds[sort.param]
    if kind == "spans":
        numbers = [parameter(type_, each) for each in indexed_as(type_, sort.param)]
        begins = {"$map": {"input": _spans(numbers), "in": "$$this.a"}}
        return Key(sort, kind, name, {"$max" if sort.descending else "$min": begins})
    return Key(sort, kind, name, {"$literal": None})


def _spans(numbers: Sequence[int]) -> Stage:
    both = {"$concatArrays": ["$i", "$q"]}
    return {"$filter": {"input": both, "cond": {"$in": ["$$this.p", list(numbers)]}}}


def _beyond(field: str, value: SortKey, *, down: bool) -> Filter:
    """Return the filter of keys that come later; null is less than every value."""
    if value is None:
        return FALSE if down else {field: {"$ne": None}}
    return {"$or": [{field: {"$lt": value}}, {field: None}]} if down else {field: {"$gt": value}}


def _opened(type_: str, id_: str, values: Values, sort: Sort) -> SortKey:
    parts = [Sort(each, sort.descending) for each in indexed_as(type_, sort.param)]
    found: list[Any] = [key for key in (sort_key(id_, values, part) for part in parts) if key is not None]
    if not found:
        return None
    chosen: SortKey = max(found) if sort.descending else min(found)
    return chosen


def _plain(value: Any) -> SortKey:
    """Return a key as a number of Python's own: the driver's Int64 is none to every encoder."""
    return int(value) if isinstance(value, int) else value


def _is_more(one: Any, other: Any) -> bool:
    return other is None or (one is not None and one > other)
