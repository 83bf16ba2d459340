"""FHIRPath Patch: add, insert, delete, replace and move, told by a Parameters resource.

https://hl7.org/fhir/R4/fhirpatch.html
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from fhir_server.faults import Fault, Issue, Kind
from fhir_server.resources import fhirpath
from fhir_server.resources.codec import MAX_DEPTH, Tree, scan
from fhir_server.resources.fhirpath import FhirPathError, Node
from fhir_server.resources.patch_value import Value, element_of, keys_of, read_value
from fhir_server.resources.types import PRIMITIVES, Element

_NEEDS = {
    "add": ("path", "name", "value"),
    "insert": ("path", "value", "index"),
    "delete": ("path",),
    "replace": ("path", "value"),
    "move": ("path", "source", "destination"),
}
_FIELDS = {
    "type": ("valueCode", "valueString"),
    "path": ("valueString",),
    "name": ("valueString",),
    "index": ("valueInteger",),
    "source": ("valueInteger",),
    "destination": ("valueInteger",),
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation as read: ``value`` is the part that holds the value, read when its place is known."""

    type: str
    path: str
    name: str
    value: Tree | None
    index: int
    source: int
    destination: int


def apply(tree: Tree, parameters: Tree) -> Tree:
    """Return ``tree`` with the operations of a Parameters resource done in order; both stay as they were.

    Does not check that the result is a valid resource, nor that it has kept its type and id. Faults name the
    operation as ``Parameters.parameter[0]``: BAD_REQUEST when it is malformed, UNPROCESSABLE when its path
    does not lead to the one place that it needs, or the value does not fit there.
    """
    patched = deepcopy(tree)
    listed = parameters.get("parameter")
    if type(listed) is not list or not listed:
        raise Fault(Kind.BAD_REQUEST, "The patch holds no operation.", "Parameters.parameter")
    for index, parameter in enumerate(listed):
        try:
            _apply(patched, _operation(parameter))
        except Fault as fault:
            where = f"Parameters.parameter[{index}]"
            words = f"Operation {index + 1} of the patch: {fault.diagnostics}"
            issue = Issue("error", fault.kind.code, words, (where,))
            raise Fault(fault.kind, words, issues=(issue,)) from None
    if scan(patched).depth > MAX_DEPTH:
        raise Fault(Kind.UNPROCESSABLE, f"The patched resource nests deeper than {MAX_DEPTH} levels.")
    return patched


def _operation(parameter: Any) -> Operation:
    parts = parameter.get("part") if type(parameter) is dict else None
    if type(parameter) is not dict or parameter.get("name") != "operation" or type(parts) is not list:
        raise Fault(Kind.BAD_REQUEST, "a parameter must be named operation and have parts.")
    named: dict[str, Any] = {}
    for part in parts:
        name = part.get("name") if type(part) is dict else None
        if name not in (*_FIELDS, "value"):
            raise Fault(Kind.BAD_REQUEST, f"its parts are {', '.join(_FIELDS)} and value.")
        if name in named:
            raise Fault(Kind.BAD_REQUEST, f"give {name} once.")
        named[name] = part if name == "value" else _field(name, part)
    type_ = named.get("type")
    if type_ not in _NEEDS:
        raise Fault(Kind.BAD_REQUEST, f"its type must be one of {', '.join(_NEEDS)}.")
    missing = [name for name in _NEEDS[type_] if name not in named]
    if missing:
        raise Fault(Kind.BAD_REQUEST, f"{type_} needs {' and '.join(missing)}.")
    return Operation(
        type_,
        named["path"],
        named.get("name", ""),
        named.get("value"),
        named.get("index", 0),
        named.get("source", 0),
        named.get("destination", 0),
    )


def _field(name: str, part: Tree) -> str | int:
    keys = _FIELDS[name]
    wanted = int if keys[0] == "valueInteger" else str
    for key in keys:
        value = part.get(key)
        if type(value) is wanted and value != "":
            return value
    raise Fault(Kind.BAD_REQUEST, f"{name} needs a {keys[0]}.")


def _apply(tree: Tree, operation: Operation) -> None:
    nodes = _locate(tree, operation.path)
    match operation.type:
        case "add":
            _add(_one(nodes), operation)
        case "insert":
            _insert(nodes, operation)
        case "delete":
            # "The element to delete (if found)": what is not there need not be deleted.
            if nodes:
                _delete(_one(nodes))
        case "replace":
            _replace(_one(nodes), operation)
        case "move":
            _move(nodes, operation)


def _locate(tree: Tree, path: str) -> list[Node]:
    """Return the elements that a path leads to; never values that the expression made itself."""
    try:
        nodes = fhirpath.compile(path, str(tree.get("resourceType"))).locate(tree)
    except FhirPathError as error:
        raise Fault(Kind.UNPROCESSABLE, error.diagnostics) from None
    if any(node.parent is None and node.value is not tree for node in nodes):
        raise Fault(Kind.UNPROCESSABLE, "the path must lead to elements of the resource itself.")
    return nodes


