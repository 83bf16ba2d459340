"""Python that extracts the search values of one resource type: paths that begin alike are walked once.

A parameter's paths come from :mod:`expressions`, the rows of an element from :mod:`elements`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from fhir_server.search import elements
from fhir_server.search.expressions import Equals, Get, Path, Refers, Step, paths
from fhir_server.search.parameters import Parameter, parameters
from fhir_server.search.values import Values

Program = Callable[[dict[str, Any], Values, tzinfo, str], None]
"""Fills the Values from a resource, given the zone of dates without one and the server's base address."""

_HAND_WRITTEN = MappingProxyType({"http://hl7.org/fhir/SearchParameter/Patient-deceased": "deceased"})
"""Parameters whose expression is a condition on the resource, not a path → the function that reads it."""

_DATES = {"date": "date", "dateTime": "date", "instant": "date", "Period": "period", "Timing": "timing"}
_CONCEPTS = {"Coding": "coding", "CodeableConcept": "codeable_concept", "Identifier": "identifier"}

ROWS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "token": {
            **dict.fromkeys(("code", "string", "id", "uri", "canonical"), "token"),
            **_CONCEPTS,
            "boolean": "boolean",
            "ContactPoint": "contact_point",
        },
        "string": {
            **dict.fromkeys(("string", "markdown"), "string"),
            "HumanName": "human_name",
            "Address": "address",
        },
        "date": _DATES,
        "number": {**dict.fromkeys(("decimal", "integer"), "number"), "Range": "number_range"},
        "quantity": {
            **dict.fromkeys(("Quantity", "Age", "Duration", "Count", "Distance"), "quantity"),
            "Range": "quantity_range",
            "Money": "money",
        },
        "reference": {
            "Reference": "reference",
            **dict.fromkeys(("canonical", "uri"), "canonical_reference"),
            "Resource": "resource",
        },
        "uri": dict.fromkeys(("uri", "url", "canonical"), "uri"),
    }
)
"""Kind of search → data type → function of :mod:`elements`. A type that is not listed is not searched so:
onsetString is no date, a SampledData has no one value. https://hl7.org/fhir/R4/search.html#table"""

_LAST_ARGUMENT = {"date": ", zone", "period": ", zone", "timing": ", zone", "reference": ", base"}


@dataclass(slots=True)
class _Node:
    """A place in the resource: which functions read it for which parameters, and where to go from it."""

    rows: dict[str, list[str]] = field(default_factory=dict)
    next: dict[Step, _Node] = field(default_factory=dict)

    def at(self, steps: Iterable[Step]) -> _Node:
        """Return the node that the steps lead to, made where it is missing."""
        node = self
        for step in steps:
            node = node.next.setdefault(step, _Node())
        return node

    def add(self, function: str, code: str) -> None:
        """Read this place with ``function`` for the parameter ``code`` too."""
        self.rows.setdefault(function, []).append(code)


def sources(parameter: Parameter, type_: str) -> list[tuple[Path, str]]:
    """Return the paths whose elements the parameter searches, each with the function that reads them."""
    if parameter.url in _HAND_WRITTEN:
        return [(Path((), type_), _HAND_WRITTEN[parameter.url])]
    readers = ROWS.get(parameter.type, {})
    found = [
        (path, readers[path.type]) for path in paths(parameter.expression, type_) if path.type in readers
    ]
    return [each for path, function in found for each in _of_targets(path, function, parameter)]


def _of_targets(path: Path, function: str, parameter: Parameter) -> list[tuple[Path, str]]:
    """Hold a nested resource to the types that the parameter may lead to."""
    if function != "resource":
        return [(path, function)]
    return [
        (Path((*path.steps, Equals("resourceType", target)), path.type), function)
        for target in parameter.targets
    ]


def text(type_: str, custom: tuple[Parameter, ...] = ()) -> str:
    """Return the Python text of the extractor of ``type_``, which also has the ``custom`` parameters."""
    root = _Node()
    for parameter in (*parameters(type_).values(), *custom):
        for path, function in sources(parameter, type_):
            root.at(path.steps).add(function, parameter.code)
    names = (f"x{number}" for number in range(1, 1_000_000))
    lines = ["def extract(x0, values, zone, base):", *_body(root, "x0", "    ", names)]
    return "\n".join([*lines, "    return", ""])


def _body(node: _Node, name: str, indent: str, names: Iterator[str]) -> Iterator[str]:
    """Yield the statements that read the element in the variable ``name`` and go on from it."""
    for function, codes in node.rows.items():
        last = _LAST_ARGUMENT.get(function, "")
        yield f"{indent}{function}(values, {tuple(codes)!r}, {name}{last})"
    referred = ""
    for step, child in node.next.items():
        if isinstance(step, Get):
            yield from _get(step, child, name, indent, names)
        elif isinstance(step, Equals):
            yield f"{indent}if {name}.get({step.key!r}) == {step.text!r}:"
            yield from _body(child, name, indent + "    ", names)
        else:
            if not referred:
                referred = next(names)
                yield f"{indent}{referred} = referred_type({name})"
            yield f"{indent}if {referred} == {step.type!r}:"
            yield from _body(child, name, indent + "    ", names)


def _get(step: Get, child: _Node, name: str, indent: str, names: Iterator[str]) -> Iterator[str]:
    """Yield the statements that go to a property, through its array, and on from what is there."""
    inner = next(names)
    yield f"{indent}{inner} = {name}.get({step.key!r})"
    if step.many:
        yield f"{indent}if isinstance({inner}, list):"
        items, inner = inner, next(names)
        chosen = items if step.index is None else f"{items}[{step.index} : {step.index + 1}]"
        indent += "    "
        yield f"{indent}for {inner} in {chosen}:"
        indent += "    "
    goes_on = any(not isinstance(onward, Refers) for onward in child.next)
    if goes_on or not step.many:
        yield f"{indent}if isinstance({inner}, dict):" if goes_on else f"{indent}if {inner} is not None:"
        indent += "    "
    yield from _body(child, inner, indent, names)


@lru_cache(maxsize=1024)
def program(type_: str, custom: tuple[Parameter, ...] = ()) -> Program:
    """Return the extractor of ``type_``, compiled on first use."""
    names: dict[str, Any] = dict(vars(elements))
    exec(compile(text(type_, custom), f"<extract {type_}>", "exec"), names)  # noqa: S102 - made of the R4 tables alone
    compiled: Program = names["extract"]
    return compiled
