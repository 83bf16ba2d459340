"""What a ``_filter`` asks, as a predicate. https://hl7.org/fhir/R4/search_filter.html

Strings compare folded, as in all searches. ``ne`` asks for a value that differs; of strings, codes,
references and URIs, which are not ordered, for values none of which is equal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from fhir_server.faults import Fault, Kind
from fhir_server.search import terms
from fhir_server.search.conditions import conditions, present
from fhir_server.search.criteria import MAX_ALTERNATIVES, MAX_HOPS, chained_types, searchable, too_far
from fhir_server.search.filter.grammar import Compare, Filter, Logic, Negation, Step, parse
from fhir_server.search.fold import fold
from fhir_server.search.joined import apart
from fhir_server.search.modifiers import Asked, reader
from fhir_server.search.parameters import UnknownParameter, shown
from fhir_server.search.predicate import (
    Chain,
    DateIs,
    Predicate,
    StringContains,
    StringEnds,
    StringStarts,
    Where,
    all_of,
    any_of,
    negate,
)
from fhir_server.search.terms import Options


def filtered(type_: str, text: str, options: Options) -> Predicate:
    """Return the predicate of a filter on resources of ``type_``.

    Raises a Fault for what the grammar lacks, and for an operator that means nothing to its parameter.
    """
    return _Reading(options).filter(type_, parse(text), MAX_HOPS, MAX_ALTERNATIVES)


class _Reading:
    def __init__(self, options: Options) -> None:
        self._options = options

    def filter(self, type_: str, tree: Filter, hops: int, ways: int) -> Predicate:
        """Read a filter on ``type_``; its chains may go ``hops`` far and ``ways`` wide yet."""
        match tree:
            case Logic(word, left, right):
                sides = (self.filter(type_, side, hops, ways) for side in (left, right))
                return all_of(sides) if word == "and" else any_of(sides)
            case Negation(inner):
                return negate(self.filter(type_, inner, hops, ways))
            case Compare(path, operator, value):
                return self._along(type_, path, operator, value, hops, ways)

    def _along(
        self, type_: str, path: tuple[Step, ...], operator: str, value: str, hops: int, ways: int
    ) -> Predicate:
        """Read a comparison at the end of a path: every step but the last goes on to other resources."""
        if hops < 0 or ways < 1:
            raise too_far()
        step, rest = path[0], path[1:]
        code, _, named = step.name.partition(":")
        if not rest:
            if step.within is not None or named:
                raise Fault(
                    Kind.BAD_PARAMETER,
                    "In _filter, [ ] and :Type stand behind a reference that a path goes on from.",
                )
            return self._compare(type_, code, operator, value)
        parameter = searchable(type_, code, self._options.registry)
        types = chained_types(parameter, named, rest[0].name.partition(":")[0], self._options.registry)
        found: list[Predicate] = []
        unknown: UnknownParameter | None = None
        for target in types:
            try:
                inner = self._along(target, rest, operator, value, hops - 1, ways // len(types))
                if step.within is not None:
                    inner = all_of((self.filter(target, step.within, hops - 1, ways // len(types)), inner))
            except UnknownParameter as fault:
                unknown = fault
            else:
                found.append(Chain(code, target, inner))
        if not found and unknown is not None:
            raise unknown
        return any_of(found)

    def _compare(self, type_: str, code: str, operator: str, value: str) -> Predicate:
        return apart(type_, self._compared(type_, code, operator, value))

    def _compared(self, type_: str, code: str, operator: str, value: str) -> Predicate:
        parameter = searchable(type_, code, self._options.registry)
        if operator == "pr":
            if value not in ("true", "false"):
                raise Fault(Kind.BAD_PARAMETER, "In _filter, pr takes true (there is a value) or false.")
            there = present(type_, parameter)
            return there if value == "true" else negate(there)
        known = MEANINGS[parameter.type]
        if operator not in known:
            raise Fault(
                Kind.BAD_PARAMETER,
                f"In _filter, {operator} means nothing to {shown(code)}, a {parameter.type}; it takes "
                f"{', '.join((*known, 'pr'))}.",
            )
        if not value.strip():
            raise terms.bad(parameter, "something to compare with")
        return known[operator](Asked(type_, parameter, (value,), self._options))


_Meaning = Callable[[Asked], Predicate]


def _equal(asked: Asked) -> Predicate:
    return conditions(asked.type, asked.parameter, asked.items, asked.options)


def _unequal(equal: _Meaning) -> _Meaning:
    return lambda asked: all_of((present(asked.type, asked.parameter), negate(equal(asked))))


def _prefixed(prefix: str) -> _Meaning:
    """Read a number, date or quantity as if the operator were its prefix."""
    return lambda asked: conditions(
        asked.type, asked.parameter, (prefix + asked.items[0].strip(),), asked.options
    )


def _overlaps(asked: Asked) -> Predicate:
    test = terms.date(asked.parameter, "eq" + asked.items[0].strip(), asked.options)
    return Where(asked.parameter.code, DateIs("ap", test.lo, test.hi))


def _modified(name: str) -> _Meaning:
    return lambda asked: reader(asked.parameter, name)(asked)


def _folded(test: Callable[[str], StringStarts | StringContains | StringEnds]) -> _Meaning:
    def read(asked: Asked) -> Predicate:
        text = fold(asked.items[0])
        if not text:
            raise terms.bad(asked.parameter, "something to compare with")
        return Where(asked.parameter.code, test(text))

    return read


_ORDERED: Mapping[str, _Meaning] = {
    name: _prefixed(name) for name in ("eq", "ne", "gt", "lt", "ge", "le", "ap", "sa", "eb")
}
_whole = _folded(lambda text: StringEnds(text, whole=True))

MEANINGS: Mapping[str, Mapping[str, _Meaning]] = MappingProxyType(
    {
        "string": {
            "eq": _whole,
            "ne": _unequal(_whole),
            "co": _folded(StringContains),
            "sw": _folded(StringStarts),
            "ew": _folded(StringEnds),
        },
        "token": {
            "eq": _equal,
            "ne": _unequal(_equal),
            "in": _modified("in"),
            "ni": _modified("not-in"),
            "ss": _modified("below"),
            "sb": _modified("above"),
        },
        "date": {**_ORDERED, "po": _overlaps},
        "number": _ORDERED,
        "quantity": _ORDERED,
        "reference": {"re": _equal, "eq": _equal, "ne": _unequal(_equal)},
        "uri": {
            "eq": _equal,
            "ne": _unequal(_equal),
            "ss": _modified("below"),
            "sb": _modified("above"),
        },
        "composite": {"eq": _equal, "ne": _unequal(_equal)},
        "special": {"eq": _equal},
    }
)
"""Type of parameter → operator → its predicate. All take ``pr`` too.

``ss`` (the value subsumes what is found) is what ``:below`` asks, ``sb`` what ``:above`` asks.
"""
