"""Composite tests compiled to one ``$elemMatch``: one element passes all. See :mod:`elements` for the rows.

https://hl7.org/fhir/R4/search.html#composite
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from bson.int64 import Int64

from fhir_server.crypto.blind import PREFIX_CHARACTERS, following
from fhir_server.search.fold import fold
from fhir_server.search.predicate import (
    DateIs,
    NumberIs,
    QuantityIs,
    ReferenceIs,
    StringIs,
    StringStarts,
    Test,
    TokenIn,
    TokenIs,
    UriIs,
)
from fhir_server.store.components import KINDS, column
from fhir_server.store.mongo.filters import Filter, any_of, merged
from fhir_server.store.mongo.keys import Keys, element
from fhir_server.store.mongo.spans import date_condition, number_condition

_LEAST_COMPONENTS: Final = 2
_BEYOND_HEX: Final = "g"


class _First(NamedTuple):
    """What the first component must be: its kind, and (digest, digest of its system or None: any)."""

    kind: str
    values: tuple[tuple[int, int | None], ...]


class _Other(NamedTuple):
    """What another component must be: its kind, and the condition on ``u``, ``s``, ``a`` and ``b``."""

    kind: str
    condition: Filter


def together(p: int, tests: Sequence[Test], keys: Keys) -> Filter | None:
    """Return the filter of what has an element of composite ``p`` that passes ``tests`` in their order.

    None: the rows do not tell, only the opened resource does.
    """
    if len(tests) < _LEAST_COMPONENTS:
        return None
    first = _first(tests[0], keys)
    others = [_other(each, keys) for each in tests[1:]]
    known = [each for each in others if each is not None]
    if first is None or len(known) < len(others):
        return None
    second, *further = known
    rest: list[Filter] = [
        {str(place): {"$elemMatch": {"c": KINDS.index(other.kind), **other.condition}}}
        for place, other in enumerate(further, 2)
    ]
    # Of another number of components no element is.
    rest.append({str(len(tests)): {"$exists": False}})
    found_by = _found_by(p, first, column(1, first.kind, second.kind))
    return {"e": {"$elemMatch": merged([found_by, second.condition, *rest])}}


def _found_by(p: int, first: _First, c: int) -> Filter:
    digests: dict[int | None, list[Int64]] = {}
    for digest, system in first.values:
        digests.setdefault(system, []).append(element(p, c, digest))
    return any_of(
        {
            "k": {"$in": sorted(some)} if len(some) > 1 else some[0],
            **({} if system is None else {"z": system}),
        }
        for system, some in digests.items()
    )


def _first(test: Test, keys: Keys) -> _First | None:
    blind = keys.blind
    match test:
        case TokenIs(system, str() as code):
            return _First("token", (_token(system, code, keys),))
        case TokenIn(members):
            return _First("token", tuple(_token(system, code, keys) for system, code in members))
        case ReferenceIs(targets):
            return _First(
                "reference", tuple((blind.target(target), None) for target in dict.fromkeys(targets))
            )
        case UriIs(uri):
            return _First("uri", ((blind.code(uri), None),))
    return None


def _token(system: str | None, code: str, keys: Keys) -> tuple[int, int | None]:
    return keys.blind.code(code), None if system is None else keys.blind.system(system)


def _other(test: Test, keys: Keys) -> _Other | None:  # noqa: PLR0911 - one case for each test
    blind = keys.blind
    match test:
        case TokenIs(system, str() as code):
            return _Other("token", _coded([(system, code)], keys))
        case TokenIn(members):
            return _Other("token", _coded(members, keys))
        case QuantityIs(number, system, unit):
            measured = {} if unit is None else {"u": blind.unit(unit)}
            named = {} if system is None else {"s": blind.system(system)}
            return _Other("quantity", {**measured, **named, **number_condition(number)})
        case NumberIs():
            return _Other("number", number_condition(test))
        case DateIs():
            return _Other("date", date_condition(test))
        case StringIs(text):
            return _Other("string", {"a": blind.prefix(fold(text)).hex(), "b": Int64(blind.text(text))})
        case StringStarts(text) if len(text) <= PREFIX_CHARACTERS:
            least = blind.prefix(text)
            beyond = following(least)
            upper = _BEYOND_HEX if beyond is None else beyond.hex()
            return _Other("string", {"a": {"$gte": least.hex(), "$lt": upper}})
        case ReferenceIs(targets):
            return _Other("reference", {"a": {"$in": [Int64(blind.target(each)) for each in targets]}})
        case UriIs(uri):
            return _Other("uri", {"a": Int64(blind.code(uri))})
    return None


def _coded(members: Iterable[tuple[str | None, str]], keys: Keys) -> Filter:
    """Return the condition that a code is a member; no members: none is."""
    codes: dict[int | None, list[Int64]] = {}
    for system, code in members:
        digest, named = _token(system, code, keys)
        codes.setdefault(named, []).append(Int64(digest))
    conditions = [
        {"a": {"$in": sorted(some)}, **({} if named is None else {"s": named})}
        for named, some in codes.items()
    ]
    if not conditions:
        return {"a": {"$in": []}}
    return conditions[0] if len(conditions) == 1 else {"$or": conditions}
