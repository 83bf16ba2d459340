"""Walking in the order of a search, forth or back: where a page starts, and the index of a date in order.

The key of a resource is its least value in an ascending sort and its greatest in a descending one, whichever
way the pages are walked.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fhir_server.search.query import Position, Query, Sort, SortKey
from fhir_server.store.sqlite.compile import Compiler
from fhir_server.store.sqlite.fragment import FALSE, TRUE, Conjunct, Sql, all_true, any_true

Match = tuple[int, tuple[SortKey, ...]]
"""A resource's stable number and its sort keys."""

_BEYOND_ALL: Final = 2**63 - 1
_NEVER_MISSING: Final = "_lastUpdated"
_WITHOUT: Final = "NOT EXISTS (SELECT 1 FROM own WHERE own.sk=l.sk AND p=?)"


@dataclass(frozen=True, slots=True)
class Walk:
    """How a page is walked: back from ``start``, or forth; None = from the end that the walk begins at.

    ``steps``: rows of an index that are looked at at most; None = all. ``is_clinical``: the sort is by the
    type's clinical date.
    """

    sorts: tuple[Sort, ...]
    start: Position | None
    wanted: int
    back: bool
    steps: int | None = None
    is_clinical: bool = False

    @classmethod
    def of(cls, query: Query) -> Walk:
        """Return the walk of a query: one match more than its page holds."""
        back = query.before is not None
        return cls(query.sort, query.before or query.after, query.count + 1, back)

    @property
    def first_tie(self) -> int:
        """The tie that all that is to come lies beyond, in an order of creation."""
        if self.start:
            return self.start.tie
        return _BEYOND_ALL if self.back else -1

    def words(self, *, down: bool) -> tuple[str, str]:
        """Return ``ORDER BY``'s word and the sign of what comes later, for a key that descends or not."""
        return ("DESC", "<") if down is not self.back else ("ASC", ">")


def sorted_by(walk: Walk, columns: Sequence[str]) -> tuple[Sql, str]:
    """Return the condition that a row of ``columns`` and ``sk`` is still to come, and the order of rows."""
    words = [walk.words(down=sort.descending) for sort in walk.sorts]
    order = [f"{column} {word}" for column, (word, _) in zip(columns, words, strict=True)]
    tie, sign = words[0]
    start = _after(columns, words, walk.start, sign) if walk.start else TRUE
    return start, ", ".join([*order, f"sk {tie}"])


def _after(columns: Sequence[str], words: Sequence[tuple[str, str]], start: Position, sign: str) -> Sql:
    equal: list[Sql] = []
    branches: list[Sql] = []
    for column, (word, _), key in zip(columns, words, start.keys, strict=True):
        branches.append(all_true([*equal, _beyond(column, key, down=word == "DESC")]))
        equal.append(Sql(f"{column} IS ?", (key,)))
    branches.append(all_true([*equal, Sql(f"sk{sign}?", (start.tie,))]))
    return any_true(branches)


def _beyond(column: str, key: SortKey, *, down: bool) -> Sql:
    """Return the condition that a key comes later; NULL is less than every value."""
    if key is None:
        return FALSE if down else Sql(f"{column} IS NOT NULL")
    return Sql(f"({column}<? OR {column} IS NULL)", (key,)) if down else Sql(f"{column}>?", (key,))


def by_date_index(
    compiler: Compiler, type_: str, tests: Sequence[Conjunct], p: int, walk: Walk
) -> list[Match] | None:
    """Walk the index of date ``p``: those with a value in order, and at the low end those without.

    None when ``walk.steps`` were too few to tell.
    """
    down = walk.sorts[0].descending is not walk.back
    dates = _DateIndex(compiler, type_, tests, p, walk)
    among_missing = walk.start is not None and walk.start.keys[0] is None
    try:
        if down:
            found = [] if among_missing else dates.dated(walk.start, walk.wanted)
            return found + dates.missing(walk.start if among_missing else None, walk.wanted - len(found))
        if walk.start is not None and not among_missing:
            return dates.dated(walk.start, walk.wanted)
        found = dates.missing(walk.start, walk.wanted)
        return found + dates.dated(None, walk.wanted - len(found))
    except _TooFar:
        return None


class _TooFar(Exception):
    """The walk met too few matches in its steps."""


