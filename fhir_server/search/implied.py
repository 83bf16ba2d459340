"""What a question says already need not be asked again: a right that every match has by being asked for.

Who may see what refers to Patient/1 and asks for the observations of Patient/1 sees every match. Testing the
right once more for each of them cost as much as the search itself.
"""

from __future__ import annotations

from functools import lru_cache

from fhir_server.search.parameters import parameters
from fhir_server.search.predicate import (
    EVERYTHING,
    All,
    AnyOf,
    IdIn,
    Predicate,
    ReferenceIs,
    Where,
    all_of,
)
from fhir_server.search.targets import implies


def still_to_ask(right: Predicate, asked: Predicate, type_: str) -> Predicate:
    """Return what of ``right`` must be tested where ``asked`` holds of a ``type_``; EVERYTHING for nothing.

    ``asked`` and the result hold for the same resources as ``asked`` and ``right`` do.
    """
    if isinstance(right, All):
        return all_of(still_to_ask(each, asked, type_) for each in right.items)
    given = asked.items if isinstance(asked, All) else (asked,)
    ways = right.items if isinstance(right, AnyOf) else (right,)
    is_had = any(_follows(way, each, type_) for each in given for way in ways)
    return EVERYTHING if is_had else right


def _follows(way: Predicate, given: Predicate, type_: str) -> bool:
    """Tell whether whatever satisfies ``given`` satisfies ``way``; False when that is not plain to see."""
    if isinstance(way, IdIn):
        return isinstance(given, IdIn) and {*given.ids} <= {*way.ids}
    if not (isinstance(way, Where) and isinstance(given, Where)):
        return False
    if not (isinstance(way.test, ReferenceIs) and isinstance(given.test, ReferenceIs)):
        return False
    return {*given.test.targets} <= {*way.test.targets} and _is_part(type_, given.param, way.param)


@lru_cache(maxsize=4096)
def _is_part(type_: str, narrow: str, wide: str) -> bool:
    """Tell whether each reference that R4's parameter ``narrow`` finds in a ``type_``, ``wide`` finds too."""
    if narrow == wide:
        return True
    few, many = (parameters(type_).get(code) for code in (narrow, wide))
    return few is not None and many is not None and implies(type_, few.expression, many.expression)
