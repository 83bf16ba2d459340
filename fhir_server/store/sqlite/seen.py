"""May this one resource be seen? The condition of a visibility, compiled once and kept.

A caller's visibility stays the same object from request to request, and reads by id are the commonest ones.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from typing import Final

from fhir_server.crypto.blind import BlindIndex
from fhir_server.search.predicate import (
    EVERYTHING,
    About,
    All,
    AnyOf,
    Chain,
    Everything,
    Has,
    IdIn,
    Not,
    Nothing,
    Predicate,
    ReferenceIs,
    TokenIs,
    Where,
)
from fhir_server.search.visibility import Visibility
from fhir_server.store.sqlite.compile import Compiler
from fhir_server.store.sqlite.fragment import Sql
from fhir_server.store.sqlite.functions import judge_of
from fhir_server.store.sqlite.names import Lookup

_KEPT: Final = 4_000
_Key = tuple[int, str]


class Seen:
    """Conditions on ``h.sk``, by visibility and type; for the event loop's connection alone."""

    def __init__(self, names: Lookup, blind: BlindIndex) -> None:
        self._names = names
        self._blind = blind
        # The visibility itself is kept beside its condition: while it is, no other object has its id.
        self._kept: OrderedDict[_Key, tuple[Visibility, _Watched, Sql]] = OrderedDict()

    def test(self, connection: sqlite3.Connection, visibility: Visibility, type_: str) -> Sql:
        """Return the condition that the live resource ``h.sk`` of ``type_`` may be seen."""
        key = (id(visibility), type_)
        kept = self._kept.get(key)
        # A parameter that had no number may have got one with a commit of any process.
        if kept is not None and kept[1].is_up_to_date(connection):
            self._kept.move_to_end(key)
            judge_of(connection).begin()
            return kept[2]
        names = _Watched(self._names)
        predicate = visibility.restrict(type_, EVERYTHING)
        test = Compiler(connection, names, self._blind).test(type_, predicate, "h.sk")
        if _is_lasting(predicate):
            self._kept[key] = (visibility, names, test)
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return test


class _Watched:
    """Looks numbers up and notes which were missing."""

    def __init__(self, names: Lookup) -> None:
        self._names = names
        self._missing: set[tuple[str, str | None]] = set()

    def type_number(self, connection: sqlite3.Connection, type_: str) -> int | None:
        """Return a type's number."""
        number = self._names.type_number(connection, type_)
        if number is None:
            self._missing.add((type_, None))
        return number

    def param_number(self, connection: sqlite3.Connection, type_: str, param: str) -> int | None:
        """Return a parameter's number."""
        number = self._names.param_number(connection, type_, param)
        if number is None:
            self._missing.add((type_, param))
        return number

    def is_up_to_date(self, connection: sqlite3.Connection) -> bool:
        """Tell whether what was missing still is."""
        return all(
            self._names.type_number(connection, type_) is None
            if param is None
            else self._names.param_number(connection, type_, param) is None
            for type_, param in self._missing
        )


def _is_lasting(predicate: Predicate) -> bool:
    """Tell whether the condition of a predicate depends on numbers and digests alone, which never change.

    That of policy classes looks up who is in them as it runs. Other tests are compiled by what the index
    holds at the moment.
    """
    match predicate:
        case Everything() | Nothing() | IdIn() | About() | Where(_, ReferenceIs() | TokenIs()):
            return True
        case All(items) | AnyOf(items):
            return all(_is_lasting(item) for item in items)
        case Not(inner) | Chain(_, _, inner) | Has(_, _, inner):
            return _is_lasting(inner)
        case _:
            return False
