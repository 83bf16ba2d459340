"""Kinds of searches that took too long for the event loop lately: the next of a kind begins in the pool.

A try that is stopped costs all that it was allowed, for nothing. A shape is what a search asks for without
any value: type, parameters, kinds of tests, order, sizes by powers of two. Nothing of it tells of anybody.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from fhir_server.search.predicate import (
    All,
    AnyOf,
    Chain,
    Has,
    IdIn,
    Not,
    Predicate,
    ReferenceIs,
    Together,
    TokenIn,
    Where,
)
from fhir_server.search.query import Query

Shape = tuple[object, ...]

_TRUST: Final = 8
"""So many of a shape must be quick in a row before the next is tried in the event loop again: to hand over
costs less than a try that is stopped."""

_MOST: Final = 256
_BRANCHES: Final = 16
"""Branches of a condition that count for its shape."""


def shape_of(query: Query, *, is_guarded: bool) -> Shape:
    """Return the shape of a search; ``is_guarded``: not everything of its type may be seen by who asks."""
    pages = (query.after is not None, query.before is not None)
    asked = (query.count.bit_length(), query.total, query.sort, *pages)
    return (query.type, is_guarded, asked, _outline(query.where))


def _outline(predicate: Predicate) -> Shape:  # noqa: PLR0911 - a case for each node
    match predicate:
        case Where(param, ReferenceIs(targets)):
            return (param, ReferenceIs, len(targets).bit_length())
        case Where(param, TokenIn(members)):
            return (param, TokenIn, len(members).bit_length())
        case Where(param, test):
            return (param, type(test))
        case IdIn(ids):
            return (IdIn, len(ids).bit_length())
        case Chain(param, type_, inner) | Has(type_, param, inner):
            return (type(predicate), type_, param, _outline(inner))
        case All(items) | AnyOf(items):
            return (type(predicate), *map(_outline, items[:_BRANCHES]))
        case Not(inner):
            return (Not, _outline(inner))
        case Together(param):
            return (Together, param)
    return (type(predicate),)


class Stopped:
    """The shapes that were stopped lately. For one event loop; the longest unseen are forgotten first."""

    def __init__(self) -> None:
        self._left: OrderedDict[Shape, int] = OrderedDict()

    def __bool__(self) -> bool:
        """Tell whether there is any."""
        return bool(self._left)

    def __contains__(self, shape: Shape) -> bool:
        """Tell whether searches of this shape should begin in the pool."""
        return shape in self._left

    def add(self, shape: Shape) -> None:
        """Note that a search of this shape was stopped, or would have been."""
        self._left[shape] = _TRUST
        self._left.move_to_end(shape)
        if len(self._left) > _MOST:
            self._left.popitem(last=False)

    def was_quick(self, shape: Shape) -> None:
        """Note that a search of this shape would not have been stopped."""
        left = self._left.pop(shape, 0) - 1
        if left > 0:
            self._left[shape] = left
