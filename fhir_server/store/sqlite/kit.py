"""What conditions are compiled with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fhir_server.crypto.blind import BlindIndex
from fhir_server.search.predicate import Contains, Test, Together, Where
from fhir_server.store.sqlite.fragment import FALSE, Conjunct, Cost, Sql
from fhir_server.store.sqlite.functions import Judge

EMPTY = Sql("SELECT sk FROM head WHERE 0")

NOWHERE = Conjunct(test=lambda _: FALSE, rows=lambda: EMPTY, in_order=True, size=0, label="nowhere")
"""What no resource satisfies."""


@dataclass(frozen=True, slots=True)
class Field:
    """A search parameter of a type and its number."""

    type: str
    code: str
    p: int


@dataclass(frozen=True, slots=True)
class Kit:
    """What conditions are compiled with.

    ``names`` yields fresh SQL names; ``has_one_date`` tells whether no resource has several values of a date,
    ``has_rows`` whether an index table has any row of a parameter number; ``size`` counts the rows of a
    SELECT up to a limit.
    """

    blind: BlindIndex
    judge: Judge
    names: Iterator[str]
    has_one_date: Callable[[int], bool]
    has_rows: Callable[[str, int], bool]
    size: Callable[[Sql, int], int]

    def opened(self, type_: str, test: Where | Together | Contains, sk: str) -> Sql:
        """Return a test of ``sk`` by opening the resource."""
        h, v = next(self.names), next(self.names)
        return Sql(
            f"EXISTS (SELECT 1 FROM head {h} CROSS JOIN version {v} ON {v}.rk={h}.rk"
            f" WHERE {h}.sk={sk} AND holds(?, {h}.h, {v}.ver, {v}.payload, ?))",
            (type_, self.judge.number(test)),
        )


def among(rows: Sql, source: tuple[Field, Test, Kit]) -> Conjunct:
    """Compile a range of an index; as a test it is read once, as a set, or the few candidates are opened."""
    field, test, kit = source
    return Conjunct(
        lambda sk: Sql(f"+{sk} IN ({rows.text})", rows.args),
        lambda: rows,
        label=field.code,
        cost=Cost.SET,
        opened=lambda sk: kit.opened(field.type, Where(field.code, test), sk),
    )
