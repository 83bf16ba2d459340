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

_NEVER_MISSING: Final = "_lastUpdated"


@dataclass(frozen=True, slots=True)
class Walk:
    """How a page is walked: back from ``start``, or forth; None = from the end that the walk begins at."""

    sorts: tuple[Sort, ...]
    start: Position | None
    wanted: int
    back: bool

    @classmethod
    def of(cls, query: Query) -> Walk:
        """Return the walk of a query: one match more than its page holds."""
        back = query.before is not None
        return cls(query.sort, query.before or query.after, query.count + 1, back)

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
) -> list[Match]:
    """Walk the index of date ``p``: those with a value in order, and at the low end those without."""
    down = walk.sorts[0].descending is not walk.back
    dates = _DateIndex(compiler, type_, tests, p, walk)
    among_missing = walk.start is not None and walk.start.keys[0] is None
    if down:
        found = [] if among_missing else dates.dated(walk.start, walk.wanted)
        return found + dates.missing(walk.start if among_missing else None, walk.wanted - len(found))
    if walk.start is not None and not among_missing:
        return dates.dated(walk.start, walk.wanted)
    found = dates.missing(walk.start, walk.wanted)
    return found + dates.dated(None, walk.wanted - len(found))


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
        parts = [self._twin(twin, start, wanted) for twin in (self.p, self.p | 1)]
        down = self.walk.sorts[0].descending is not self.walk.back
        ordered = heapq.merge(*parts, key=lambda match: (match[1], match[0]), reverse=down)
        return [match for match, _ in zip(ordered, range(wanted), strict=False)]

    def _twin(self, p: int, start: Position | None, wanted: int) -> list[Match]:
        descending = self.walk.sorts[0].descending
        word, sign = self.walk.words(down=descending)
        passing = self.compiler.passing(self.tests, "d.sk")
        after = TRUE
        if start:
            key = start.keys[0]
            after = Sql(f"d.lo{sign}=? AND (d.lo{sign}? OR d.sk{sign}?)", (key, key, start.tie))
        best = TRUE
        if p & 1:
            # Of several values only the one that decides the order counts, and of equal ones the first.
            better = "o.a>d.lo" if descending else "o.a<d.lo"
            best = Sql(
                "NOT EXISTS (SELECT 1 FROM own o WHERE o.sk=d.sk AND o.p=? AND"
                f" ({better} OR (o.a=d.lo AND o.b<d.hi)))",
                (p ^ 1,),
            )
        statement = (
            f"SELECT d.sk, d.lo FROM date d WHERE d.p=? AND {after.text} AND {best.text} AND {passing.text}"
            f" ORDER BY d.lo {word}, d.sk {word} LIMIT ?"
        )
        args = (p, *after.args, *best.args, *passing.args, wanted)
        return [(sk, (lo,)) for sk, lo in self.compiler.connection.execute(statement, args)]

    def missing(self, start: Position | None, wanted: int) -> list[Match]:
        """Return the matches without the date, from ``start`` on."""
        if wanted <= 0 or self.walk.sorts[0].param == _NEVER_MISSING:
            return []
        word, sign = self.walk.words(down=self.walk.sorts[0].descending)
        base = self.compiler.listing(self.type)
        passing = self.compiler.passing(self.tests, "c.sk")
        after = Sql(f"c.sk{sign}?", (start.tie,)) if start else TRUE
        statement = (
            f"SELECT c.sk FROM ({base.text}) c WHERE {after.text} AND NOT EXISTS"
            f" (SELECT 1 FROM own WHERE sk=c.sk AND p=?) AND {passing.text} ORDER BY c.sk {word} LIMIT ?"
        )
        args = (*base.args, *after.args, self.p, *passing.args, wanted)
        return [(row[0], (None,)) for row in self.compiler.connection.execute(statement, args)]
