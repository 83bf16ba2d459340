"""Predicates compiled to SQL: each to a set of ``sk`` and to a test of one ``sk``; we choose which drives.

SQLite without statistics picks plans a hundred times too slow, so nothing is left to it: joins are CROSS
JOINs in the order meant, the smallest set drives, the others test (decision 0002). Every set holds live
resources of the one type only; NOT is over EXISTS and IN of columns that are never NULL.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import count

from fhir_server.crypto.blind import BlindIndex
from fhir_server.search.predicate import (
    EVERYTHING,
    NOTHING,
    About,
    All,
    AnyOf,
    Chain,
    Contains,
    DateIs,
    Everything,
    Has,
    HasWords,
    IdIn,
    Not,
    Nothing,
    NumberIs,
    Predicate,
    Together,
    TokenIn,
    TokenIs,
    Where,
)
from fhir_server.search.values import CONTAINED
from fhir_server.store.sqlite.about import Branch, about, joined, refuse_unprepared
from fhir_server.store.sqlite.about import branches as branches_of
from fhir_server.store.sqlite.chains import chain, has, is_dear
from fhir_server.store.sqlite.contained import inside
from fhir_server.store.sqlite.drive import PROBE, Driven, choose, count_up_to
from fhir_server.store.sqlite.fragment import (
    Conjunct,
    Cost,
    Sql,
    all_true,
    any_true,
    negated,
    union_all,
    where,
)
from fhir_server.store.sqlite.functions import judge_of
from fhir_server.store.sqlite.held import NONE_HELD, Held
from fhir_server.store.sqlite.kit import EMPTY, NOWHERE, Field, Kit
from fhir_server.store.sqlite.leaves import leaf, not_compiled, spans, word
from fhir_server.store.sqlite.names import Lookup
from fhir_server.store.sqlite.records import json_array
from fhir_server.store.sqlite.schema import LIVE, type_range
from fhir_server.store.sqlite.together import together


class Compiler:
    """Compiles for one connection at one moment: it looks up numbers and counts postings.

    ``held``: conditions that are compiled already, by type and by the id of the predicate.
    ``counts``: candidates that are tested are counted, for a plan.
    """

    prefix = "a"
    """How the SQL names begin that this compiler makes."""

    def __init__(
        self, connection: sqlite3.Connection, names: Lookup, blind: BlindIndex, held: Held = NONE_HELD
    ) -> None:
        self.connection = connection
        self.names = names
        self.blind = blind
        self._held = held
        self.aliases: Iterator[str] = (f"{self.prefix}{i}" for i in count())
        self.counts = False
        self.judge = judge_of(connection)
        self.judge.begin()
        self._kit = Kit(blind, self.judge, self.aliases, self.has_one_date, self.has_rows, self.size)

    def rows(self, type_: str, predicate: Predicate) -> Sql:
        """Return a SELECT of ``sk``, perhaps with repetitions, of what satisfies ``predicate``."""
        driven = self.drive(type_, predicate)
        alias = next(self.aliases)
        base = driven.driver.rows() if driven.driver and driven.driver.rows else self.listing(type_)
        if not driven.tests:
            return base
        beside = self.beside(driven.tests, f"{alias}.sk")
        tests = where([conjunct.quickest(f"{alias}.sk") for conjunct in driven.tests])
        return Sql(
            f"SELECT {alias}.sk FROM ({base.text}) {alias}{beside.text} WHERE {tests.text}",
            (*base.args, *beside.args, *tests.args),
        )

    def beside(self, tests: Sequence[Conjunct], sk: str) -> Sql:
        """Return the joins that ``passing`` needs after the candidates; ``sk`` ends with ``.sk``."""
        return joined(sk) if any(test.beside for test in tests) else Sql("")

    def passing(self, tests: Sequence[Conjunct], sk: str) -> Sql:
        """Return the condition that the candidate ``sk`` passes the tests, counting it when asked to."""
        counted = [Sql(f"seen({sk})")] if self.counts else []
        return all_true([*counted, *(conjunct.quickest(sk) for conjunct in tests)])

    def test(self, type_: str, predicate: Predicate, sk: str) -> Sql:
        """Return the condition that the live resource ``sk`` of ``type_`` satisfies ``predicate``."""
        return all_true([conjunct.test(sk) for conjunct in self.conjuncts(type_, predicate)])

    def drive(self, type_: str, predicate: Predicate, limit: int = PROBE) -> Driven:
        """Choose what drives among the conjuncts of ``predicate``, counting no further than ``limit``."""
        return choose(self.conjuncts(type_, predicate), self.size, limit)

    def listing(self, type_: str) -> Sql:
        """Return the SELECT of all live resources of a type, by ``sk``."""
        number = self.names.type_number(self.connection, type_)
        if number is None:
            return EMPTY
        return Sql("SELECT sk FROM head WHERE sk>=? AND sk<? AND state=0", type_range(number))

    def undated(self, type_: str) -> Sql:
        """Return the SELECT of the live resources of a type that lack its clinical date, by ``sk``."""
        number = self.names.type_number(self.connection, type_)
        if number is None:
            return EMPTY
        return Sql("SELECT sk FROM undated WHERE sk>=? AND sk<?", type_range(number))

    def count_up_to(self, conjunct: Conjunct, limit: int) -> int:
        """Count the rows of a conjunct that can drive, up to ``limit``."""
        return count_up_to(conjunct, limit, self.size)

    def size(self, rows: Sql, limit: int) -> int:
        """Count the rows of a SELECT, up to ``limit``."""
        statement = f"SELECT count(*) FROM (SELECT 1 FROM ({rows.text}) LIMIT ?)"
        found: int = self.connection.execute(statement, (*rows.args, limit)).fetchone()[0]
        return found

    def conjuncts(self, type_: str, predicate: Predicate) -> list[Conjunct]:
        """Split a predicate into its conjuncts; the date or number tests of one parameter stay together."""
        items = predicate.items if isinstance(predicate, All) else (predicate,)
        spanned: dict[str, list[DateIs | NumberIs]] = {}
        result: list[Conjunct] = []
        for item in items:
            match item:
                case Everything():
                    continue
                case Where(param, (DateIs() | NumberIs()) as test):
                    spanned.setdefault(param, []).append(test)
                case Contains():
                    result.extend(self._contains(type_, item))
                case Where(param, HasWords(words)):
                    result.extend(self._word(type_, param, each) for each in sorted(words))
                case _:
                    result.append(self._conjunct(type_, item))
        # A period is the condition that most often leaves few: it is tested first.
        return [*(self._spans(type_, param, tests) for param, tests in spanned.items()), *result]

    def has_one_date(self, p: int) -> bool:
        """Tell whether no resource has several values of date number ``p``."""
        return self.connection.execute("SELECT 1 FROM several WHERE p=?", (p,)).fetchone() is None

    def has_rows(self, table: str, p: int) -> bool:
        """Tell whether an index has any row of number ``p``."""
        statement = f"SELECT 1 FROM {table} WHERE p=? LIMIT 1"
        return self.connection.execute(statement, (p,)).fetchone() is not None

    def extent(self, type_: str) -> int:
        """Return about how many resources of a type there are: the deleted count too."""
        number = self.names.type_number(self.connection, type_)
        if number is None:
            return 0
        first, beyond = type_range(number)
        statement = "SELECT max(sk) FROM head WHERE sk>=? AND sk<?"
        last: int | None = self.connection.execute(statement, (first, beyond)).fetchone()[0]
        return 0 if last is None else last - first + 1

    def _conjunct(self, type_: str, item: Predicate) -> Conjunct:  # noqa: C901, PLR0911 - a case for each node
        match item:
            case Nothing():
                return NOWHERE
            case Where():
                return self._where(type_, item)
            case Together():
                return self._together(type_, item)
            case IdIn(ids):
                return self._ids(type_, ids)
            case Chain():
                return chain(self, type_, item)
            case Has():
                return has(self, type_, item)
            case About():
                return self._about(type_, (Branch(item, EVERYTHING),))
            case AnyOf(items):
                return self._any(type_, items)
            case Not(inner):
                held = self._held.get((type_, id(item)))
                return held or _negation(self.conjuncts(type_, inner))
            case Everything() | All():
                return Conjunct(
                    lambda sk: self.test(type_, item, sk), lambda: self.rows(type_, item), label="all"
                )
        raise not_compiled()

    def _field(self, type_: str, param: str) -> Field | None:
        p = self.names.param_number(self.connection, type_, param)
        return None if p is None else Field(type_, param, p)

    def _where(self, type_: str, where: Where) -> Conjunct:
        field = self._field(type_, where.param)
        return NOWHERE if field is None else leaf(where.test, field, self._kit)

    def _together(self, type_: str, test: Together) -> Conjunct:
        field = self._field(type_, test.param)
        return NOWHERE if field is None else together(test, field, self._kit)

    def _contains(self, type_: str, item: Contains) -> list[Conjunct]:
        field = self._field(type_, CONTAINED)
        return [NOWHERE] if field is None else inside(item, field, self._kit)

    def _word(self, type_: str, param: str, text: str) -> Conjunct:
        field = self._field(type_, param)
        return NOWHERE if field is None else word(text, field, self._kit)

    def _spans(self, type_: str, param: str, tests: Sequence[DateIs | NumberIs]) -> Conjunct:
        field = self._field(type_, param)
        return NOWHERE if field is None else spans(field, tests, self._kit)

    def _about(self, type_: str, spoken: Sequence[Branch]) -> Conjunct:
        refuse_unprepared(self.connection)
        return about(spoken, lambda rest: self.conjuncts(type_, rest), self.aliases)

    def _ids(self, type_: str, ids: Sequence[str]) -> Conjunct:
        digests = json_array(self.blind.target(f"{type_}/{id_}") for id_ in dict.fromkeys(ids))
        found = "FROM json_each(?) j CROSS JOIN ids i ON i.h=j.value"
        return Conjunct(
            lambda sk: Sql(f"+{sk} IN (SELECT i.sk {found})", (digests,)),
            lambda: Sql(f"SELECT h.sk {found} CROSS JOIN head h ON h.sk=i.sk AND h.state={LIVE}", (digests,)),
            size=min(len(ids), PROBE),
            label="_id",
        )

    def _any(self, type_: str, items: Sequence[Predicate]) -> Conjunct:
        spoken, others = branches_of(items)
        joined = _joined(others)
        branches = [(item, self.conjuncts(type_, item)) for item in joined]
        if spoken:
            branches.append((NOTHING, [self._about(type_, spoken)]))
        if len(branches) == 1 and len(branches[0][1]) == 1:
            return branches[0][1][0]
        # One branch that can only list the type makes the union as long as the type.
        able = all(any(c.rows is not None for c in conjuncts) for _, conjuncts in branches)
        stand_beside = any(c.beside for _, conjuncts in branches for c in conjuncts)
        return Conjunct(
            lambda sk: any_true([all_true([c.test(sk) for c in conjuncts]) for _, conjuncts in branches]),
            (lambda: union_all([self.rows(type_, item) for item in joined])) if able else None,
            label="any",
            cost=max((c.cost for _, conjuncts in branches for c in conjuncts), default=Cost.POINT),
            is_dear=any(map(is_dear, joined)),
            weight=max((c.weight for _, conjuncts in branches for c in conjuncts), default=1),
            beside=(
                lambda sk: any_true(
                    [all_true([c.quickest(sk) for c in conjuncts]) for _, conjuncts in branches]
                )
            )
            if stand_beside
            else None,
        )


def _joined(items: Sequence[Predicate]) -> list[Predicate]:
    """Put the codes that one parameter may have into one membership test."""
    codes: dict[str, set[tuple[str | None, str]]] = {}
    rest: list[Predicate] = []
    for item in items:
        match item:
            case Where(param, TokenIs(system, str() as code)):
                codes.setdefault(param, set()).add((system, code))
            case Where(param, TokenIn(members)):
                codes.setdefault(param, set()).update(members)
            case _:
                rest.append(item)
    return [*(Where(param, TokenIn(frozenset(some))) for param, some in codes.items()), *rest]


def _negation(conjuncts: Sequence[Conjunct]) -> Conjunct:
    """Return the condition that not all ``conjuncts`` hold."""
    return Conjunct(
        lambda sk: negated(all_true([each.test(sk) for each in conjuncts])),
        label="not",
        cost=Cost.SET,
        beside=(lambda sk: negated(all_true([each.quickest(sk) for each in conjuncts])))
        if any(each.beside for each in conjuncts)
        else None,
    )
