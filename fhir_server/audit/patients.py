"""Whose record a resource belongs to: the patients in whose compartment it is, read from its stored bytes.

Only the elements that the compartment's search parameters name are decoded, so that a read can be audited
for a few microseconds. https://hl7.org/fhir/R4/compartmentdefinition-patient.html
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec

from fhir_server.search import subjects
from fhir_server.search.expressions import Get, paths
from fhir_server.search.parameters import parameters
from fhir_server.search.references import local
from fhir_server.store.api import Change, Stored

_MARK = b"Patient/"
_ANY = re.compile(rb'"reference":"((?:[^"]*/)?Patient/[A-Za-z0-9\-.]{1,64})')
_fits = re.compile(r"Patient/([A-Za-z0-9\-.]{1,64})").fullmatch

_Tree = dict[str, Any]
"""Property → the tree below it; {} = a Reference stands there."""


class _Reference(msgspec.Struct, gc=False):
    reference: str | None = None


class Patients:
    """:func:`patients_of` of versions in one store, remembered: a version's never change."""

    def __init__(self, remembered: int = 32_768) -> None:
        self._most = remembered
        self._known: dict[tuple[str, int, str], tuple[str, ...]] = {}

    def of(self, stored: Stored | Change, base: str) -> tuple[str, ...]:
        """Return the ids of the patients in whose compartment a version is."""
        key = (stored.id, stored.version, stored.type)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= self._most:
                self._known.clear()
            found = patients_of(stored.type, stored.id, stored.body, base)
            self._known[key] = found
        return found


def patients_of(type_: str, id_: str, body: bytes, base: str = "") -> tuple[str, ...]:
    """Return the ids of the patients in whose compartment a stored resource is, each once, in order.

    ``body``: canonical JSON, b"" for a deletion, of which only a Patient's own id is known. ``base``: the
    server's address, whose absolute references are its own.
    """
    found: dict[str, None] = {id_: None} if type_ == "Patient" else {}
    if _MARK not in body:
        return tuple(found)
    references: list[str] = []
    try:
        _collect(_decoder(type_)(body), references)
    except msgspec.ValidationError:
        # Not the shape of its type: better name a patient too many than one too few.
        references = [match.decode() for match in _ANY.findall(body)]
    for reference in references:
        match = _fits(reference) or _fits(local(reference, base) or "")
        if match:
            found[match[1]] = None
    return tuple(found)


@cache
def _decoder(type_: str) -> Callable[[bytes], Any]:
    """Return a function that decodes the elements that a type's compartment parameters name."""
    tree: _Tree = {}
    known = parameters(type_)
    for code in subjects.parameters(type_):
        for path in paths(known[code].expression, type_):
            if path.type != "Reference":
                continue
            node = tree
            for step in path.steps:
                if isinstance(step, Get):
                    node = node.setdefault(step.key, {})
    return msgspec.json.Decoder(_struct(type_, tree)).decode if tree else lambda _: None


def _struct(name: str, tree: _Tree) -> type[msgspec.Struct]:
    """Make the type that decodes the properties of ``tree`` alone; an array or a single value, either."""
    fields: list[tuple[str, Any, Any]] = []
    for index, below in enumerate(tree.values()):
        kind: Any = _struct(f"{name}_{index}", below) if below else _Reference
        fields.append((f"f{index}", kind | list[kind] | None, None))
    keys = {f"f{index}": key for index, key in enumerate(tree)}
    return msgspec.defstruct(name, fields, rename=keys, gc=False)


def _collect(value: Any, found: list[str]) -> None:
    """Append the references in what was decoded, in the order of the parameters."""
    if value is None:
        return
    if type(value) is list:
        for item in value:
            _collect(item, found)
    elif type(value) is _Reference:
        if value.reference is not None:
            found.append(value.reference)
    else:
        for name in value.__struct_fields__:
            _collect(getattr(value, name), found)
