"""The tests of single values compiled to filters: what :mod:`compile` joins."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from fhir_server.crypto.blind import PREFIX_CHARACTERS
from fhir_server.faults import Fault, Kind
from fhir_server.search.predicate import (
    AnyOf,
    Contains,
    DateIs,
    Everything,
    HasWords,
    Near,
    NumberIs,
    Predicate,
    Present,
    QuantityIs,
    ReferenceIs,
    StringContains,
    StringEnds,
    StringIs,
    StringStarts,
    Test,
    Together,
    TokenIn,
    TokenIs,
    UriIs,
    Where,
)
from fhir_server.search.values import CONTAINED
from fhir_server.store.cells import covering
from fhir_server.store.mongo.filters import Filter, all_of, among, any_of
from fhir_server.store.mongo.keys import Keys, parameter, string, strings_from
from fhir_server.store.mongo.spans import date_condition, number_condition
from fhir_server.store.mongo.together import together


@dataclass(frozen=True, slots=True)
class Leaf:
    """A filter of what passes a test; where it is not ``exact``, the opened resource decides among these."""

    filter: Filter
    exact: bool = True


Leaves = Where | Together | Contains | AnyOf
"""Tests of values. An AnyOf among them is a long list of codes, see :func:`is_list`."""

_LONG: Final = 16
_LISTS_KEPT: Final = 256


def leaf(type_: str, item: Leaves, keys: Keys) -> Leaf:
    """Compile one test of a parameter of ``type_``.

    Raises Fault(NOT_IMPLEMENTED) for a test that this store does not know: it is refused, never left out.
    """
    match item:
        case Where(param, test):
            return _where(parameter(type_, param), test, keys)
        case Together(param, tests):
            p = parameter(type_, param)
            filter_ = together(p, tests, keys)
            return Leaf({"k": keys.present(p)}, exact=False) if filter_ is None else Leaf(filter_)
        case AnyOf():
            return _alternatives(type_, item, keys)
        case Contains(inside, inner):
            key = keys.token(parameter(type_, CONTAINED), "", inside)
            return Leaf({"k": key}, exact=isinstance(inner, Everything))


def is_list(item: Predicate) -> bool:
    """Tell whether an OR is a long list of values that indexes answer: what consents forbid, as a rule.

    It is compiled once and not again with each request.
    """
    return (
        isinstance(item, AnyOf)
        and len(item.items) >= _LONG
        and all(isinstance(each, Where) and isinstance(each.test, _LISTED) for each in item.items)
    )


@lru_cache(_LISTS_KEPT)
def _alternatives(type_: str, item: AnyOf, keys: Keys) -> Leaf:
    return Leaf(any_of(leaf(type_, each, keys).filter for each in item.items if isinstance(each, Where)))


_LISTED: Final = (ReferenceIs, StringIs, TokenIn, TokenIs, UriIs)


def _where(p: int, test: Test, keys: Keys) -> Leaf:  # noqa: C901, PLR0911, PLR0912 - one case for each test
    match test:
        case Present() | TokenIs(None, None):
            return Leaf({"k": keys.present(p)})
        case TokenIs(str() as system, None):
            return Leaf({"k": keys.system(p, system)})
        case TokenIs(system, str() as code):
            return Leaf({"k": _token(p, system, code, keys)})
        case TokenIn(members):
            return Leaf(among("k", sorted(_token(p, system, code, keys) for system, code in members)))
        case UriIs(uri):
            return Leaf({"k": keys.uri(p, uri)})
        case StringIs(text):
            return Leaf({"k": keys.text(p, text)})
        case StringStarts(text):
            return Leaf(_starts(p, text, keys), exact=len(text) <= PREFIX_CHARACTERS)
        case StringEnds(text, whole):
            # The key of a whole string is exact, however long it is.
            return (
                Leaf({"s": string(p, keys.blind.prefix(text))})
                if whole
                else Leaf({"k": keys.present(p)}, exact=False)
            )
        case StringContains():
            return Leaf({"k": keys.present(p)}, exact=False)
        case ReferenceIs(targets):
            digests = dict.fromkeys(map(keys.blind.target, targets))
            return Leaf(among("f", [keys.reference(p, digest) for digest in digests]))
        case DateIs():
            return Leaf({"i": {"$elemMatch": {"p": p, **date_condition(test)}}})
        case NumberIs():
            return Leaf({"i": {"$elemMatch": {"p": p, **number_condition(test)}}})
        case QuantityIs(number, system, unit):
            measured = {} if unit is None else {"u": keys.blind.unit(unit)}
            named = {} if system is None else {"s": keys.blind.system(system)}
            return Leaf({"q": {"$elemMatch": {"p": p, **measured, **named, **number_condition(number)}}})
        case Near(latitude, longitude, metres):
            cells = [keys.cell(p, cell) for cell in covering(latitude, longitude, metres)]
            return Leaf(among("k", cells), exact=False)
        case HasWords(words):
            return Leaf(all_of({"k": keys.word(p, word)} for word in sorted(words)))
    raise Fault(Kind.NOT_IMPLEMENTED, "The store cannot search by this kind of condition; leave it out.")


def _token(p: int, system: str | None, code: str, keys: Keys) -> int:
    return keys.code(p, code) if system is None else keys.token(p, system, code)


def _starts(p: int, text: str, keys: Keys) -> Filter:
    """Return the filter of the strings that begin with what the index knows of the folded ``text``."""
    least, beyond = strings_from(p, keys.blind.prefix(text[:PREFIX_CHARACTERS]))
    # Of a list of strings, a plain range would be passed by two that lie on either side of it.
    return {"s": {"$elemMatch": {"$gte": least, "$lt": beyond}}}
