"""What each modifier makes of a search parameter, by the parameter's type: the registry of all there are.

https://hl7.org/fhir/R4/search.html#modifiers
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from fhir_server.faults import Fault, Kind
from fhir_server.search import terms
from fhir_server.search.bindings import implied_systems
from fhir_server.search.conditions import conditions
from fhir_server.search.fold import fold
from fhir_server.search.generate import sources
from fhir_server.search.parameters import Parameter, shown
from fhir_server.search.predicate import (
    Chain,
    Has,
    IdIn,
    Predicate,
    ReferenceIs,
    StringContains,
    StringIs,
    StringStarts,
    TokenIn,
    TokenIs,
    UriIs,
    Where,
    any_of,
    negate,
)
from fhir_server.search.references import paths_above
from fhir_server.search.terms import Codes, Direction, Options


@dataclass(frozen=True, slots=True)
class Asked:
    """A parameter of ``type`` and the values asked for, escaped, none of them empty."""

    type: str
    parameter: Parameter
    items: tuple[str, ...]
    options: Options

    @property
    def texts(self) -> tuple[str, ...]:
        """The values without their escapes."""
        return tuple(terms.unescape(item) for item in self.items)


@dataclass(frozen=True, slots=True)
class Modifier:
    """A modifier: what it means in a line, and how its values are read."""

    meaning: str
    read: Callable[[Asked], Predicate]


def _exact(asked: Asked) -> Predicate:
    return any_of(Where(asked.parameter.code, StringIs(text)) for text in dict.fromkeys(asked.texts))


def _contains(asked: Asked) -> Predicate:
    parts = dict.fromkeys(fold(text) for text in asked.texts)
    return any_of(Where(asked.parameter.code, StringContains(part)) for part in parts)


def _not(asked: Asked) -> Predicate:
    return negate(conditions(asked.type, asked.parameter, asked.items, asked.options))


def _text(asked: Asked) -> Predicate:
    starts = [start for start in dict.fromkeys(fold(text) for text in asked.texts) if start]
    if not starts:
        raise terms.bad(asked.parameter, "the beginning of what is displayed for a code")
    return any_of(Where(f"{asked.parameter.code}:text", StringStarts(start)) for start in starts)


def _of_type(asked: Asked) -> Predicate:
    if not any(function == "identifier" for _, function in sources(asked.parameter, asked.type)):
        raise Fault(
            Kind.UNSUPPORTED_PARAMETER, f"{asked.parameter.code} has no identifiers; :of-type is for these."
        )
    tests = []
    for item in asked.items:
        parts = [terms.unescape(part) for part in terms.split(item, "|")]
        if len(parts) != 3 or not (parts[1] and parts[2]):
            raise terms.bad(asked.parameter, "system|code|value: the identifier's type and its value")
        tests.append(TokenIs(parts[0] or None, f"{parts[1]}|{parts[2]}"))
    return any_of(Where(f"{asked.parameter.code}:of-type", test) for test in dict.fromkeys(tests))


def _in(asked: Asked) -> Predicate:
    codes: Codes = frozenset().union(*(asked.options.terminology.expand(text) for text in asked.texts))
    return _among(asked, codes)


def _not_in(asked: Asked) -> Predicate:
    return negate(_in(asked))


def _hierarchy(direction: Direction) -> Callable[[Asked], Predicate]:
    def read(asked: Asked) -> Predicate:
        found: set[tuple[str, str]] = set()
        for item in asked.items:
            test = terms.token(asked.parameter, item, asked.options)
            if not test.system or not test.code:
                raise terms.bad(asked.parameter, f"system|code after :{direction}")
            found |= asked.options.terminology.subsumed(test.system, test.code, direction)
        return _among(asked, frozenset(found))

    return read


def _among(asked: Asked, codes: Codes) -> Predicate:
    """Return that a code is one of ``codes``; a bare one counts where its system goes without saying."""
    implied = implied_systems(asked.parameter, asked.type)
    bare = {("", code) for system, code in codes if system in implied}
    members: frozenset[tuple[str | None, str]] = frozenset(codes | bare)
    return Where(asked.parameter.code, TokenIn(members)) if members else any_of(())


def _identifier(asked: Asked) -> Predicate:
    code = f"{asked.parameter.code}:identifier"
    tests = dict.fromkeys(terms.token(asked.parameter, item, asked.options) for item in asked.items)
    return any_of(Where(code, test) for test in tests)


def _uri_below(asked: Asked) -> Predicate:
    code = asked.parameter.code
    return any_of(
        each
        for text in dict.fromkeys(asked.texts)
        for each in (Where(code, UriIs(text)), Where(f"{code}:below", UriIs(_hierarchical(asked, text)[0])))
    )


def _uri_above(asked: Asked) -> Predicate:
    uris = [
        uri for text in asked.texts for path in _hierarchical(asked, text) for uri in (path, f"{path}/", text)
    ]
    return any_of(Where(asked.parameter.code, UriIs(uri)) for uri in dict.fromkeys(uris))


def _hierarchical(asked: Asked, text: str) -> tuple[str, ...]:
    paths = paths_above(text)
    if not paths:
        raise terms.bad(asked.parameter, "an http or https address: only these have others above and below")
    return paths


_DEEPEST_PART = 5


def _part_parameter(type_: str, options: Options) -> Parameter | None:
    """Return the parameter by which a ``type_`` says what it is a part of: it leads to its own type alone."""
    known = options.registry.parameters(type_)
    candidates = (known.get(code) for code in ("partof", "part-of"))
    return next((each for each in candidates if each is not None and each.targets == (type_,)), None)


def _reference_below(asked: Asked) -> Predicate:
    """Lead to a resource, or to what is a part of it, five steps down."""
    return _along(asked, lambda type_, id_, part: _below(type_, id_, part, _DEEPEST_PART))


def _reference_above(asked: Asked) -> Predicate:
    """Lead to a resource, or to what it is a part of, five steps up."""
    return _along(asked, lambda type_, id_, part: _above(type_, id_, part, _DEEPEST_PART))


def _along(asked: Asked, family: Callable[[str, str, str], Predicate]) -> Predicate:
    code = asked.parameter.code
    ways: list[Predicate] = []
    for target in _local_targets(asked):
        type_, _, id_ = target.partition("/")
        part = _part_parameter(type_, asked.options)
        if part is not None:
            ways += [Where(code, ReferenceIs((target,))), Chain(code, type_, family(type_, id_, part.code))]
    if not ways:
        raise Fault(
            Kind.UNSUPPORTED_PARAMETER,
            f"What {code} leads to is no part of others of its type (as Location and Organization are).",
        )
    return any_of(ways)


def _local_targets(asked: Asked) -> list[str]:
    found = terms.references(asked.parameter, "", asked.items, asked.options).targets
    if any(":" in target for target in found):
        raise terms.bad(asked.parameter, "an id or Type/id of this server after :above or :below")
    return list(found)


def _below(type_: str, id_: str, part: str, steps: int) -> Predicate:
    here = IdIn((id_,))
    return any_of((here, Chain(part, type_, _below(type_, id_, part, steps - 1)))) if steps else here


def _above(type_: str, id_: str, part: str, steps: int) -> Predicate:
    here = IdIn((id_,))
    return any_of((here, Has(type_, part, _above(type_, id_, part, steps - 1)))) if steps else here


MODIFIERS: Mapping[str, Mapping[str, Modifier]] = MappingProxyType(
    {
        "token": {
            "not": Modifier("None of the values is the one given, or there is no value.", _not),
            "text": Modifier("What is displayed for the code starts so.", _text),
            "in": Modifier("The code is in the value set.", _in),
            "not-in": Modifier("No code is in the value set.", _not_in),
            "above": Modifier("The code is the one given, or subsumes it.", _hierarchy("above")),
            "below": Modifier("The code is the one given, or is subsumed by it.", _hierarchy("below")),
            "of-type": Modifier(
                "An identifier of that type: the type's system, its code, the value.", _of_type
            ),
        },
        "string": {
            "exact": Modifier("The whole string, case and accents included.", _exact),
            "contains": Modifier("The string holds the text anywhere.", _contains),
        },
        "reference": {
            "identifier": Modifier("The reference's identifier, not its literal.", _identifier),
            "above": Modifier("The resource, or what it is a part of, up to five steps.", _reference_above),
            "below": Modifier("The resource, or its parts, up to five steps.", _reference_below),
        },
        "uri": {
            "above": Modifier("The address, or one whose path begins it.", _uri_above),
            "below": Modifier("The address, or one whose path it begins.", _uri_below),
        },
        "date": {},
        "number": {},
        "quantity": {},
        "composite": {},
        "special": {},
    }
)
"""Type of parameter → modifier → what it means. All take ``:missing``; a reference takes a type's name."""


def reader(parameter: Parameter, name: str) -> Callable[[Asked], Predicate]:
    """Return what reads a parameter's values with the modifier ``name``; raises a Fault when nothing does.

    ``:missing`` is not among them: its value is of another kind.
    """
    if name in parameter.targets and parameter.type == "reference":
        return lambda asked: Where(
            parameter.code, terms.references(parameter, name, asked.items, asked.options)
        )
    known = MODIFIERS[parameter.type]
    if parameter.code == "_id":
        known = {"not": known["not"]}
    if name not in known:
        raise Fault(
            Kind.UNSUPPORTED_PARAMETER,
            f"The modifier {shown(name)} means nothing to {parameter.code}; it takes "
            f"{', '.join(('missing', *known))}{' or a type' * (parameter.type == 'reference')}.",
        )
    return known[name].read
