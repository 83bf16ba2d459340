"""Chains compiled: what a reference leads to, and what refers to a resource.

https://hl7.org/fhir/R4/search.html#chaining and https://hl7.org/fhir/R4/search.html#has
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Final, Protocol

from fhir_server.crypto.blind import PREFIX_CHARACTERS
from fhir_server.search.predicate import (
    All,
    AnyOf,
    Chain,
    Contains,
    Has,
    Near,
    Predicate,
    StringContains,
    StringEnds,
    StringStarts,
    Where,
)
from fhir_server.store.sqlite.fragment import Conjunct, Cost, Exists, Sql, where
from fhir_server.store.sqlite.kit import NOWHERE
from fhir_server.store.sqlite.names import Lookup
from fhir_server.store.sqlite.schema import LIVE, type_range

_WEIGHT: Final = 10
"""A row of a chain takes three or four look-ups all over the file."""


class Compiles(Protocol):
    """What compiles the other end of a chain."""

    connection: sqlite3.Connection
    names: Lookup
    aliases: Iterator[str]

    def rows(self, type_: str, predicate: Predicate) -> Sql:
        """Return a SELECT of ``sk`` of what satisfies a predicate."""

    def test(self, type_: str, predicate: Predicate, sk: str) -> Sql:
        """Return the condition that a resource satisfies a predicate."""


def chain(compiler: Compiles, type_: str, link: Chain) -> Conjunct:
    """Compile: a reference leads to a current resource that satisfies what is asked of it."""
    to, aliases = link.type, compiler.aliases
    p = compiler.names.param_number(compiler.connection, type_, link.param)
    number = compiler.names.type_number(compiler.connection, to)
    if p is None or number is None:
        return NOWHERE

    def rows() -> Sql:
        i, h, r = next(aliases), next(aliases), next(aliases)
        reached = compiler.rows(to, link.inner)
        return Sql(
            f"SELECT {r}.sk FROM ({reached.text}) {i} CROSS JOIN head {h} ON {h}.sk={i}.sk"
            f" CROSS JOIN ref {r} ON {r}.p=? AND {r}.k={h}.h",
            (*reached.args, p),
        )

    def test(sk: str) -> Sql:
        o, i, h = next(aliases), next(aliases), next(aliases)
        reached = compiler.test(to, link.inner, f"{i}.sk")
        here = Sql(f"{o}.sk={sk} AND {o}.p=? AND {i}.sk>=? AND {i}.sk<?", (p, *type_range(number)))
        # What nests deepest stands first, where the parser has the least open before it.
        both = where((reached, here))
        return Exists(
            f"EXISTS (SELECT 1 FROM own {o} CROSS JOIN ids {i} ON {i}.h={o}.a CROSS JOIN head {h}"
            f" ON {h}.sk={i}.sk AND {h}.state={LIVE} WHERE {both.text})",
            both.args,
        )

    return Conjunct(
        test,
        rows,
        label=f"{link.param}:{to}",
        cost=Cost.SET,
        is_dear=is_dear(link.inner),
        inner=(to, link.inner),
        weight=_WEIGHT,
    )


def has(compiler: Compiles, type_: str, link: Has) -> Conjunct:
    """Compile: a current resource that satisfies what is asked of it refers to this one."""
    by, aliases = link.type, compiler.aliases
    p = compiler.names.param_number(compiler.connection, by, link.param)
    number = compiler.names.type_number(compiler.connection, type_)
    if p is None or number is None:
        return NOWHERE

    def rows() -> Sql:
        n, o, i, h = next(aliases), next(aliases), next(aliases), next(aliases)
        referring = compiler.rows(by, link.inner)
        return Sql(
            f"SELECT {h}.sk FROM ({referring.text}) {n} CROSS JOIN own {o} ON {o}.sk={n}.sk AND {o}.p=?"
            f" CROSS JOIN ids {i} ON {i}.h={o}.a CROSS JOIN head {h} ON {h}.sk={i}.sk AND"
            f" {h}.state={LIVE} WHERE {h}.sk>=? AND {h}.sk<?",
            (*referring.args, p, *type_range(number)),
        )

    def test(sk: str) -> Sql:
        h, r = next(aliases), next(aliases)
        both = where((compiler.test(by, link.inner, f"{r}.sk"), Sql(f"{h}.sk={sk}")))
        return Exists(
            f"EXISTS (SELECT 1 FROM head {h} CROSS JOIN ref {r} ON {r}.p=? AND {r}.k={h}.h"
            f" WHERE {both.text})",
            (p, *both.args),
        )

    return Conjunct(
        test,
        rows,
        label=f"_has:{by}:{link.param}",
        cost=Cost.SET,
        is_dear=is_dear(link.inner),
        inner=(by, link.inner),
        weight=_WEIGHT,
    )


def is_dear(predicate: Predicate) -> bool:
    """Tell whether listing what satisfies the predicate opens resources, whatever drives."""
    match predicate:
        case Where(_, StringContains() | StringEnds() | Near()) | Contains():
            return True
        case Where(_, StringStarts(text)):
            return len(text) > PREFIX_CHARACTERS
        case Chain(_, _, inner) | Has(_, _, inner):
            return is_dear(inner)
        case All(items):
            return all(map(is_dear, items))
        case AnyOf(items):
            return any(map(is_dear, items))
    return False
