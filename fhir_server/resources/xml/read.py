"""FHIR XML to the tree that the same resource has in JSON.

https://hl7.org/fhir/R4/xml.html and https://hl7.org/fhir/R4/json.html#xml
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import cache
from typing import Any

from fhir_server.faults import Fault, Kind
from fhir_server.resources.codec import MAX_DEPTH, MAX_NUMBER, Tree, UnfitNumberError, decimal, scan
from fhir_server.resources.types import PRIMITIVES, RESOURCE_TYPES, Element, definitions
from fhir_server.resources.xml.parse import FHIR, XHTML, Node, parse

_SCHEMA_LOCATION = "http://www.w3.org/2001/XMLSchema-instance schemaLocation"
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
_NUMERIC = frozenset({"integer", "positiveInt", "unsignedInt", "decimal"})
_BOOLEANS = {"true": True, "false": False}


def decode_xml(body: bytes, *, max_depth: int = MAX_DEPTH) -> Tree:
    """Decode one resource from FHIR XML to the tree that its JSON would give, elements in the order received.

    A number keeps its digits as a Decimal, or is an int when it has neither point nor exponent. A value that
    does not fit its type (``<active value="yes"/>``) stays text, which validation refuses with all else.
    ``max_depth``: levels of the tree. Faults: SYNTAX (400) with the element's FHIRPath for what is not
    well-formed, has a document type, another namespace, an unknown element or attribute, text outside of the
    narrative, or an element that comes again after others or more often than once where R4 allows one.
    """
    # A level of the tree takes at most two elements: the entry's <resource> and the resource in it.
    root = parse(body, 2 * max_depth + 2)
    root.attributes.pop(_SCHEMA_LOCATION, None)
    tree = _resource(root, root.name)
    if scan(tree).depth > max_depth:
        raise Fault(Kind.SYNTAX, f"The body nests deeper than {max_depth} levels; make it flatter.")
    return tree


def _resource(node: Node, path: str) -> Tree:
    if node.namespace != FHIR:
        raise Fault(Kind.SYNTAX, f"A resource must be in the namespace {FHIR}.")
    if node.name not in RESOURCE_TYPES:
        raise Fault(Kind.SYNTAX, f"{node.name[:64]} is no resource type of FHIR R4.")
    return {"resourceType": node.name, **_object(node, node.name, path)}


def _wrapped(node: Node, path: str) -> Tree:
    if node.attributes or node.text or len(node.children) != 1:
        raise Fault(Kind.SYNTAX, "This element holds exactly one resource.", path)
    return _resource(node.children[0], path)


def _object(node: Node, type_: str, path: str) -> Tree:
    """Read the attributes and children of an element of a resource, complex or backbone type."""
    definition = definitions()[type_]
    attributes = as_attributes(type_)
    _refuse_text(node, path)
    tree: Tree = {}
    for name, value in node.attributes.items():
        if name not in attributes:
            raise Fault(Kind.SYNTAX, f"{type_} has no attribute {name[:64]!r}.", path)
        tree[name] = value
    done: set[str] = set()
    last = None
    for child in node.children:
        name = child.name
        found = definition.properties.get(name)
        if found is None or name in attributes or child.namespace != (XHTML if found[1] == "xhtml" else FHIR):
            raise Fault(Kind.SYNTAX, f"{type_} has no element {name[:64]!r} in this namespace.", path)
        if name != last and last is not None:
            done.add(last)
        _refuse_again(name, found[0], name in done, name == last, path)
        last = name
        _add(tree, child, found, path)
    return _without_empty_lists(tree)


@cache
def as_attributes(type_: str) -> tuple[str, ...]:
    """Return the elements of a type that XML writes as attributes. https://hl7.org/fhir/R4/xml.html#xml"""
    if definitions()[type_].kind == "resource":
        return ()
    return ("id", "url") if type_ == "Extension" else ("id",)


def _refuse_text(node: Node, path: str) -> None:
    if node.text:
        raise Fault(Kind.SYNTAX, 'Text stands here; FHIR writes values as attributes: value="…".', path)


def _refuse_again(name: str, element: Element, interrupted: bool, again: bool, path: str) -> None:
    if interrupted or (again and not element.is_list):
        often = "must stand together" if element.is_list else "may occur once"
        raise Fault(Kind.SYNTAX, f"{name} comes again; it {often}.", f"{path}.{name}")


def _add(tree: Tree, child: Node, found: tuple[Element, str], parent: str) -> None:
    """Put one child into the tree; for a primitive also its id and extensions under ``_name``."""
    element, type_ = found
    name = child.name
    values = tree.setdefault(name, []) if element.is_list else None
    path = f"{parent}.{name}" if values is None else f"{parent}.{name}[{len(values)}]"
    extras: Tree | None = None
    value: Any
    if type_ in PRIMITIVES:
        value, extras = _primitive(child, type_, path)
    elif type_ == "Resource":
        value = _wrapped(child, path)
    else:
        value = _object(child, type_, path)
    if values is not None:
        values.append(value)
        if type_ in PRIMITIVES:
            tree.setdefault(f"_{name}", []).append(extras)
        return
    if value is not None:
        tree[name] = value
    if extras is not None:
        tree[f"_{name}"] = extras


def _without_empty_lists(tree: Tree) -> Tree:
    """Leave out lists of nothing but null: no value at all, or no id and no extension at all."""
    return {
        key: value
        for key, value in tree.items()
        if type(value) is not list or any(item is not None for item in value)
    }


def _primitive(node: Node, type_: str, path: str) -> tuple[Any, Tree | None]:
    """Return (value or None, id and extensions or None)."""
    if type_ == "xhtml":
        return node.html, None
    text = node.attributes.pop("value", None)
    extras = _object(node, "Element", path) or None
    if text is None and extras is None:
        raise Fault(Kind.SYNTAX, "An element needs a value, an id or an extension; leave it out.", path)
    return None if text is None else _value(text, type_, path), extras


def _value(text: str, type_: str, path: str) -> str | bool | int | Decimal:
    if type_ == "boolean":
        return _BOOLEANS.get(text, text)
    if type_ not in _NUMERIC:
        return text
    match = _NUMBER.fullmatch(text)
    if match is None:
        return text
    whole = match[1] is None and match[2] is None
    try:
        return int(text) if whole and len(text) <= MAX_NUMBER else decimal(text)
    except UnfitNumberError:
        words = f"A number is too long or too large: at most {MAX_NUMBER} digits or powers of ten."
        raise Fault(Kind.SYNTAX, words, path) from None
