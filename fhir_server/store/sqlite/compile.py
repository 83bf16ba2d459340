"""Predicates compiled to SQL: each to a set of ``sk`` and to a test of one ``sk``; we choose which drives.

SQLite without statistics picks plans a hundred times too slow, so nothing is left to it: joins are CROSS
JOINs in the order meant, the smallest set drives, the others test (decision 0002). Every set holds live
resources of the one type only; NOT is over EXISTS and IN of columns that are never NULL.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from types import MappingProxyType
from typing import Final

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
from fhir_server.store.sqlite.kit import EMPTY, NOWHERE, Field, Kit
from fhir_server.store.sqlite.leaves import leaf, not_compiled, spans, word
from fhir_server.store.sqlite.names import Lookup
from fhir_server.store.sqlite.records import json_array
from fhir_server.store.sqlite.schema import LIVE, type_range
from fhir_server.store.sqlite.together import together

PROBE: Final = 1000
"""How far a posting list is counted when the shortest is looked for."""

_OPENING: Final = 400
"""Opening a resource costs as much as reading so many rows of an index."""

_DEAR: Final = 300
"""What listing costs that opens resources is taken for so many rows: fewer candidates are tested instead."""

Held = Mapping[tuple[str, int], Conjunct]

_PLACE: Final = "\0"
"""Stands for the SQL name of the candidates in a condition that was compiled for any."""

NONE_HELD: Final[Held] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Driven:
    """A conjunction with its driver; without one, only a walk through the type finds what passes.

    ``size``: rows of the driver, counted up to ``PROBE``; None when it was not counted. ``tests``: the
    others, the cheapest first.
    """

    driver: Conjunct | None
    tests: tuple[Conjunct, ...]
    size: int | None = None

    @property
    def comes_in_order(self) -> bool:
        """True when candidates come by ``sk``."""
        return self.driver is None or self.driver.in_order

    @property
    def walked(self) -> tuple[Conjunct, ...]:
        """All conjuncts as tests, for walking the type instead of the driver."""
        return self.tests if self.driver is None else (self.driver, *self.tests)


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
        """Choose the conjunct with the shortest posting list as driver, and how the others test.

        Lists are counted up to ``limit``; of those that are longer, one that comes in order is chosen.
        """
        conjuncts = self.conjuncts(type_, predicate)
        able = [conjunct for conjunct in conjuncts if conjunct.rows is not None]
        if not able:
            return Driven(None, _cheapest_first(conjuncts))
        driver, size = self._shortest(able, limit)
        others = [conjunct for conjunct in conjuncts if conjunct is not driver]
        if size is not None and size < limit:
            others = [self._for_few(each, size) for each in others]
        return Driven(driver, _cheapest_first(others), size)

    def _shortest(self, able: Sequence[Conjunct], limit: int) -> tuple[Conjunct, int | None]:
        """Count postings, the likely short ones first and none further than the shortest so far."""
        if len(able) == 1:
            return able[0], able[0].size  # it drives anyway: not worth counting
        # Among equals, one that comes in order by sk can be read without sorting.
        hopeful = sorted(
            able, key=lambda each: (each.is_dear, each.size is None, each.weight, not each.in_order)
        )
        driver, shortest = hopeful[0], limit
        for each in hopeful:
            size = self.count_up_to(each, shortest)
            if size < shortest:
                driver, shortest = each, size
        return driver, shortest

    def _for_few(self, conjunct: Conjunct, candidates: int) -> Conjunct:
        """Open the few candidates where the set that they would be looked up in is long."""
        if conjunct.opened is None or conjunct.rows is None:
            return conjunct
        limit = max(PROBE, candidates * _OPENING)
        if self.count_up_to(conjunct, limit) < limit:
            return conjunct
        return replace(conjunct, test=conjunct.opened, cost=Cost.RECORD)

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
        """Count the rows of a conjunct that can drive, up to ``limit``; not so far where each is dear."""
        if conjunct.size is not None:
            return min(conjunct.size, limit)
        if conjunct.is_dear:
            return min(_DEAR, limit)
        assert conjunct.rows is not None
        stop = -(-limit // conjunct.weight)
        found = self.size(conjunct.rows(), stop)
        return limit if found == stop else found

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


def _cheapest_first(conjuncts: Sequence[Conjunct]) -> tuple[Conjunct, ...]:
    return tuple(sorted(conjuncts, key=lambda conjunct: conjunct.cost))


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


def kept(conjunct: Conjunct) -> Conjunct:
    """Return a condition that is compiled now, once and for any candidate."""
    test = conjunct.test(f"{_PLACE}.sk")
    beside = None if conjunct.beside is None else partial(_placed, conjunct.beside(f"{_PLACE}.sk"))
    return Conjunct(partial(_placed, test), label=conjunct.label, cost=conjunct.cost, beside=beside)


def _placed(condition: Sql, sk: str) -> Sql:
    return Sql(condition.text.replace(_PLACE, sk.removesuffix(".sk")), condition.args)
