"""The types of R4 as the definitions give them: elements, cardinalities, bindings, reference targets, rules.

Read once from ``conformance/r4`` (see ``conformance/generate.py``); validator, extractor, XML codec and
CapabilityStatement are all made from this one table. https://hl7.org/fhir/R4/resourcelist.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import msgspec

_TABLES = files("conformance") / "r4"


@dataclass(frozen=True, slots=True)
class Rule:
    """An invariant: a FHIRPath expression that must not be false. https://hl7.org/fhir/R4/conformance-rules.html"""

    key: str
    severity: Literal["error", "warning"]
    expression: str
    human: str


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a type.

    ``max`` is "1", "*" or a number. ``types`` are primitives, complex types, backbone paths such as
    ``Patient.contact``, or ``Resource``. ``targets``: types a Reference may point to, ("Resource",) for any.
    ``binding``: URL of a required value set that can be enumerated.
    """

    name: str
    min: int
    max: str
    types: tuple[str, ...]
    choice: bool = False
    targets: tuple[str, ...] = ()
    binding: str | None = None
    summary: bool = False
    modifier: bool = False
    rules: tuple[Rule, ...] = ()

    @property
    def is_list(self) -> bool:
        """True when JSON writes the element as an array."""
        return self.max != "1"

    def key(self, type_name: str) -> str:
        """Return the JSON property for a value of ``type_name``: ``deceasedDateTime`` of dateTime."""
        return self.name + type_name[0].upper() + type_name[1:] if self.choice else self.name


@dataclass(frozen=True, slots=True)
class TypeDefinition:
    """A resource, complex, backbone (named by its path) or primitive type."""

    name: str
    kind: Literal["resource", "complex", "backbone", "primitive"]
    elements: tuple[Element, ...] = ()
    abstract: bool = False
    rules: tuple[Rule, ...] = ()
    properties: dict[str, tuple[Element, str]] = field(default_factory=dict)
    """JSON property → (element, type name); properties with a leading underscore are not listed."""

    def __post_init__(self) -> None:
        for element in self.elements:
            for type_name in element.types:
                self.properties[element.key(type_name)] = (element, type_name)


def table(name: str) -> list[dict[str, Any]]:
    """Return the rows of one generated table: types, valuesets, parameters, compartments or operations."""
    return msgspec.json.decode(_lines(name), type=list[dict[str, Any]])


def _lines(name: str) -> bytes:
    return b"[" + (_TABLES / f"{name}.jsonl").read_bytes().strip().replace(b"\n", b",") + b"]"


@cache
def definitions() -> dict[str, TypeDefinition]:
    """Return every type of R4 by name."""
    decoded = msgspec.json.decode(_lines("types"), type=list[TypeDefinition])
    return {definition.name: definition for definition in decoded}


@cache
def value_sets() -> dict[str, dict[str, frozenset[str]]]:
    """Return the enumerable required value sets: URL → code system → codes."""
    return {
        row["url"]: {s: frozenset(codes) for s, codes in row["codes"].items()} for row in table("valuesets")
    }


@cache
def compartments() -> dict[str, dict[str, tuple[str, ...]]]:
    """Return compartment → member type → search parameters. https://hl7.org/fhir/R4/compartmentdefinition.html"""
    return {
        row["code"]: {member: tuple(params) for member, params in row["members"].items()}
        for row in table("compartments")
    }


PRIMITIVES = frozenset(
    {
        "base64Binary",
        "boolean",
        "canonical",
        "code",
        "date",
        "dateTime",
        "decimal",
        "id",
        "instant",
        "integer",
        "markdown",
        "oid",
        "positiveInt",
        "string",
        "time",
        "unsignedInt",
        "uri",
        "url",
        "uuid",
        "xhtml",
    }
)
"""https://hl7.org/fhir/R4/datatypes.html#primitive"""

RESOURCE_TYPES = frozenset(
    name for name, each in definitions().items() if each.kind == "resource" and not each.abstract
)
"""The 146 concrete resource types of R4."""