def _one(nodes: list[Node]) -> Node:
    if len(nodes) != 1:
        found = "to nothing" if not nodes else f"to {len(nodes)} elements"
        raise Fault(Kind.UNPROCESSABLE, f"the path leads {found}; it must lead to one.")
    return nodes[0]


def _add(node: Node, operation: Operation) -> None:
    container, type_ = _inside(node)
    element = element_of(type_, operation.name)
    value = read_value(operation.value or {}, element)
    if element.is_list:
        _store(container, value.key, [*_rows(container, value.key), value])
        return
    if any(key in container or f"_{key}" in container for key in keys_of(element)):
        words = f"{operation.name} is there already and may occur once; use replace."
        raise Fault(Kind.UNPROCESSABLE, words)
    _set(container, value)


def _insert(nodes: list[Node], operation: Operation) -> None:
    container, key, rows, element = _list(nodes)
    value = read_value(operation.value or {}, element)
    _within(operation.index, len(rows), "index")
    _store(container, key, [*rows[: operation.index], value, *rows[operation.index :]])


def _move(nodes: list[Node], operation: Operation) -> None:
    container, key, rows, _ = _list(nodes)
    _within(operation.source, len(rows) - 1, "source")
    _within(operation.destination, len(rows) - 1, "destination")
    moved = rows.pop(operation.source)
    rows.insert(operation.destination, moved)
    _store(container, key, rows)


def _delete(node: Node) -> None:
    container, _ = _around(node)
    if node.index is None:
        container.pop(node.key, None)
        container.pop(f"_{node.key}", None)
        return
    rows = _rows(container, node.key)
    del rows[node.index]
    _store(container, node.key, rows)


def _replace(node: Node, operation: Operation) -> None:
    container, type_ = _around(node)
    value = read_value(operation.value or {}, element_of(type_, node.key))
    if node.index is None:
        container.pop(node.key, None)
        container.pop(f"_{node.key}", None)
        _set(container, value)
        return
    rows = _rows(container, node.key)
    rows[node.index] = value
    _store(container, node.key, rows)


def _around(node: Node) -> tuple[Tree, str]:
    """Return the object that an element stands in, and its type."""
    if node.parent is None:
        raise Fault(Kind.UNPROCESSABLE, "the resource itself cannot be replaced or deleted; name an element.")
    return _inside(node.parent)


def _inside(node: Node) -> tuple[Tree, str]:
    """Return the object whose properties are the element's children, and its type.

    A primitive's children stand beside it, under its name with an underscore; that object is made if need be.
    """
    if node.type_name not in PRIMITIVES:
        if type(node.value) is not dict:
            raise Fault(Kind.UNPROCESSABLE, "the path leads to something that has no elements.")
        return node.value, node.type_name
    if type(node.element) is dict:
        return node.element, "Element"
    container, _ = _around(node)
    made: Tree = {}
    if node.index is None:
        container[f"_{node.key}"] = made
    else:
        rows = _rows(container, node.key)
        rows[node.index] = Value(node.key, node.value, made)
        _store(container, node.key, rows)
    return made, "Element"


def _list(nodes: list[Node]) -> tuple[Tree, str, list[Value], Element]:
    """Return container, property, rows and element of the list that the nodes make up; it must be whole."""
    if not nodes:
        raise Fault(Kind.UNPROCESSABLE, "the path leads to no list; to begin one, use add.")
    container, type_ = _around(nodes[0])
    key = nodes[0].key
    rows = _rows(container, key)
    whole = len(nodes) == len(rows) and all(
        node.index is not None and node.key == key and node.parent is nodes[0].parent for node in nodes
    )
    if not whole:
        raise Fault(Kind.UNPROCESSABLE, "the path must lead to one whole list, without an index or a filter.")
    return container, key, rows, element_of(type_, key)


def _within(index: int, most: int, name: str) -> None:
    if not 0 <= index <= most:
        raise Fault(Kind.UNPROCESSABLE, f"{name} must be from 0 to {most}.")


def _rows(container: Tree, key: str) -> list[Value]:
    """Return a list's items with their ids and extensions beside them."""
    values, extras = container.get(key) or [], container.get(f"_{key}") or []
    return [Value(key, value, extra) for value, extra in zip_longest(values, extras)]


def _store(container: Tree, key: str, rows: list[Value]) -> None:
    """Write a list back; its array of ids and extensions only where there are any."""
    for name, column in ((key, [row.value for row in rows]), (f"_{key}", [row.extras for row in rows])):
        if any(item is not None for item in column):
            container[name] = column
        else:
            container.pop(name, None)


def _set(container: Tree, value: Value) -> None:
    if value.value is not None:
        container[value.key] = value.value
    if value.extras is not None:
        container[f"_{value.key}"] = value.extras
