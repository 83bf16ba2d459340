"""How a search is carried out, as names and numbers: nothing of a record or of what was searched for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from fhir_server.search.predicate import (
    About,
    All,
    AnyOf,
    Chain,
    Contains,
    Everything,
    Has,
    IdIn,
    Not,
    Nothing,
    Predicate,
    Together,
    Where,
)
from fhir_server.search.values import CONTAINED
from fhir_server.store.mongo.compile import Plan, conjuncts
from fhir_server.store.mongo.question import Question, nodes
from fhir_server.store.mongo.sorting import Order

CANDIDATES: Final = 1000
"""So far candidates are counted for a plan."""


def describe(asked: Question, plan: Plan, way: Order, candidates: int) -> dict[str, Any]:
    """Return what each condition is answered by, what is looked up of each candidate, and what orders them.

    ``candidates``: those that pass what indexes answer, counted up to :data:`CANDIDATES`.
    """
    return {
        "type": asked.type,
        "candidates": f"{CANDIDATES}+" if candidates >= CANDIDATES else candidates,
        "tests": list(_tests(asked)),
        "stages": [next(iter(stage)) for stage in plan.stages],
        "order": _order(way),
    }


def _tests(asked: Question) -> Iterator[dict[str, Any]]:
    for item in conjuncts(asked.predicate):
        if not isinstance(item, Everything):
            yield {"condition": _label(item), "by": _by(asked, item), **_inside(asked, item)}


def _by(asked: Question, item: Predicate) -> str:
    """Say what answers a condition: the dearest thing that is needed for it."""
    among = [id(node) for node in nodes(item)]
    if any(id_ in asked.leaves and not asked.leaves[id_].exact for id_ in among):
        return "opened record"
    is_followed = any(id_ in asked.links and id_ not in asked.found for id_ in among)
    return "look-up" if is_followed or _speaks_of_classes(item) else "index"


def _speaks_of_classes(item: Predicate) -> bool:
    match item:
        case About():
            return True
        case All(items) | AnyOf(items):
            return any(map(_speaks_of_classes, items))
        case Not(inner):
            return _speaks_of_classes(inner)
    return False


def _inside(asked: Question, item: Predicate) -> dict[str, Any]:
    """Describe the other end of a link."""
    if id(item) not in asked.links:
        return {}
    inner = asked.links[id(item)][1]
    return {"inside": {"type": inner.type, "tests": list(_tests(inner))}}


def _label(item: Predicate) -> str:  # noqa: PLR0911 - one case for each node
    match item:
        case Where(param, _) | Together(param, _):
            return param
        case Contains():
            return CONTAINED
        case IdIn():
            return "_id"
        case Chain(param, type_, _):
            return f"{param}:{type_}"
        case Has(type_, param, _):
            return f"_has:{type_}:{param}"
        case About():
            return "policy class"
        case AnyOf():
            return "any"
        case Nothing():
            return "nowhere"
    return "not" if isinstance(item, Not) else "all"


def _order(way: Order) -> str:
    if way.opens:
        return "keys of every candidate, opened"
    if not way.keys:
        return "creation"
    return "the index of the date" if way.is_indexed else "keys of every candidate"
