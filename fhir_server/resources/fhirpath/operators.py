"""The operators of FHIRPath as closures. http://hl7.org/fhirpath/N1/#operations"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, DecimalException
from typing import Any

from fhir_server.resources.fhirpath import values
from fhir_server.resources.fhirpath.ast import FhirPathError
from fhir_server.resources.fhirpath.node import Node, system
from fhir_server.resources.fhirpath.scope import Closure, Items, Scope, truth

TRUE, FALSE = [system(True)], [system(False)]


def boolean(value: bool | None) -> Items:
    """Return true, false or the empty collection."""
    return [] if value is None else TRUE if value else FALSE


def single(items: Items) -> Node | None:
    """Return the only item, None of an empty collection; raise FhirPathError when there are several."""
    if len(items) > 1:
        raise FhirPathError("a single item is needed, but there are several")
    return items[0] if items else None


def _logical(operator: str, left: Closure, right: Closure) -> Closure:
    # Kleene's three-valued tables; the right side runs only when the left has not decided.
    def both(scope: Scope) -> Items:
        a = truth(left(scope))
        if a is False:
            return FALSE
        b = truth(right(scope))
        return FALSE if b is False else TRUE if a and b else []

    def either(scope: Scope) -> Items:
        a = truth(left(scope))
        if a:
            return TRUE
        b = truth(right(scope))
        return TRUE if b else [] if a is None or b is None else FALSE

    def implies(scope: Scope) -> Items:
        a = truth(left(scope))
        if a is False:
            return TRUE
        b = truth(right(scope))
        return TRUE if b else [] if a is None or b is None else FALSE

    def one(scope: Scope) -> Items:
        a, b = truth(left(scope)), truth(right(scope))
        return [] if a is None or b is None else boolean(a != b)

    return {"and": both, "or": either, "implies": implies, "xor": one}[operator]


def all_equal(a: Items, b: Items) -> bool | None:
    """Tell whether two collections are equal, item by item in order; None when one is empty."""
    if not a or not b:
        return None
    if len(a) != len(b):
        return False
    results = [values.equal(x, y) for x, y in zip(a, b, strict=True)]
    return False if False in results else None if None in results else True


def all_equivalent(a: Items, b: Items) -> bool:
    """Tell whether two collections are equivalent, in any order."""
    rest = list(b)
    for item in a:
        match = next((i for i, other in enumerate(rest) if values.equivalent(item, other)), None)
        if match is None:
            return False
        del rest[match]
    return not rest


def _ordered(holds: Callable[[int], bool], left: Closure, right: Closure) -> Closure:
    def run(scope: Scope) -> Items:
        a, b = single(left(scope)), single(right(scope))
        if a is None or b is None:
            return []
        order = values.compare(a, b)
        if order is None:
            return TRUE if scope.run.trusted else []
        return TRUE if holds(order) else FALSE

    return run


_ORDERS: dict[str, Callable[[int], bool]] = {
    "<": lambda order: order < 0,
    "<=": lambda order: order <= 0,
    ">": lambda order: order > 0,
    ">=": lambda order: order >= 0,
}


def holds(collection: Items, item: Node) -> bool:
    """Tell whether a collection holds an item that equals ``item``."""
    return any(values.equal(each, item) for each in collection)


def distinct(items: Items) -> Items:
    """Return the items without repetitions, in the order of their first appearance."""
    seen: dict[Any, Node] = {}
    for item in items:
        seen.setdefault(values.fingerprint(item), item)
    return list(seen.values())


def _calculate(operator: str, a: Node, b: Node) -> Items:
    x, y = a.value, b.value
    if operator == "+" and type(x) is str and type(y) is str and not values.is_temporal(a):
        return [system(x + y)]
    if values.is_temporal(a) and values.is_quantity(b) and operator in "+-":
        moved = values.add_duration(a, y, 1 if operator == "+" else -1)
        return [moved] if moved else []
    if values.is_quantity(a) or values.is_quantity(b):
        return _quantities(operator, a, b)
    left, right = values.number(x), values.number(y)
    if left is None or right is None:
        return []
    result = _number(operator, left, right)
    return [] if result is None else [system(result)]


def _quantities(operator: str, a: Node, b: Node) -> Items:
    one = a.value if values.is_quantity(a) else {"value": a.value, "code": "1"}
    two = b.value if values.is_quantity(b) else {"value": b.value, "code": "1"}
    left, right = values.number(one.get("value")), values.number(two.get("value"))
    unit, other = values.unit_of(one), values.unit_of(two)
    if (
        left is None
        or right is None
        or not (
            (operator in "+-" and unit == other)
            or (operator == "*" and "1" in (unit, other))
            or (operator == "/" and other in ("1", unit))
        )
    ):
        return []
    result = _number(operator, left, right)
    if operator == "*":
        unit = other if unit == "1" else unit
    elif operator == "/" and other == unit:
        unit = "1"
    return [] if result is None else [Node({"value": Decimal(result), "unit": unit}, "System.Quantity")]


def _number(  # noqa: PLR0911 - one branch per operator
    operator: str, left: Decimal | int, right: Decimal | int
) -> Decimal | int | None:
    try:
        match operator:
            case "+":
                return left + right
            case "-":
                return left - right
            case "*":
                return left * right
            case "/":
                return Decimal(left) / Decimal(right)
            case "div":
                return whole(Decimal(left) / Decimal(right))
    except DecimalException:
        return None
    try:
        return (
            Decimal(left) % Decimal(right)
            if Decimal in (type(left), type(right))
            else _remainder(left, right)
        )
    except DecimalException:
        return None


def _remainder(left: Decimal | int, right: Decimal | int) -> int | None:
    return None if not right else int(left) - int(right) * (whole(Decimal(left) / Decimal(right)) or 0)


def whole(value: Decimal) -> int | None:
    """Cut a number off at the point; None when it has more digits than any FHIR integer could need."""
    return int(value) if value.is_finite() and value.adjusted() < 40 else None


def _text(items: Items) -> str:
    item = single(items)
    return item.value if item is not None and type(item.value) is str else ""


def binary(operator: str, left: Closure, right: Closure) -> Closure:  # noqa: C901 - one branch per operator
    """Return the closure of ``left operator right``."""
    if operator in ("and", "or", "xor", "implies"):
        return _logical(operator, left, right)
    if operator in _ORDERS:
        return _ordered(_ORDERS[operator], left, right)

    def run(scope: Scope) -> Items:  # noqa: PLR0911 - one branch per operator
        a, b = left(scope), right(scope)
        match operator:
            case "=":
                return boolean(all_equal(a, b))
            case "!=":
                same = all_equal(a, b)
                return [] if same is None else boolean(not same)
            case "~":
                return boolean(all_equivalent(a, b))
            case "!~":
                return boolean(not all_equivalent(a, b))
            case "|":
                return distinct(a + b)
            case "&":
                return [system(_text(a) + _text(b))]
            case "in" | "contains":
                item, collection = (single(a), b) if operator == "in" else (single(b), a)
                return [] if item is None else boolean(holds(collection, item))
        x, y = single(a), single(b)
        return [] if x is None or y is None else _calculate(operator, x, y)

    return run


def negate(operand: Closure) -> Closure:
    """Return the closure of ``-operand``."""

    def run(scope: Scope) -> Items:
        item = single(operand(scope))
        if item is None:
            return []
        if values.is_quantity(item):
            amount = values.number(item.value.get("value"))
            return [] if amount is None else [Node({**item.value, "value": -amount}, item.type_name)]
        amount = values.number(item.value)
        return [] if amount is None else [system(-amount)]

    return run
