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
    DateIs,
    Everything,
    Has,
    IdIn,
    Not,
    Nothing,
    NumberIs,
    Predicate,
    Present,
    ReferenceIs,
    TokenIn,
    TokenIs,
    UriIs,
    Where,
)
from fhir_server.search.visibility import Visibility
from fhir_server.store.sqlite.compile import Compiler
from fhir_server.store.sqlite.fragment import Conjunct, Sql
from fhir_server.store.sqlite.functions import judge_of
from fhir_server.store.sqlite.held import NONE_HELD, Held, kept
from fhir_server.store.sqlite.names import Lookup
from fhir_server.store.sqlite.stamps import Changes

_KEPT: Final = 4_000
_Key = tuple[int, str]


class _Lasting(Compiler):
    """Compiles tests that hold whatever is stored later: the index is supposed to hold anything.

    The SQL names differ from those of the statement that such a test is put into.
    """

    prefix = "v"

    def has_one_date(self, _p: int) -> bool:
        """Suppose that some resource has several values of every date."""
        return False

    def has_rows(self, _table: str, _p: int) -> bool:
        """Suppose that every index has rows of every parameter."""
        return True


class Seen:
    """Conditions that come again with the requests of a caller, compiled once for one store and process."""

    def __init__(self, names: Lookup, blind: BlindIndex, changes: Changes) -> None:
        self._names = names
        self._blind = blind
        self._changes = changes
        # What a condition was compiled from is kept beside it: while it is, no other object has its id.
        self._kept: OrderedDict[_Key, tuple[Visibility, _Watched, Sql]] = OrderedDict()
        self._consents: dict[_Key, tuple[Predicate, _Watched, Conjunct | None]] = {}

    def test(self, connection: sqlite3.Connection, visibility: Visibility, type_: str) -> Sql:
        """Return the condition that the live resource ``h.sk`` of ``type_`` may be seen.

        For the event loop's connection alone.
        """
        key = (id(visibility), type_)
        kept = self._kept.get(key)
        # A parameter that had no number may have got one with a commit of any process.
        if kept is not None and kept[1].is_up_to_date(connection):
            self._kept.move_to_end(key)
            judge_of(connection).begin()
            return kept[2]
        predicate = visibility.restrict(type_, EVERYTHING)
        if not _is_lasting(predicate):
            return Compiler(connection, self._names, self._blind).test(type_, predicate, "h.sk")
        names = _Watched(self._names, self._changes)
        test = _Lasting(connection, names, self._blind).test(type_, predicate, "h.sk")
        self._kept[key] = (visibility, names, test)
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return test

    def held(self, connection: sqlite3.Connection, visibility: Visibility, type_: str) -> Held:
        """Return the conditions of consent on ``type_``, which are long, for searches among it.

        Any thread may call it, before it compiles a search: compiling begins a question.
        """
        if visibility.consents is None:
            return NONE_HELD
        joined = visibility.of(type_)
        items = joined.items if isinstance(joined, All) else (joined,)
        found = {(type_, id(each)): self._consent(connection, type_, each) for each in items}
        return {key: condition for key, condition in found.items() if condition is not None}

    def _consent(self, connection: sqlite3.Connection, type_: str, item: Predicate) -> Conjunct | None:
        if not isinstance(item, Not):
            return None
        found = self._consents.get((id(item), type_))
        if found is not None and found[1].is_up_to_date(connection):
            return found[2]
        names, condition = _Watched(self._names, self._changes), None
        if _is_lasting(item):
            [conjunct] = _Lasting(connection, names, self._blind).conjuncts(type_, item)
            condition = kept(conjunct)
        if len(self._consents) >= _KEPT:
            self._consents.clear()
        self._consents[id(item), type_] = item, names, condition
        return condition


class _Watched:
    """Looks numbers up and notes which were missing."""

    def __init__(self, names: Lookup, changes: Changes) -> None:
        self._names = names
        self._changes = changes
        self._at = changes.number
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
        """Tell whether what was missing still is; costs nothing while nothing was committed."""
        number = self._changes.number
        if number == self._at and not number & 1:
            return True
        is_missing = all(
            self._names.type_number(connection, type_) is None
            if param is None
            else self._names.param_number(connection, type_, param) is None
            for type_, param in self._missing
        )
        if is_missing:
            self._at = number
        return is_missing


_LASTING: Final = (ReferenceIs, TokenIs, TokenIn, UriIs, DateIs, NumberIs, Present)


def _is_lasting(predicate: Predicate) -> bool:
    """Tell whether the condition of a predicate depends on numbers and digests alone, which never change.

    That of policy classes looks up who is in them as it runs. Other tests are compiled by what the index
    holds at the moment, or open resources.
    """
    match predicate:
        case Everything() | Nothing() | IdIn() | About():
            return True
        case Where(_, test):
            return isinstance(test, _LASTING)
        case All(items) | AnyOf(items):
            return all(_is_lasting(item) for item in items)
        case Not(inner) | Chain(_, _, inner) | Has(_, _, inner):
            return _is_lasting(inner)
        case _:
            return False
