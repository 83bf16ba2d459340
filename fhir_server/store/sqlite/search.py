"""One page of a search: which index gives the order, where the page begins, how many there are in all.

Ties go by ``sk``, in the direction of the first sort key, so that an index read backwards is in order.
https://hl7.org/fhir/R4/search.html#sort
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isqrt
from typing import Any, Final

from fhir_server.search.predicate import Predicate
from fhir_server.search.query import Query
from fhir_server.store.sqlite.compile import Compiler
from fhir_server.store.sqlite.drive import PROBE, Driven
from fhir_server.store.sqlite.fragment import TRUE, Conjunct, Sql
from fhir_server.store.sqlite.plan import describe
from fhir_server.store.sqlite.records import json_array
from fhir_server.store.sqlite.schema import NO_DATE
from fhir_server.store.sqlite.sorting import by_keys, has_rows
from fhir_server.store.sqlite.walks import Match, Walk, by_date_index

_SORTED_AT_LEAST: Final = 200
_SORTED_AT_MOST: Final = 20_000
"""So many candidates at most are sorted by looking up their keys; for more an index is walked in order."""

_PATIENCE: Final = 4
"""A walk goes on for so many times the steps that should be enough; then the candidates are sorted."""

_PICKED: Final = 4_000
"""Among so many candidates at most the first are picked at once; of more, it is tried if they are dense."""

_STROLL: Final = 2_000
"""Steps of a try."""

_COUNTED: Final = 20_000
_CHUNK: Final = 8


@dataclass(slots=True)
class Searcher:
    """Answers queries through one compiler. ``clinical``: the parameter whose value is ``ref.x``, by type.

    ``plan``: how the last page was found, when its query asked to explain.
    """

    compiler: Compiler
    clinical: Mapping[str, str]
    plan: dict[str, Any] = field(default_factory=dict)

    def page(self, query: Query, where: Predicate) -> list[Match]:
        """Return up to ``query.count`` + 1 matches of ``where``: the one too many says that more follow.

        With ``query.before`` they are those that come last before it, and the one too many is the first.
        """
        self.compiler.counts = query.explain
        driven = self.compiler.drive(query.type, where)
        walk = Walk.of(query)
        if query.explain:
            self.plan = describe(self.compiler, query.type, driven)
        found = self._page(query, where, driven, walk)
        return found[::-1] if walk.back else found

    def _page(self, query: Query, where: Predicate, driven: Driven, walk: Walk) -> list[Match]:
        if not query.sort:
            return self._by_creation(query, where, driven, walk)
        if len(query.sort) == 1:
            param = query.sort[0].param
            p = self.compiler.names.param_number(self.compiler.connection, query.type, param)
            if driven.driver and driven.driver.target and self._is_clinical_date(query.type, param, p):
                return self._by_clinical_date(driven, driven.driver.target, walk)
            if p is not None and has_rows(self.compiler, "date", p):
                return self._by_date(query, driven, p, walk)
        return self._by_keys(query, driven, walk)

    def _by_date(self, query: Query, driven: Driven, p: int, walk: Walk) -> list[Match]:
        """Walk the index of date ``p``, unless the candidates are so few that sorting them is quicker.

        A walk meets one of n candidates every N/n steps if they are spread evenly, and sorting a candidate
        costs as much as a step.
        """
        driver, steps = driven.driver, None
        if driver is not None and not (driver.span and driver.span.p == p):
            balance = max(isqrt(2 * query.count * self.compiler.extent(query.type)), _SORTED_AT_LEAST)
            if self._few(driven, min(balance, _SORTED_AT_MOST)):
                return self._by_keys(query, driven, walk)
            steps = _PATIENCE * balance
        is_clinical = self.clinical.get(query.type) == query.sort[0].param
        bounded = replace(walk, steps=steps, is_clinical=is_clinical)
        self._note("the index of the date")
        found = by_date_index(self.compiler, query.type, driven.walked, p, bounded)
        # The candidates may lie far away in the order of the date.
        return self._by_keys(query, driven, walk) if found is None else found

    def _by_keys(self, query: Query, driven: Driven, walk: Walk) -> list[Match]:
        self._note("keys of every candidate")
        return by_keys(self.compiler, query, self._candidates(query.type, driven), driven.tests, walk)

    def explained(self) -> dict[str, Any]:
        """Return the plan of the last page, with what it came to: candidates tested, records opened."""
        judge = self.compiler.judge
        return {**self.plan, "candidates": judge.candidates, "opened": judge.opened}

    def total(self, type_: str, where: Predicate) -> int:
        """Count all matches of ``where``.

        What their patients say of them is asked last and in their order: what neighbours need lies together.
        """
        driven = self.compiler.drive(type_, where)
        base = self._candidates(type_, driven)
        plain = [test for test in driven.tests if test.beside is None]
        last = [test for test in driven.tests if test.beside is not None]
        passing = self.compiler.passing(plain, "b.sk")
        rows = Sql(f"SELECT b.sk FROM ({base.text}) b WHERE {passing.text}", base.args + passing.args)
        beside, permitted = self.compiler.beside(last, "c.sk"), self.compiler.passing(last, "c.sk")
        if not last:
            statement = f"SELECT count(DISTINCT sk) FROM ({rows.text})"
        else:
            once = "" if driven.driver is None else " GROUP BY b.sk"
            statement = f"SELECT count(*) FROM ({rows.text}{once}) c{beside.text} WHERE {permitted.text}"
        args = (*rows.args, *beside.args, *permitted.args)
        found: int = self.compiler.connection.execute(statement, args).fetchone()[0]
        return found

    def first(self, type_: str, where: Predicate, count: int) -> list[int]:
        """Return the stable numbers of some ``count`` matches."""
        rows = self.compiler.rows(type_, where)
        statement = f"SELECT DISTINCT sk FROM ({rows.text}) LIMIT ?"
        return [row[0] for row in self.compiler.connection.execute(statement, (*rows.args, count))]

    def _note(self, order: str) -> None:
        if self.plan:
            self.plan["order"] = order

    def _is_clinical_date(self, type_: str, param: str, p: int | None) -> bool:
        """Tell whether ``ref.x`` is the sort key: the one date of its parameter, in every resource."""
        if p is None or self.clinical.get(type_) != param:
            return False
        return self.compiler.has_one_date(p)

    def _few(self, driven: Driven, limit: int) -> bool:
        driver = driven.driver
        return driver is not None and self.compiler.count_up_to(driver, limit) < limit

    def _candidates(self, type_: str, driven: Driven) -> Sql:
        if driven.driver is None or driven.driver.rows is None:
            return self.compiler.listing(type_)
        return driven.driver.rows()

    def _by_creation(self, query: Query, where: Predicate, driven: Driven, walk: Walk) -> list[Match]:
        self._note("creation")
        if driven.comes_in_order and driven.tests and (driven.size is None or driven.size >= PROBE):
            # Before more is counted it is tried whether the driver's first rows fill the page.
            found = self._along(self._candidates(query.type, driven), driven.tests, walk, _STROLL)
            if found is not None:
                return [(sk, ()) for sk in found]
            driven = self.compiler.drive(query.type, where, _COUNTED)
        base = self._candidates(query.type, driven)
        if driven.comes_in_order:
            return [(sk, ()) for sk in self._in_order(base, driven.tests, walk)]
        weight = driven.driver.weight if driven.driver else 1
        if not self._few(driven, _PICKED if weight == 1 else PROBE):
            listing = self.compiler.listing(query.type)
            steps = _STROLL // weight
            found = self._along(listing, driven.walked, walk, steps, glance=steps // 4 if weight > 1 else 0)
            if found is not None:
                self._note("creation, walking the type")
                return [(sk, ()) for sk in found]
            if driven.tests:
                driven = self.compiler.drive(query.type, where, _COUNTED)
                base = self._candidates(query.type, driven)
        return [(sk, ()) for sk in self._in_chunks(base, driven.tests, walk, repeats=weight > 1)]

    def _along(
        self, base: Sql, tests: Sequence[Conjunct], walk: Walk, steps: int, *, glance: int = 0
    ) -> list[int] | None:
        """Test the first rows of ``base``, which come by ``sk``; None when more of them must be tested.

        ``glance``: after so many steps it is given up if all of them would not find half of the page.
        """
        found: list[int] = []
        first = walk.first_tie
        if glance:
            found = self._look(self._start(base, walk, first, glance), tests, walk.wanted)
            if len(found) < walk.wanted and 2 * len(found) * steps < walk.wanted * glance:
                return None
            first = found[-1] if found else first
        start, wanted = self._start(base, walk, first, steps), walk.wanted - len(found)
        rows = self._look(start, tests, wanted) if wanted else []
        found = list(dict.fromkeys(found + rows))
        if len(found) == walk.wanted:
            return found
        # With fewer rows than steps all were tested: what did not fill the page is all there is.
        is_whole = len(rows) < wanted and self.compiler.size(start, steps) < steps
        return found if is_whole else None

    def _start(self, base: Sql, walk: Walk, first: int, steps: int) -> Sql:
        """Return the SELECT of the ``steps`` rows of ``base`` that come next after ``first``, by ``sk``."""
        word, sign = walk.words(down=False)
        text = f"SELECT sk FROM ({base.text}) WHERE sk{sign}? ORDER BY sk {word} LIMIT ?"
        return Sql(text, (*base.args, first, steps))

    def _look(self, start: Sql, tests: Sequence[Conjunct], wanted: int) -> list[int]:
        """Return the first rows of ``start`` that pass."""
        beside, passing = self.compiler.beside(tests, "c.sk"), self.compiler.passing(tests, "c.sk")
        statement = f"SELECT c.sk FROM ({start.text}) c{beside.text} WHERE {passing.text} LIMIT ?"
        args = (*start.args, *beside.args, *passing.args, wanted)
        return [row[0] for row in self.compiler.connection.execute(statement, args)]

    def _in_order(self, base: Sql, tests: Sequence[Conjunct], walk: Walk) -> list[int]:
        """Return what passes of rows that come by ``sk``, each once.

        Repetitions are told apart here: DISTINCT would cost the engine a table.
        """
        beside, passing = self.compiler.beside(tests, "c.sk"), self.compiler.passing(tests, "c.sk")
        word, sign = walk.words(down=False)
        statement = f"SELECT c.sk FROM ({base.text}) c{beside.text} WHERE c.sk{sign}? AND {passing.text}"
        statement += f" ORDER BY c.sk {word} LIMIT ?"
        found: dict[int, None] = {}
        last = walk.first_tie
        while True:
            wanted = walk.wanted - len(found)
            args = (*base.args, *beside.args, last, *passing.args, wanted)
            rows = self.compiler.connection.execute(statement, args).fetchall()
            found.update((sk, None) for (sk,) in rows)
            if len(rows) < wanted or len(found) >= walk.wanted:
                return list(found)
            last = rows[-1][0]

    def _in_chunks(self, base: Sql, tests: Sequence[Conjunct], walk: Walk, *, repeats: bool) -> list[int]:
        """Return what passes of rows in any order: the first few are picked and tested, then more of them.

        Picking the least costs the engine little, putting all in order much, testing all most. ``repeats``: a
        row is likely to come many times, as who is referred to by many; the engine tells them apart then,
        which costs less than picking again.
        """
        beside, passing = self.compiler.beside(tests, "c.sk"), self.compiler.passing(tests, "c.sk")
        word, sign = walk.words(down=False)
        once = "DISTINCT " if repeats else ""
        picking = f"SELECT {once}sk FROM ({base.text}) WHERE sk{sign}? ORDER BY sk {word} LIMIT ?"
        picked = "(SELECT value AS sk FROM json_each(?))"
        testing = f"SELECT c.sk FROM {picked} c{beside.text} WHERE {passing.text} LIMIT ?"
        found: list[int] = []
        last, size = walk.first_tie, walk.wanted * (_CHUNK if tests else 1)
        while True:
            rows = self.compiler.connection.execute(picking, (*base.args, last, size)).fetchall()
            chosen = list(dict.fromkeys(sk for (sk,) in rows))
            if tests:
                args = (json_array(chosen), *beside.args, *passing.args, walk.wanted - len(found))
                chosen = [row[0] for row in self.compiler.connection.execute(testing, args)]
            found += chosen
            if len(rows) < size or len(found) >= walk.wanted:
                return found[: walk.wanted]
            last, size = rows[-1][0], size * _CHUNK

    def _by_clinical_date(self, driven: Driven, target: tuple[int, int], walk: Walk) -> list[Match]:
        """One range scan: a reference's rows are ordered by the clinical date of the resource that refers."""
        self._note("the clinical date beside the reference")
        word, sign = walk.words(down=walk.sorts[0].descending)
        beside = self.compiler.beside(driven.tests, "r.sk")
        passing = self.compiler.passing(driven.tests, "r.sk")
        start = TRUE
        if walk.start:
            key = walk.start.keys[0]
            start = Sql(f"(r.x, r.sk) {sign} (?, ?)", (NO_DATE if key is None else key, walk.start.tie))
        statement = (
            f"SELECT r.sk, r.x FROM ref r{beside.text}"
            f" WHERE r.p=? AND r.k=? AND {start.text} AND {passing.text}"
            f" ORDER BY r.x {word}, r.sk {word} LIMIT ?"
        )
        args = (*beside.args, *target, *start.args, *passing.args, walk.wanted)
        rows = self.compiler.connection.execute(statement, args)
        return [(sk, (None if x == NO_DATE else x,)) for sk, x in rows]
