"""The value of a FHIRPath Patch operation: a data type, a resource, or an object built of named parts.

https://hl7.org/fhir/R4/fhirpatch.html
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import Any

from fhir_server.faults import Fault, Kind
from fhir_server.resources.codec import Tree
from fhir_server.resources.types import PRIMITIVES, Element, definitions

_ALIKE = (
    {"string", "code", "id", "markdown", "uri", "url", "canonical", "oid", "uuid", "base64Binary", "xhtml"},
    {"integer", "positiveInt", "unsignedInt"},
    {"date", "dateTime", "instant"},
    {"Quantity", "Age", "Count", "Distance", "Duration"},
)
"""Types that JSON writes alike, so that one may stand for another where the element leaves no choice."""


@dataclass(frozen=True, slots=True)
class Value:
    """What goes into a place: the JSON property, the value, and for a primitive its id and extensions."""

    key: str
    value: Any
    extras: Tree | None = None


def keys_of(element: Element) -> tuple[str, ...]:
    """Return all JSON properties that an element may have: one, or one for each type of a choice."""
    return tuple(element.key(name) for name in element.types)


def element_of(type_: str, name: str) -> Element:
    """Return the element of a type that ``name`` means: ``value``, ``value[x]`` or ``valueString``.

    Fault: UNPROCESSABLE when the type has none of that name.
    """
    definition = definitions()[type_]
    plain = name.removesuffix("[x]")
    for element in definition.elements:
        if element.name == plain:
            return element
    found = definition.properties.get(plain)
    if found is None:
        raise Fault(Kind.UNPROCESSABLE, f"{type_} has no element of that name.")
    return found[0]


def read_value(part: Tree, element: Element) -> Value:
    """Read the value that a part holds as the value of ``element``.

    Faults: BAD_REQUEST when the part holds none or several, UNPROCESSABLE when its type does not fit.
    """
    if "part" in part:
        return _built(part["part"], element)
    if "resource" in part:
        if element.types != ("Resource",) or type(part["resource"]) is not dict:
            raise Fault(Kind.UNPROCESSABLE, f"{element.name} cannot hold a resource.")
        return Value(element.name, deepcopy(part["resource"]))
    given = {key.removeprefix("_") for key in part} & _values().keys()
    if len(given) != 1:
        raise Fault(Kind.BAD_REQUEST, "a value is one value[x], a resource, or parts.")
    key = given.pop()
    # A copy, because later operations may change it, and the patch may be applied again.
    value, extras = deepcopy((part.get(key), part.get(f"_{key}")))
    return Value(_key(element, _values()[key]), value, extras)


@cache
def _values() -> dict[str, str]:
    """Return the properties of value[x] in Parameters: valueString → string."""
    properties = definitions()["Parameters.parameter"].properties
    return {key: name for key, (element, name) in properties.items() if element.name == "value"}


def _key(element: Element, given: str) -> str:
    """Return the JSON property for a value of type ``given``; UNPROCESSABLE when it cannot be one."""
    if element.choice:
        if given not in element.types:
            raise Fault(Kind.UNPROCESSABLE, f"{element.name}[x] cannot be a {given}.")
        return element.key(given)
    wanted = element.types[0]
    if given != wanted and not any({given, wanted} <= alike for alike in _ALIKE):
        raise Fault(Kind.UNPROCESSABLE, f"{element.name} is a {wanted}, not a {given}.")
    return element.name


def _built(parts: Any, element: Element) -> Value:
    """Build an object of parts that are named for its elements, each with a value of its own."""
    types = [name for name in element.types if name not in PRIMITIVES]
    if len(element.types) != 1 or not types or types == ["Resource"]:
        raise Fault(Kind.UNPROCESSABLE, f"{element.name} cannot be built of parts; give its value[x].")
    if type(parts) is not list or not parts:
        raise Fault(Kind.BAD_REQUEST, "the parts of a value are a list of named parts.")
    tree: Tree = {}
    for part in parts:
        name = part.get("name") if type(part) is dict else None
        if type(name) is not str:
            raise Fault(Kind.BAD_REQUEST, "each part of a value needs a name and a value.")
        inner = element_of(types[0], name)
        _put(tree, read_value(part, inner), inner)
    return Value(element.name, tree)


def _put(tree: Tree, value: Value, element: Element) -> None:
    if not element.is_list:
        if any(key in tree or f"_{key}" in tree for key in keys_of(element)):
            raise Fault(Kind.UNPROCESSABLE, f"{element.name} may occur once.")
        if value.value is not None:
            tree[value.key] = value.value
        if value.extras is not None:
            tree[f"_{value.key}"] = value.extras
        return
    values = tree.setdefault(value.key, [])
    values.append(value.value)
    if value.extras is not None or f"_{value.key}" in tree:
        extras = tree.setdefault(f"_{value.key}", [])
        extras += [None] * (len(values) - 1 - len(extras)) + [value.extras]
