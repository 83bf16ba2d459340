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

from fhir_server.resources.types import definitions
from fhir_server.search import elements
from fhir_server.search.expressions import Equals, Get, Path, Refers, Step, paths
from fhir_server.search.joined import is_indexed
from fhir_server.search.parameters import Component, Parameter, by_url, parameters
from fhir_server.search.values import Values

Program = Callable[[dict[str, Any], Values, tzinfo, str], None]
"""Fills the Values from a resource, given the zone of dates without one and the server's base address."""

Sources = tuple[tuple[Path, str], ...]
"""Paths to elements, each with the name of the function of :mod:`elements` that reads what stands there."""

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
        "special": {"Location.position": "position"},
    }
)
"""Kind of search → data type → function of :mod:`elements`. A type that is not listed is not searched so:
onsetString is no date, a SampledData has no one value. https://hl7.org/fhir/R4/search.html#table"""

_NAME_PARTS = frozenset({"family", "given"})
_LAST_ARGUMENT = {"date": ", zone", "period": ", zone", "timing": ", zone", "reference": ", base"}


@dataclass(slots=True)
class _Node:
    """A place in the resource: which functions read it for which parameters, and where to go from it.

    ``groups``: the composites whose element is here: each component's sources, and whether they start at
    the resource → codes.
    """

    rows: dict[str, list[str]] = field(default_factory=dict)
    groups: dict[tuple[tuple[Sources, bool], ...], list[str]] = field(default_factory=dict)
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


@dataclass(frozen=True, slots=True)
class Half:
    """One component of a composite, by where it is read from.

    ``sources``: paths from the composite's element, or from the resource when ``is_root``, each with the
    function that reads what stands there.
    """

    parameter: Parameter
    sources: Sources
    is_root: bool


@lru_cache(maxsize=4096)
def sources(parameter: Parameter, type_: str) -> Sources:
    """Return the paths whose elements the parameter searches, each with the function that reads them."""
    if parameter.url in _HAND_WRITTEN:
        return ((Path((), type_), _HAND_WRITTEN[parameter.url]),)
    return _read(parameter, paths(parameter.expression, type_), type_)


def _read(parameter: Parameter, found: Iterable[Path], type_: str) -> Sources:
    """Keep the paths that end in a type the parameter searches, with their functions."""
    readers = ROWS.get(parameter.type, {})
    read = [(path, readers[path.type]) for path in found if path.type in readers]
    return tuple(each for path, function in read for each in _of_targets(path, function, parameter, type_))


def _of_targets(path: Path, function: str, parameter: Parameter, type_: str) -> list[tuple[Path, str]]:
    """Hold a nested resource to the types that the parameter may lead to; know a part of a person's name."""
    if function == "string" and _is_name_part(path, type_):
        return [(path, "name_part")]
    if function != "resource":
        return [(path, function)]
    return [
        (Path((*path.steps, Equals("resourceType", target)), path.type), function)
        for target in parameter.targets
    ]


def _is_name_part(path: Path, type_: str) -> bool:
    last = path.steps[-1]
    return isinstance(last, Get) and last.key in _NAME_PARTS and _owner(path, type_) == "HumanName"


def _owner(path: Path, type_: str) -> str:
    """Return the type whose element the last step of a path goes to."""
    keys = [step.key for step in path.steps if isinstance(step, Get)]
    for key in keys[:-1]:
        type_ = definitions()[type_].properties[key][1]
    return type_


@lru_cache(maxsize=1024)
def groups(parameter: Parameter, type_: str) -> tuple[tuple[Path, tuple[Half, ...]], ...]:
    """Return the elements in which a composite parameter's components stand, with each component's sources.

    An element that is the resource itself has no steps. https://hl7.org/fhir/R4/search.html#composite
    """
    if parameter.type != "composite":
        return ()
    found: list[tuple[Path, tuple[Half, ...]]] = []
    for path in paths(parameter.expression, type_):
        halves = tuple(_half(parameter, each, path.type, type_) for each in parameter.components)
        if halves and all(half.sources for half in halves):
            found.append((path, halves))
    return tuple(found)


