"""FHIRPath functions on collections: existence, filtering, subsetting, combining, navigation.

http://hl7.org/fhirpath/N1/#functions
"""

from __future__ import annotations

from typing import Any

from fhir_server.resources.fhirpath.ast import FhirPathError
from fhir_server.resources.fhirpath.node import Node, children, members, resource_type, system, wrap
from fhir_server.resources.fhirpath.operators import FALSE, TRUE, boolean, distinct, holds, single
from fhir_server.resources.fhirpath.registry import each, function
from fhir_server.resources.fhirpath.scope import Closure, Items, Scope, truth
from fhir_server.resources.fhirpath.values import fingerprint


@function("empty")
def _empty(_: Scope, items: Items) -> Items:
    return FALSE if items else TRUE


@function("exists", 0, 1)
def _exists(scope: Scope, items: Items, criteria: Closure | None = None) -> Items:
    if criteria is None:
        return TRUE if items else FALSE
    return TRUE if _where(scope, items, criteria) else FALSE


@function("not")
def _not(_: Scope, items: Items) -> Items:
    value = truth(items)
    return [] if value is None else boolean(not value)


@function("all", 1)
def _all(scope: Scope, items: Items, criteria: Closure) -> Items:
    return boolean(all(truth(result) for result in each(scope, items, criteria)))


def _truths(items: Items) -> list[bool | None]:
    return [truth([item]) for item in items]


@function("allTrue")
def _all_true(_: Scope, items: Items) -> Items:
    return boolean(all(_truths(items)))


@function("anyTrue")
def _any_true(_: Scope, items: Items) -> Items:
    return boolean(any(_truths(items)))


@function("allFalse")
def _all_false(_: Scope, items: Items) -> Items:
    return boolean(all(value is False for value in _truths(items)))


@function("anyFalse")
def _any_false(_: Scope, items: Items) -> Items:
    return boolean(False in _truths(items))


@function("subsetOf", 1)
def _subset_of(scope: Scope, items: Items, other: Closure) -> Items:
    whole = other(scope)
    return boolean(all(holds(whole, item) for item in items))


@function("supersetOf", 1)
def _superset_of(scope: Scope, items: Items, other: Closure) -> Items:
    return boolean(all(holds(items, item) for item in other(scope)))


@function("count")
def _count(_: Scope, items: Items) -> Items:
    return [system(len(items))]


@function("distinct")
def _distinct(_: Scope, items: Items) -> Items:
    return distinct(items)


@function("isDistinct")
def _is_distinct(_: Scope, items: Items) -> Items:
    return boolean(len(distinct(items)) == len(items))


@function("where", 1)
def _where(scope: Scope, items: Items, criteria: Closure) -> Items:
    results = each(scope, items, criteria)
    return [item for item, result in zip(items, results, strict=True) if truth(result)]


@function("select", 1)
def _select(scope: Scope, items: Items, projection: Closure) -> Items:
    return [item for result in each(scope, items, projection) for item in result]


@function("repeat", 1)
def _repeat(scope: Scope, items: Items, projection: Closure) -> Items:
    found: Items = []
    seen: set[Any] = set()
    queue = items
    while queue:
        fresh: Items = []
        for item in _select(scope, queue, projection):
            # Nodes are made anew on every step, so an object is known by the JSON value that it stands for.
            key = id(item.value) if type(item.value) is dict else fingerprint(item)
            if key not in seen:
                seen.add(key)
                fresh.append(item)
        queue = fresh
        found += fresh
    return found


@function("first")
def _first(_: Scope, items: Items) -> Items:
    return items[:1]


@function("last")
def _last(_: Scope, items: Items) -> Items:
    return items[-1:]


@function("tail")
def _tail(_: Scope, items: Items) -> Items:
    return items[1:]


@function("single")
def _single(_: Scope, items: Items) -> Items:
    single(items)
    return items


def _integer(items: Items) -> int:
    item = single(items)
    if item is None or type(item.value) is not int:
        raise FhirPathError("a whole number is needed here")
    return item.value


@function("skip", 1)
def _skip(scope: Scope, items: Items, number: Closure) -> Items:
    return items[max(0, _integer(number(scope))) :]


@function("take", 1)
def _take(scope: Scope, items: Items, number: Closure) -> Items:
    return items[: max(0, _integer(number(scope)))]


@function("intersect", 1)
def _intersect(scope: Scope, items: Items, other: Closure) -> Items:
    rest = other(scope)
    return [item for item in distinct(items) if holds(rest, item)] if rest else []


@function("exclude", 1)
def _exclude(scope: Scope, items: Items, other: Closure) -> Items:
    rest = other(scope)
    return [item for item in items if not holds(rest, item)]


@function("union", 1)
def _union(scope: Scope, items: Items, other: Closure) -> Items:
    return distinct(items + other(scope))


@function("combine", 1)
def _combine(scope: Scope, items: Items, other: Closure) -> Items:
    return items + other(scope)


@function("iif", 2, 3)
def _iif(scope: Scope, items: Items, test: Closure, then: Closure, otherwise: Closure | None = None) -> Items:
    inner = Scope(scope.run, items, scope.index, scope.total)
    if truth(test(inner)):
        return then(inner)
    return otherwise(inner) if otherwise else []


@function("aggregate", 1, 2)
def _aggregate(scope: Scope, items: Items, step: Closure, start: Closure | None = None) -> Items:
    total = start(scope) if start else []
    scope.run.spend(len(items))
    for i, item in enumerate(items):
        total = step(Scope(scope.run, [item], i, total))
    return total


@function("children")
def _children(scope: Scope, items: Items) -> Items:
    found = [child for item in items for child in children(item)]
    scope.run.spend(len(found))
    return found


@function("descendants")
def _descendants(scope: Scope, items: Items) -> Items:
    found: Items = []
    queue = items
    while queue:
        queue = _children(scope, queue)
        found += queue
    return found


@function("trace", 1, 2)
def _trace(_: Scope, items: Items, *__: Closure) -> Items:
    # Nothing is logged: a trace would write a person's data into a log.
    return items


@function("extension", 1)
def _extension(scope: Scope, items: Items, url: Closure) -> Items:
    wanted = single(url(scope))
    return [
        extension
        for item in items
        for extension in members(item, "extension")
        if wanted is not None and type(extension.value) is dict and extension.value.get("url") == wanted.value
    ]


@function("hasValue")
def _has_value(_: Scope, items: Items) -> Items:
    return boolean(len(items) == 1 and items[0].value is not None and type(items[0].value) is not dict)


@function("getValue")
def _get_value(_: Scope, items: Items) -> Items:
    return [system(items[0].value)] if _has_value(_, items) is TRUE else []


@function("resolve")
def _resolve(scope: Scope, items: Items) -> Items:
    return [found for item in items if (found := _target(scope, item)) is not None]


def _target(scope: Scope, item: Node) -> Node | None:
    """Find what a Reference or canonical points to: contained, else by the resolver that ``env`` gave."""
    reference = item.value.get("reference") if type(item.value) is dict else item.value
    if type(reference) is not str or not reference:
        return None
    root = scope.run.root
    if reference.startswith("#"):
        if reference == "#":
            return root
        contained = members(root, "contained")
        return next(
            (c for c in contained if type(c.value) is dict and c.value.get("id") == reference[1:]), None
        )
    found = scope.run.resolver(reference) if scope.run.resolver else None
    return wrap(found) if resource_type(found) else None
