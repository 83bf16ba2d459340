"""One page of a search: which index gives the order, where the page begins, how many there are in all.

Ties go by ``sk``, in the direction of the first sort key, so that an index read backwards is in order.
https://hl7.org/fhir/R4/search.html#sort
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fhir_server.search.predicate import Predicate
from fhir_server.search.query import Position, Query, Sort, SortKey
from fhir_server.store.sqlite.compile import Compiler, Driven
from fhir_server.store.sqlite.fragment import TRUE, Conjunct, Sql, all_true, any_true
from fhir_server.store.sqlite.schema import NO_DATE

Match = tuple[int, tuple[SortKey, ...]]
"""A resource's stable number and its sort keys."""

_SORTED_AT_ONCE: Final = 4_000
"""Up to this many candidates are sorted by looking up their keys; more are read from the index in order."""

_ORDERED_AT_ONCE: Final = 20_000
"""Up to this many candidates are put in order of creation; more are found by walking the type."""

_NEVER_MISSING: Final = "_lastUpdated"


@dataclass(frozen=True, slots=True)
class Searcher:
    """Answers queries through one compiler. ``clinical``: the parameter whose value is ``ref.x``, by type."""

    compiler: Compiler
    clinical: Mapping[str, str]

    def page(self, query: Query, where: Predicate) -> list[Match]:
        """Return up to ``query.count`` + 1 matches of ``where``: the one too many says that more follow."""
        driven = self.compiler.drive(query.type, where)
        if not query.sort:
            return self._by_creation(query, driven)
        if len(query.sort) == 1:
            param = query.sort[0].param
            p = self.compiler.names.param_number(self.compiler.connection, query.type, param)
            if driven.driver and driven.driver.target and self._is_clinical_date(query.type, param, p):
                return self._by_clinical_date(query, driven, driven.driver.target)
            if p is not None and self._has_rows("date", p) and not self._few(driven, _SORTED_AT_ONCE):
                return self._by_date_index(query, driven, p)
        return self._by_keys(query, driven)

    def total(self, type_: str, where: Predicate) -> int:
        """Count all matches of ``where``."""
        rows = self.compiler.rows(type_, where)
        statement = f"SELECT count(*) FROM (SELECT DISTINCT sk FROM ({rows.text}))"
        found: int = self.compiler.connection.execute(statement, rows.args).fetchone()[0]
        return found

    def first(self, type_: str, where: Predicate, count: int) -> list[int]:
        """Return the stable numbers of some ``count`` matches."""
        rows = self.compiler.rows(type_, where)
        statement = f"SELECT DISTINCT sk FROM ({rows.text}) LIMIT ?"
        return [row[0] for row in self.compiler.connection.execute(statement, (*rows.args, count))]

    def _is_clinical_date(self, type_: str, param: str, p: int | None) -> bool:
        """Tell whether ``ref.x`` is the sort key: the one date of its parameter, in every resource."""
        if p is None or self.clinical.get(type_) != param:
            return False
        found = self.compiler.connection.execute("SELECT 1 FROM several WHERE p=?", (p,))
        return found.fetchone() is None

    def _has_rows(self, table: str, p: int) -> bool:
        statement = f"SELECT 1 FROM {table} WHERE p IN (?, ?) LIMIT 1"
        return self.compiler.connection.execute(statement, (p, p | 1)).fetchone() is not None

    def _few(self, driven: Driven, limit: int) -> bool:
        driver = driven.driver
        return driver is not None and self.compiler.count_up_to(driver, limit) < limit

    def _candidates(self, type_: str, driven: Driven) -> Sql:
        if driven.driver is None or driven.driver.rows is None:
            return self.compiler.listing(type_)
        return driven.driver.rows()

    def _walked(self, driven: Driven) -> tuple[Conjunct, ...]:
        """Return all conjuncts as tests, for walking the type instead of the driver."""
        return driven.tests if driven.driver is None else (driven.driver, *driven.tests)

    def _by_creation(self, query: Query, driven: Driven) -> list[Match]:
        tests = driven.tests
        base = self._candidates(query.type, driven)
        if driven.driver and not driven.driver.in_order and not self._few(driven, _ORDERED_AT_ONCE):
            base, tests = self.compiler.listing(query.type), self._walked(driven)
        passing = all_true([conjunct.test("c.sk") for conjunct in tests])
        after = Sql("c.sk>?", (query.after.tie,)) if query.after else TRUE
        statement = (
            f"SELECT DISTINCT c.sk FROM ({base.text}) c WHERE {after.text} AND {passing.text}"
            " ORDER BY c.sk LIMIT ?"
        )
        args = (*base.args, *after.args, *passing.args, query.count + 1)
        return [(row[0], ()) for row in self.compiler.connection.execute(statement, args)]

    def _by_clinical_date(self, query: Query, driven: Driven, target: tuple[int, int]) -> list[Match]:
        """One range scan: a reference's rows are ordered by the clinical date of the resource that refers."""
        down = query.sort[0].descending
        word, sign = ("DESC", "<") if down else ("ASC", ">")
        passing = driven.passing("r.sk")
        after = TRUE
        if query.after:
            key = query.after.keys[0]
            after = Sql(f"(r.x, r.sk) {sign} (?, ?)", (NO_DATE if key is None else key, query.after.tie))
        statement = (
            f"SELECT r.sk, r.x FROM ref r WHERE r.p=? AND r.k=? AND {after.text} AND {passing.text}"
            f" ORDER BY r.x {word}, r.sk {word} LIMIT ?"
        )
        args = (*target, *after.args, *passing.args, query.count + 1)
        rows = self.compiler.connection.execute(statement, args)
        return [(sk, (None if x == NO_DATE else x,)) for sk, x in rows]

    def _by_date_index(self, query: Query, driven: Driven, p: int) -> list[Match]:
        """Walk the date index: those with a value in order, and at the low end those without."""
        down = query.sort[0].descending
        tests = self._walked(driven)
        wanted = query.count + 1
        among_missing = query.after is not None and query.after.keys[0] is None
        found: list[Match] = []
        if not down and (query.after is None or among_missing):
            found = self._without_date(query, tests, p, wanted)
        if not (down and among_missing) and len(found) < wanted:
            start = None if among_missing else query.after
            parts = [self._with_date(tests, twin, start, (down, wanted)) for twin in (p, p | 1)]
            ordered = heapq.merge(*parts, key=lambda match: (match[1], match[0]), reverse=down)
            found += [match for match, _ in zip(ordered, range(wanted - len(found)), strict=False)]
        if down and len(found) < wanted:
            found += self._without_date(query, tests, p, wanted - len(found))
        return found

    def _with_date(
        self, tests: Sequence[Conjunct], p: int, start: Position | None, page: tuple[bool, int]
    ) -> list[Match]:
        down, count = page
        word, sign = ("DESC", "<") if down else ("ASC", ">")
        passing = all_true([conjunct.test("d.sk") for conjunct in tests])
        after = TRUE
        if start:
            key = start.keys[0]
            after = Sql(f"d.lo{sign}=? AND (d.lo{sign}? OR d.sk{sign}?)", (key, key, start.tie))
        best = TRUE
        if p & 1:
            # Of several values only the one that decides the order counts, and of equal ones the first.
            best = Sql(
                "NOT EXISTS (SELECT 1 FROM own o WHERE o.sk=d.sk AND o.p=? AND"
                f" ({'o.a>d.lo' if down else 'o.a<d.lo'} OR (o.a=d.lo AND o.b<d.hi)))",
                (p ^ 1,),
            )
        statement = (
            f"SELECT d.sk, d.lo FROM date d WHERE d.p=? AND {after.text} AND {best.text} AND {passing.text}"
            f" ORDER BY d.lo {word}, d.sk {word} LIMIT ?"
        )
        args = (p, *after.args, *best.args, *passing.args, count)
        return [(sk, (lo,)) for sk, lo in self.compiler.connection.execute(statement, args)]

    def _without_date(self, query: Query, tests: Sequence[Conjunct], p: int, count: int) -> list[Match]:
        if query.sort[0].param == _NEVER_MISSING:
            return []
        down = query.sort[0].descending
        word, sign = ("DESC", "<") if down else ("ASC", ">")
        base = self.compiler.listing(query.type)
        passing = all_true([conjunct.test("c.sk") for conjunct in tests])
        after = TRUE
        if query.after is not None and query.after.keys[0] is None:
            after = Sql(f"c.sk{sign}?", (query.after.tie,))
        statement = (
            f"SELECT c.sk FROM ({base.text}) c WHERE {after.text} AND {passing.text} AND"
            f" NOT EXISTS (SELECT 1 FROM own WHERE sk=c.sk AND p=?) ORDER BY c.sk {word} LIMIT ?"
        )
        args = (*base.args, *after.args, *passing.args, p, count)
        return [(row[0], (None,)) for row in self.compiler.connection.execute(statement, args)]

    def _by_keys(self, query: Query, driven: Driven) -> list[Match]:
        """Look up the sort keys of every candidate and sort: any keys, any number of them."""
        base = self._candidates(query.type, driven)
        passing = driven.passing("c.sk")
        keys = [self._key(query.type, sort) for sort in query.sort]
        columns = [f"k{i}" for i in range(len(keys))]
        selected = "".join(f", {key.text} AS {column}" for key, column in zip(keys, columns, strict=True))
        after = _after(query.sort, columns, query.after) if query.after else TRUE
        words = ["DESC" if sort.descending else "ASC" for sort in query.sort]
        order = ", ".join(f"{column} {word}" for column, word in zip(columns, words, strict=True))
        statement = (
            f"SELECT sk, {', '.join(columns)} FROM (SELECT c.sk AS sk{selected}"
            f" FROM (SELECT DISTINCT sk FROM ({base.text})) c CROSS JOIN head h ON h.sk=c.sk"
            f" CROSS JOIN version v ON v.rk=h.rk WHERE {passing.text} LIMIT -1)"
            f" WHERE {after.text} ORDER BY {order}, sk {words[0]} LIMIT ?"
        )
        key_args = tuple(arg for key in keys for arg in key.args)
        args = (*key_args, *base.args, *passing.args, *after.args, query.count + 1)
        return [(row[0], tuple(row[1:])) for row in self.compiler.connection.execute(statement, args)]

    def _key(self, type_: str, sort: Sort) -> Sql:
        p = self.compiler.names.param_number(self.compiler.connection, type_, sort.param)
        if p is not None and any(self._has_rows(table, p) for table in ("date", "number", "quantity")):
            least = "max" if sort.descending else "min"
            return Sql(f"(SELECT {least}(a) FROM own WHERE sk=c.sk AND p=?)", (p,))
        # Digests have no order: the other kinds are sorted by what the opened resource says.
        return Sql("sort_key(?, h.h, v.ver, v.payload, ?, ?)", (type_, sort.param, int(sort.descending)))


def _after(sorts: Sequence[Sort], columns: Sequence[str], position: Position) -> Sql:
    """Return the condition that a row comes after ``position``; NULL is less than every value."""
    equal: list[Sql] = []
    branches: list[Sql] = []
    for sort, column, key in zip(sorts, columns, position.keys, strict=True):
        branches.append(all_true([*equal, _beyond(column, key, down=sort.descending)]))
        equal.append(Sql(f"{column} IS ?", (key,)))
    sign = "<" if sorts[0].descending else ">"
    branches.append(all_true([*equal, Sql(f"sk{sign}?", (position.tie,))]))
    return any_true(branches)


def _beyond(column: str, key: SortKey, *, down: bool) -> Sql:
    if key is None:
        return Sql("0") if down else Sql(f"{column} IS NOT NULL")
    return Sql(f"({column}<? OR {column} IS NULL)", (key,)) if down else Sql(f"{column}>?", (key,))