def _half(composite: Parameter, component: Component, element: str, type_: str) -> Half:
    rooted = component.expression.removeprefix("%resource.")
    is_root = rooted != component.expression
    start = type_ if is_root else element
    # R4 writes the type dateTime as DateTime in Observation's code-value-date.
    found = paths(rooted.replace("DateTime", "dateTime"), start)
    # R4 swaps the definitions of DocumentReference's relationship: there the other component's one reads it.
    urls = (component.definition, *(each.definition for each in composite.components))
    halves = [Half(each, _read(each, found, start), is_root) for each in map(by_url().__getitem__, urls)]
    return next((half for half in halves if half.sources), halves[0])


def text(type_: str, custom: tuple[Parameter, ...] = ()) -> str:
    """Return the Python text of the extractor of ``type_``, which also has the ``custom`` parameters."""
    root = _Node()
    for parameter in (*parameters(type_).values(), *custom):
        if not is_indexed(type_, parameter.code):
            continue
        for path, function in sources(parameter, type_):
            root.at(path.steps).add(function, parameter.code)
        for path, halves in groups(parameter, type_):
            if path.steps:
                key = tuple((half.sources, half.is_root) for half in halves)
                root.at(path.steps).groups.setdefault(key, []).append(parameter.code)
    writer = _Writer()
    body = [*writer.body(root, "x0", "    ")]
    return "\n".join(
        [*writer.parts.values(), "def extract(x0, values, zone, base):", *body, "    return", ""]
    )


class _Writer:
    """Writes the statements of one extractor; the components of its composites become functions before it."""

    def __init__(self) -> None:
        self._names = (f"x{number}" for number in range(1, 1_000_000))
        self.parts: dict[Sources, str] = {}

    def body(self, node: _Node, name: str, indent: str) -> Iterator[str]:
        """Yield the statements that read the element in the variable ``name`` and go on from it."""
        for function, codes in node.rows.items():
            last = _LAST_ARGUMENT.get(function, "")
            yield f"{indent}{function}(values, {tuple(codes)!r}, {name}{last})"
        for halves, codes in node.groups.items():
            elements_ = ", ".join("x0" if is_root else name for _, is_root in halves)
            parts = ", ".join(self._part(found) for found, _ in halves)
            yield f"{indent}composite(values, {tuple(codes)!r}, ({elements_},), ({parts},), zone, base)"
        referred = ""
        for step, child in node.next.items():
            if isinstance(step, Get):
                yield from self._get(step, child, name, indent)
            elif isinstance(step, Equals):
                yield f"{indent}if {name}.get({step.key!r}) == {step.text!r}:"
                yield from self.body(child, name, indent + "    ")
            else:
                if not referred:
                    referred = next(self._names)
                    yield f"{indent}{referred} = referred_type({name})"
                yield f"{indent}if {referred} == {step.type!r}:"
                yield from self.body(child, name, indent + "    ")

    def _get(self, step: Get, child: _Node, name: str, indent: str) -> Iterator[str]:
        """Yield the statements that go to a property, through its array, and on from what is there."""
        inner = next(self._names)
        yield f"{indent}{inner} = {name}.get({step.key!r})"
        if step.many:
            yield f"{indent}if isinstance({inner}, list):"
            items, inner = inner, next(self._names)
            chosen = items if step.index is None else f"{items}[{step.index} : {step.index + 1}]"
            indent += "    "
            yield f"{indent}for {inner} in {chosen}:"
            indent += "    "
        goes_on = any(not isinstance(onward, Refers) for onward in child.next)
        if goes_on or not step.many:
            yield f"{indent}if isinstance({inner}, dict):" if goes_on else f"{indent}if {inner} is not None:"
            indent += "    "
        yield from self.body(child, inner, indent)

    def _part(self, found: Sources) -> str:
        """Return the name of the function that reads one component, under the code ""; write it at first."""
        name = f"part{list(self.parts).index(found) if found in self.parts else len(self.parts)}"
        if found not in self.parts:
            root = _Node()
            for path, function in found:
                root.at(path.steps).add(function, "")
            self.parts[found] = ""  # its place, so that no other part takes its name
            lines = [f"def {name}(x0, values, zone, base):", *self.body(root, "x0", "    "), "    return"]
            self.parts[found] = "\n".join(lines)
        return name


@lru_cache(maxsize=1024)
def program(type_: str, custom: tuple[Parameter, ...] = ()) -> Program:
    """Return the extractor of ``type_``, compiled on first use."""
    names: dict[str, Any] = dict(vars(elements))
    exec(compile(text(type_, custom), f"<extract {type_}>", "exec"), names)  # noqa: S102 - made of the R4 tables alone
    compiled: Program = names["extract"]
    return compiled
