"""One value of a search parameter, without a modifier, as a predicate.

What one value means may stand in several kinds of rows: a name as written and as it sounds, a quantity in
canonical units, a code with and without the system of its value set. https://hl7.org/fhir/R4/search.html#ptypes
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import product

from fhir_server.faults import Fault, Kind
from fhir_server.search import terms
from fhir_server.search.bindings import implied_systems
from fhir_server.search.generate import Half, groups, sources
from fhir_server.search.parameters import Parameter, parameters
from fhir_server.search.predicate import (
    EVERYTHING,
    IdIn,
    Predicate,
    Present,
    QuantityIs,
    StringStarts,
    Test,
    Together,
    TokenIs,
    Where,
    all_of,
    any_of,
)
from fhir_server.search.sounds import spoken
from fhir_server.search.terms import Options

_MOST_COMBINATIONS = 64


def conditions(type_: str, parameter: Parameter, items: Sequence[str], options: Options) -> Predicate:
    """Return that some value of the parameter is one of ``items`` (escaped, none empty)."""
    code = parameter.code
    if code == "_id":
        return IdIn(tuple(dict.fromkeys(terms.unescape(item) for item in items)))
    if parameter.type == "reference":
        return Where(code, terms.references(parameter, "", items, options))
    if parameter.type == "composite":
        return any_of(dict.fromkeys(_composite(type_, parameter, item, options) for item in items))
    found = [each for item in items for each in _alternatives(type_, parameter, item, options)]
    return any_of(Where(code + rows, test) for rows, test in dict.fromkeys(found))


def present(type_: str, parameter: Parameter) -> Predicate:
    """Return that the parameter has any value. https://hl7.org/fhir/R4/search.html#modifiers"""
    code = parameter.code
    if code == "_id":
        return EVERYTHING
    if parameter.type == "reference":
        # A logical reference has no literal, but it is there.
        return any_of((Where(code, Present()), Where(f"{code}:identifier", Present())))
    if parameter.type == "composite":
        return any_of(
            Where(code, Present()) if steps else all_of(Where(each.code, Present()) for each in plain)
            for steps, plain in _places(type_, parameter)
        )
    return Where(code, Present())


def _alternatives(
    type_: str, parameter: Parameter, item: str, options: Options
) -> Iterator[tuple[str, Test]]:
    """Yield the tests of which any is enough, each with the suffix of the rows that it is for."""
    test = terms.TERMS[parameter.type](parameter, item, options)
    canonical = terms.in_canonical_units(test) if isinstance(test, QuantityIs) else None
    if canonical is not None:
        yield ":ucum", canonical
        return
    yield "", test
    if isinstance(test, TokenIs) and test.system and test.code:
        if test.system in implied_systems(parameter, type_):
            yield "", TokenIs("", test.code)
    elif isinstance(test, StringStarts) and has_sound(parameter, type_):
        sound = spoken(test.text)
        if sound:
            yield ":sound", StringStarts(sound)


@lru_cache(maxsize=1024)
def has_sound(parameter: Parameter, type_: str) -> bool:
    """Say whether the parameter searches people's names, which are also found as they sound."""
    return any(function in ("human_name", "name_part") for _, function in sources(parameter, type_))


def _composite(type_: str, parameter: Parameter, item: str, options: Options) -> Predicate:
    """Read ``a$b``: one element must hold all. https://hl7.org/fhir/R4/search.html#composite"""
    parts = terms.split(item, "$")
    if len(parts) != len(parameter.components):
        raise terms.bad(parameter, f"{len(parameter.components)} values with $ between them, such as a$b")
    ways: list[Predicate] = []
    for path, halves in groups(parameter, type_):
        tests = [
            list(_component(type_, half, part, options)) for half, part in zip(halves, parts, strict=True)
        ]
        plain = _plain(type_, halves) if not path.steps else ()
        combined = list(product(*tests))
        if len(combined) > _MOST_COMBINATIONS:
            raise Fault(Kind.BAD_PARAMETER, f"A value of {parameter.code} means too much; search in parts.")
        ways += [_joined(parameter.code, plain, combination) for combination in combined]
    return any_of(ways)


def _component(type_: str, half: Half, part: str, options: Options) -> Iterator[tuple[str, Test]]:
    if half.parameter.type == "reference":
        return iter([("", terms.references(half.parameter, "", [part], options))])
    return (
        (rows, test) for rows, test in _alternatives(type_, half.parameter, part, options) if rows != ":sound"
    )


def _joined(code: str, plain: tuple[Parameter, ...], tests: tuple[tuple[str, Test], ...]) -> Predicate:
    if plain:
        pairs = zip(plain, tests, strict=True)
        return all_of(Where(parameter.code + rows, test) for parameter, (rows, test) in pairs)
    rows = ":ucum" if any(rows == ":ucum" for rows, _ in tests) else ""
    return Together(code + rows, tuple(test for _, test in tests))


def _places(type_: str, parameter: Parameter) -> list[tuple[bool, tuple[Parameter, ...]]]:
    """Return where the components of a composite stand: (below the resource, else by which parameters)."""
    return [
        (bool(path.steps), _plain(type_, halves) if not path.steps else ())
        for path, halves in groups(parameter, type_)
    ]


@lru_cache(maxsize=256)
def _plain(type_: str, halves: tuple[Half, ...]) -> tuple[Parameter, ...]:
    """Return the parameters that search the components of a composite whose element is the resource.

    Of those that reach a component's element, the one that reaches the fewest others: ``code``, not
    ``combo-code``.
    """
    found = []
    for half in halves:
        reaching = [
            each
            for each in parameters(type_).values()
            if each.type == half.parameter.type and set(half.sources) <= set(sources(each, type_))
        ]
        found.append(min(reaching, key=lambda each: len(sources(each, type_)), default=half.parameter))
    return tuple(found)
