"""What a FHIRPath expression walks over: a JSON value with its FHIR type and the place where it stands.

Types come from the definitions, so that ``Observation.value`` finds ``valueQuantity`` and knows it for a
Quantity. https://hl7.org/fhir/R4/fhirpath.html#polymorphism
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from typing import Any

from fhir_server.resources.types import PRIMITIVES, RESOURCE_TYPES, definitions

_SYSTEM: dict[type, str] = {
    bool: "System.Boolean",
    int: "System.Integer",
    Decimal: "System.Decimal",
    str: "System.String",
}
_PARENTS = {
    **dict.fromkeys(("code", "id", "markdown"), "string"),
    **dict.fromkeys(("url", "canonical", "oid", "uuid"), "uri"),
    **dict.fromkeys(("positiveInt", "unsignedInt"), "integer"),
    **dict.fromkeys(("Age", "Count", "Distance", "Duration"), "Quantity"),
}
_SYSTEM_NAMES = {
    **dict.fromkeys(("string", "uri", "base64Binary", "xhtml"), "String"),
    "boolean": "Boolean",
    "integer": "Integer",
    "decimal": "Decimal",
    "date": "Date",
    **dict.fromkeys(("dateTime", "instant"), "DateTime"),
    "time": "Time",
    "Quantity": "Quantity",
}


class Node:
    """One item of a collection.

    ``value`` is the JSON value, None for a primitive that has only extensions; ``element`` the object that
    JSON writes under the name with an underscore; ``parent``, ``key`` and ``index`` (None outside arrays) say
    where it stands, which a patch needs.
    """

    __slots__ = ("element", "index", "key", "parent", "type_name", "value")

    def __init__(
        self,
        value: Any,
        type_name: str,
        element: Any = None,
        parent: Node | None = None,
        key: str = "",
        index: int | None = None,
    ) -> None:
        self.value = value
        self.type_name = type_name
        self.element = element
        self.parent = parent
        self.key = key
        self.index = index

    def __repr__(self) -> str:
        return f"Node({self.type_name}, {self.key}{'' if self.index is None else [self.index]})"


def system(value: Any) -> Node:
    """Wrap a value that the expression itself made, under its System type."""
    return Node(value, _SYSTEM.get(type(value), ""))


def wrap(value: Any, type_name: str = "") -> Node:
    """Wrap a value from outside: a resource under its own type, anything else under ``type_name``."""
    if type(value) is dict:
        return Node(value, resource_type(value) or type_name)
    return Node(value, type_name or _SYSTEM.get(type(value), ""))


def resource_type(value: Any) -> str:
    """Return the resource type that ``value`` says it has, "" when R4 knows none of that name."""
    name = value.get("resourceType") if type(value) is dict else None
    return name if type(name) is str and name in RESOURCE_TYPES else ""


@cache
def places(type_name: str, name: str) -> tuple[tuple[str, str, bool], ...]:
    """Return where JSON holds an element, per choice: (property, FHIR type, is it a primitive)."""
    definition = definitions().get(type_name)
    elements = definition.elements if definition else ()
    return tuple(
        (element.key(each), each, each in PRIMITIVES)
        for element in elements
        if element.name == name
        for each in element.types
    )


def members(node: Node, name: str) -> list[Node]:
    """Return the children of ``node`` under the element name ``name`` (all choices of a choice element)."""
    value, type_name = node.value, node.type_name
    if type_name in PRIMITIVES:
        value, type_name = node.element, "Element"
    if type(value) is not dict:
        return []
    if type_name not in definitions():
        return list(_untyped(node, value, name)) if name in value else []
    found: list[Node] = []
    for key, child_type, primitive in places(type_name, name):
        if primitive:
            if key in value or "_" + key in value:
                found += _primitives(node, value, key, child_type)
        elif (child := value.get(key)) is not None:
            if type(child) is list:
                found += [
                    Node(each, resource_type(each) or child_type, None, node, key, i)
                    for i, each in enumerate(child)
                    if each is not None
                ]
            else:
                found.append(Node(child, resource_type(child) or child_type, None, node, key))
    return found


def _primitives(node: Node, value: dict[str, Any], key: str, type_name: str) -> list[Node]:
    child, element = value.get(key), value.get("_" + key)
    if type(child) is not list and type(element) is not list:
        return [Node(child, type_name, element, node, key)] if child is not None or element else []
    values = child if type(child) is list else []
    elements = element if type(element) is list else []
    return [
        Node(
            values[i] if i < len(values) else None,
            type_name,
            elements[i] if i < len(elements) else None,
            node,
            key,
            i,
        )
        for i in range(max(len(values), len(elements)))
        if (i < len(values) and values[i] is not None) or (i < len(elements) and elements[i])
    ]


def _untyped(node: Node, value: dict[str, Any], name: str) -> Iterator[Node]:
    child = value[name]
    if type(child) is not list:
        yield _guessed(child, node, name, None)
        return
    for i, each in enumerate(child):
        yield _guessed(each, node, name, i)


def _guessed(value: Any, parent: Node, key: str, index: int | None) -> Node:
    return Node(value, resource_type(value) or _SYSTEM.get(type(value), ""), None, parent, key, index)


@cache
def _names(type_name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(element.name for element in definitions()[type_name].elements))


def children(node: Node) -> list[Node]:
    """Return every immediate child of ``node``, elements of a primitive included."""
    value, type_name = node.value, node.type_name
    if type_name in PRIMITIVES:
        value, type_name = node.element, "Element"
    if type(value) is not dict:
        return []
    if type_name not in definitions():
        return [child for key in value for child in _untyped(node, value, key)]
    # A type has up to fifty properties of one choice: look for those that the value has, not for all.
    present = {key.removeprefix("_") for key in value}
    return [
        child
        for name in _names(type_name)
        if any(key in present for key, _, _ in places(type_name, name))
        for child in members(node, name)
    ]


@cache
def is_a(type_name: str, wanted: str) -> bool:
    """Tell whether a type is ``wanted`` (``Patient``, ``FHIR.Patient``, ``System.String``) or below it."""
    space, _, short = wanted.rpartition(".")
    if space not in ("", "FHIR", "System"):
        return type_name == wanted
    return (space != "System" and short in _ancestors(type_name)) or (
        space != "FHIR" and (type_name == "System." + short or _system_name(type_name) == short)
    )


def _ancestors(type_name: str) -> tuple[str, ...]:
    definition = definitions().get(type_name)
    if definition is None:
        return ()
    own = (type_name, _PARENTS.get(type_name, type_name))
    if definition.kind == "resource":
        plain = (
            ("Resource",)
            if type_name in ("Bundle", "Parameters", "Binary")
            else ("Resource", "DomainResource")
        )
        return (*own, *plain)
    return (*own, "Element", "BackboneElement") if definition.kind == "backbone" else (*own, "Element")


def _system_name(type_name: str) -> str:
    return _SYSTEM_NAMES.get(_PARENTS.get(type_name, type_name), "")


def known_type(name: str) -> bool:
    """Tell whether ``name`` (with or without namespace) is a type that an expression may ask for."""
    space, _, short = name.rpartition(".")
    if space == "System":
        return short in (*_SYSTEM_NAMES.values(), "Any")
    return name in definitions() or (
        space in ("", "FHIR") and (short in definitions() or short in _SYSTEM_NAMES.values())
    )