@dataclass(frozen=True, slots=True)
class _DateIndex:
    """The index of one date parameter, walked with tests."""

    compiler: Compiler
    type: str
    tests: Sequence[Conjunct]
    p: int
    walk: Walk

    def dated(self, start: Position | None, wanted: int) -> list[Match]:
        """Return the matches that have the date, from ``start`` on."""
        if wanted <= 0:
            return []
        parts = [self._simple(start, wanted), self._other(start, wanted)]
        down = self.walk.sorts[0].descending is not self.walk.back
        ordered = heapq.merge(*parts, key=lambda match: (match[1], match[0]), reverse=down)
        return [match for match, _ in zip(ordered, range(wanted), strict=False)]

    def _simple(self, start: Position | None, wanted: int) -> list[Match]:
        """Walk the rows that are the only one of their resource: a condition on the date bounds the walk."""
        bounds = [test.span.simple for test in self.tests if test.span and test.span.p == self.p]
        tests = [test for test in self.tests if not (test.span and test.span.p == self.p)]
        return self._rows(all_true([Sql("p=?", (self.p,)), *bounds]), tests, start, wanted)

    def _other(self, start: Position | None, wanted: int) -> list[Match]:
        """Walk the rows beside which there may be others, of which one decides the order."""
        if not self.compiler.has_rows("date", self.p | 1):
            return []
        better = "o.a>date.lo" if self.walk.sorts[0].descending else "o.a<date.lo"
        # Of several values only the one that decides the order counts, and of equal ones the first.
        best = Sql(
            "NOT EXISTS (SELECT 1 FROM own o WHERE o.sk=date.sk AND o.p=? AND"
            f" ({better} OR (o.a=date.lo AND o.b<date.hi)))",
            (self.p,),
        )
        return self._rows(all_true([Sql("p=?", (self.p | 1,)), best]), self.tests, start, wanted)

    def _rows(
        self, among: Sql, tests: Sequence[Conjunct], start: Position | None, wanted: int
    ) -> list[Match]:
        word, sign = self.walk.words(down=self.walk.sorts[0].descending)
        after = TRUE
        if start:
            key = start.keys[0]
            after = Sql(f"lo{sign}=? AND (lo{sign}? OR sk{sign}?)", (key, key, start.tie))
        order = f"ORDER BY lo {word}, sk {word}"
        index = Sql(
            f"SELECT sk, lo FROM date WHERE {among.text} AND {after.text} {order} LIMIT ?",
            (*among.args, *after.args, self._limit),
        )
        beside, passing = self.compiler.beside(tests, "d.sk"), self.compiler.passing(tests, "d.sk")
        statement = f"SELECT d.sk, d.lo FROM ({index.text}) d{beside.text} WHERE {passing.text} LIMIT ?"
        args = (*index.args, *beside.args, *passing.args, wanted)
        rows = self.compiler.connection.execute(statement, args).fetchall()
        if len(rows) < wanted and self.walk.steps is not None and self._is_longer(index):
            raise _TooFar
        return [(sk, (lo,)) for sk, lo in rows]

    @property
    def _limit(self) -> int:
        """How many rows are walked. Even "all" is said: SQLite ignores the order of what has no limit."""
        return -1 if self.walk.steps is None else self.walk.steps

    def _is_longer(self, index: Sql) -> bool:
        """Tell whether the index has as many rows as the walk has steps."""
        statement = f"SELECT count(*) FROM ({index.text})"
        found: int = self.compiler.connection.execute(statement, index.args).fetchone()[0]
        return found == self.walk.steps

    def missing(self, start: Position | None, wanted: int) -> list[Match]:
        """Return the matches without the date, from ``start`` on."""
        if wanted <= 0 or self.walk.sorts[0].param == _NEVER_MISSING:
            return []
        if any(test.span and test.span.p == self.p for test in self.tests):
            return []  # something is asked of the date itself
        word, sign = self.walk.words(down=self.walk.sorts[0].descending)
        after = Sql(f"sk{sign}?", (start.tie,)) if start else TRUE
        listing, lacks = self.compiler.listing(self.type), Sql(_WITHOUT, (self.p,))
        if self.walk.is_clinical:
            listing, lacks = self.compiler.undated(self.type), TRUE
        without = Sql(
            f"SELECT sk FROM ({listing.text}) l WHERE {after.text} AND {lacks.text}"
            f" ORDER BY sk {word} LIMIT ?",
            (*listing.args, *after.args, *lacks.args, self._limit),
        )
        beside, passing = self.compiler.beside(self.tests, "c.sk"), self.compiler.passing(self.tests, "c.sk")
        statement = f"SELECT c.sk FROM ({without.text}) c{beside.text} WHERE {passing.text} LIMIT ?"
        args = (*without.args, *beside.args, *passing.args, wanted)
        rows = self.compiler.connection.execute(statement, args).fetchall()
        if len(rows) < wanted and self.walk.steps is not None and self._is_longer(without):
            raise _TooFar
        return [(sk, (None,)) for (sk,) in rows]
