"""Filters of a value set: which concepts of a code system have a property of some kind.

https://hl7.org/fhir/R4/valueset-filter-operator.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from fhir_server.faults import Fault, Kind
from fhir_server.resources.fhirpath.ast import FhirPathError
from fhir_server.resources.fhirpath.regex import pattern
from fhir_server.terminology.concepts import CodeSystem, Concept

_HIERARCHY = frozenset({"concept", "code", "parent", "child"})
_SIMPLE_LIMIT, _SIMPLE_MOST, _OTHER_MOST = 3000, 20_000, 500
"""A pattern that may be tried on texts of 3,000 characters is cheap enough for 20,000 concepts."""


def filtered(system: CodeSystem, property_: str, op: str, value: str) -> frozenset[str]:
    """Return the codes of ``system`` that a filter lets through. Raises a Fault for what it cannot apply."""
    apply = _OPERATORS.get(op)
    if apply is None:
        raise Fault(
            Kind.BAD_PARAMETER,
            f"A filter of the value set has an operator other than {', '.join(_OPERATORS)}.",
        )
    return frozenset(apply(system, property_, value))


def _values(concept: Concept, property_: str) -> list[str]:
    if property_ in ("concept", "code"):
        return [concept.code]
    if property_ == "display":
        return [concept.display]
    if property_ == "parent":
        return sorted(concept.parents)
    return concept.properties.get(property_, [])


def _where(test: Callable[[list[str], str], bool]) -> Callable[[CodeSystem, str, str], Iterator[str]]:
    """Make an operator of a test on a concept's values of the property."""
    return lambda system, property_, value: (
        code for code, concept in system.concepts.items() if test(_values(concept, property_), value)
    )


def _listed(value: str) -> list[str]:
    return [each.strip() for each in value.split(",")]


def _regex(system: CodeSystem, property_: str, value: str) -> Iterator[str]:
    try:
        compiled = pattern(f"^(?:{value})$")
        most = _SIMPLE_MOST if compiled.limit >= _SIMPLE_LIMIT else _OTHER_MOST
        if len(system.concepts) > most:
            raise Fault(
                Kind.TOO_COSTLY, "A pattern in the value set takes too long on so many codes; simplify it."
            )
        for code, concept in system.concepts.items():
            if any(compiled.matches(each) for each in _values(concept, property_)):
                yield code
    except FhirPathError as error:
        raise Fault(Kind.BAD_PARAMETER, f"A pattern in the value set cannot be used: {error}.") from None


def _is_a(system: CodeSystem, property_: str, value: str) -> Iterator[str]:
    _of_hierarchy(property_)
    return (code for code in system.below(value) if code in system.concepts)


def _descends(system: CodeSystem, property_: str, value: str) -> Iterator[str]:
    return (code for code in _is_a(system, property_, value) if code != value)


def _is_not_a(system: CodeSystem, property_: str, value: str) -> Iterator[str]:
    _of_hierarchy(property_)
    below = system.below(value)
    return (code for code in system.concepts if code not in below)


def _generalizes(system: CodeSystem, property_: str, value: str) -> Iterator[str]:
    _of_hierarchy(property_)
    return (code for code in system.above(value) if code in system.concepts)


def _of_hierarchy(property_: str) -> None:
    if property_ not in _HIERARCHY:
        raise Fault(
            Kind.BAD_PARAMETER,
            "A filter of the value set asks for a hierarchy of something else than concepts.",
        )


_OPERATORS: Mapping[str, Callable[[CodeSystem, str, str], Iterator[str]]] = MappingProxyType(
    {
        "=": _where(lambda found, value: value in found),
        "is-a": _is_a,
        "descendent-of": _descends,
        "is-not-a": _is_not_a,
        "regex": _regex,
        "in": _where(lambda found, value: not set(found).isdisjoint(_listed(value))),
        "not-in": _where(lambda found, value: set(found).isdisjoint(_listed(value))),
        "generalizes": _generalizes,
        "exists": _where(lambda found, value: any(found) == (value == "true")),
    }
)
