"""One search criterion, name and value, as a predicate: modifiers, chains and reverse chains.

https://hl7.org/fhir/R4/search.html#modifiers and https://hl7.org/fhir/R4/search.html#chaining
"""

from __future__ import annotations

from fhir_server.faults import Fault, Kind
from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.search import terms
from fhir_server.search.conditions import conditions, present
from fhir_server.search.fold import fold
from fhir_server.search.joined import apart
from fhir_server.search.modifiers import Asked, reader
from fhir_server.search.parameters import R4, Parameter, Registry, UnknownParameter, shown
from fhir_server.search.predicate import (
    Chain,
    Has,
    HasWords,
    Predicate,
    Where,
    any_of,
    negate,
)
from fhir_server.search.terms import Options
from fhir_server.search.words import sought

WORDS = ("_text", "_content")
"""Parameters that search words, not an element."""


MAX_HOPS = 5
MAX_ALTERNATIVES = 64


def criterion(type_: str, name: str, value: str, options: Options) -> Predicate | None:
    """Return the predicate of ``name=value`` on resources of ``type_``; None when the value is empty.

    ``name``: ``code``, ``code:modifier``, a chain ``code[:Type].name`` or ``_has:Type:code:name``.
    Raises :class:`UnknownParameter`, or another Fault for a modifier or value that cannot be read.
    """
    return _criterion(type_, name, value, options, MAX_HOPS, MAX_ALTERNATIVES)


def _criterion(
    type_: str, name: str, value: str, options: Options, hops: int, alternatives: int
) -> Predicate | None:
    if hops < 0 or alternatives < 1:
        raise too_far()
    if name.startswith("_has:"):
        source, parameter, rest = _reverse(type_, name, options.registry)
        inner = _criterion(source, rest, value, options, hops - 1, alternatives)
        return None if inner is None else Has(source, parameter.code, inner)
    head, chained, rest = name.partition(".")
    code, _, modifier = head.partition(":")
    if code in WORDS and not chained:
        return _words(head, value, options)
    parameter = searchable(type_, code, options.registry)
    if not chained:
        return _term(type_, parameter, modifier, value, options)
    types = chained_types(parameter, modifier, rest.partition(".")[0].partition(":")[0], options.registry)
    ways = [
        (target, _criterion(target, rest, value, options, hops - 1, alternatives // len(types)))
        for target in types
    ]
    known = [Chain(code, target, inner) for target, inner in ways if inner is not None]
    return any_of(known) if known else None


def too_far() -> Fault:
    """Return the fault for a chain beyond the limits."""
    return Fault(
        Kind.BAD_PARAMETER,
        f"A chain may take {MAX_HOPS} steps and {MAX_ALTERNATIVES} ways; name the type of each step "
        "(subject:Patient.name), or search in two requests.",
    )


def searchable(type_: str, code: str, registry: Registry = R4) -> Parameter:
    """Return the parameter ``code`` of ``type_`` if this server can search by it."""
    parameter = registry.resolve(type_, code)
    if not parameter.is_searchable:
        raise UnknownParameter(f"The search parameter {code} of {type_} cannot be searched by here.")
    return parameter


def reference(type_: str, code: str, registry: Registry = R4) -> Parameter:
    """Return the reference parameter ``code`` of ``type_``, for a chain or an include."""
    parameter = searchable(type_, code, registry)
    if parameter.type != "reference":
        raise Fault(Kind.BAD_PARAMETER, f"{type_}.{code} is a {parameter.type}, not a reference to follow.")
    return parameter


def _reverse(type_: str, name: str, registry: Registry) -> tuple[str, Parameter, str]:
    """Split ``_has:Type:code:name``. https://hl7.org/fhir/R4/search.html#has"""
    parts = name.split(":", 3)
    if len(parts) != 4 or parts[1] not in RESOURCE_TYPES:
        raise Fault(Kind.BAD_PARAMETER, "Write _has:Type:reference:name, e.g. _has:Observation:patient:code.")
    _, source, code, rest = parts
    parameter = reference(source, code, registry)
    if type_ not in parameter.targets:
        raise Fault(Kind.BAD_PARAMETER, f"{source}.{code} never refers to {type_}.")
    return source, parameter, rest


def chained_types(parameter: Parameter, named: str, code: str, registry: Registry) -> tuple[str, ...]:
    """Return the types that a chain goes on to: the one named, else all that know ``code``, the next one."""
    if parameter.type != "reference":
        raise Fault(
            Kind.BAD_PARAMETER, f"{parameter.code} is a {parameter.type}; only a reference can be chained."
        )
    if named:
        if named not in parameter.targets:
            raise Fault(Kind.BAD_PARAMETER, f"{parameter.code} never refers to {shown(named)}.")
        return (named,)
    types = tuple(each for each in parameter.targets if code == "_has" or code in registry.parameters(each))
    if not types:
        raise UnknownParameter(
            f"Nothing that {parameter.code} refers to has a search parameter {shown(code)}."
        )
    return types


def _term(type_: str, parameter: Parameter, modifier: str, value: str, options: Options) -> Predicate | None:
    """Return the predicate of one parameter without chains: its values are joined by OR."""
    found = _asked(type_, parameter, modifier, value, options)
    return None if found is None else apart(type_, found)


def _asked(type_: str, parameter: Parameter, modifier: str, value: str, options: Options) -> Predicate | None:
    if modifier == "missing":
        return _missing(type_, parameter, value)
    items = tuple(item for item in terms.split(value, ",") if item.strip())
    if parameter.type == "string" and modifier != "exact":
        items = tuple(item for item in items if fold(terms.unescape(item)))
    if modifier:
        # Looked up even without a value: a modifier that means nothing is refused, not ignored.
        read = reader(parameter, modifier)
        return read(Asked(type_, parameter, items, options)) if items else None
    return conditions(type_, parameter, items, options) if items else None


def _missing(type_: str, parameter: Parameter, value: str) -> Predicate | None:
    """Return that the parameter has no value (true) or has one (false)."""
    if not value:
        return None
    if value not in ("true", "false"):
        raise terms.bad(parameter, "true or false after :missing")
    there = present(type_, parameter)
    return negate(there) if value == "true" else there


def _words(name: str, value: str, options: Options) -> Predicate | None:
    """Return that a text holds words, ``_text`` its narrative, ``_content`` all of it.

    Words with spaces between them must all occur, in any order; commas are OR.
    https://hl7.org/fhir/R4/search.html#text
    """
    code, _, modifier = name.partition(":")
    if not options.full_text:
        raise UnknownParameter(f"{code} needs an index of words, which this server does not keep.")
    if modifier:
        raise Fault(Kind.UNSUPPORTED_PARAMETER, f"{code} takes no modifier.")
    asked = (sought(terms.unescape(item)) for item in terms.split(value, ","))
    tests = dict.fromkeys(HasWords(words) for words in asked if words)
    return any_of(Where(code, test) for test in tests) if tests else None
