"""Sorting candidates by their keys: any keys, any number of them. Good where candidates are few.

https://hl7.org/fhir/R4/search.html#sort
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from fhir_server.search.joined import indexed_as
from fhir_server.search.query import Query, Sort
from fhir_server.store.sqlite.compile import Compiler
from fhir_server.store.sqlite.fragment import Conjunct, Sql
from fhir_server.store.sqlite.rows import UPDATED
from fhir_server.store.sqlite.walks import Match, Walk, sorted_by

_NO_JOIN: Final = Sql("")


@dataclass(frozen=True, slots=True)
class _Key:
    """A sort key of the candidate ``c``: its expression, and the join that it needs.

    ``date``: the number of the parameter whose one row in ``own`` stands beside the candidate as ``alias``.
    ``is_opened``: it opens the resource ``h``, ``v``.
    """

    value: Sql
    join: Sql = _NO_JOIN
    alias: str = ""
    date: int | None = None
    is_opened: bool = False


def by_keys(
    compiler: Compiler, query: Query, base: Sql, tests: Sequence[Conjunct], walk: Walk
) -> list[Match]:
    """Look up the sort keys of every candidate of ``base`` that passes ``tests``, and sort."""
    keys = [_key(compiler, query.type, sort, f"k{i}_") for i, sort in enumerate(query.sort)]
    candidates = f"(SELECT DISTINCT sk FROM ({base.text})) c"
    if any(key.is_opened for key in keys):
        candidates += " CROSS JOIN head h ON h.sk=c.sk CROSS JOIN version v ON v.rk=h.rk"
    sk, tests = "c.sk", list(tests)
    for key in keys:
        dated = [place for place, test in enumerate(tests) if test.span and test.span.p == key.date]
        for place in dated:
            tests[place] = _of_row(tests[place], key.alias)
            # Of the row's own number the others are asked after it: few have a date that is asked for.
            sk = f"{key.alias}.sk"
    beside, passing = compiler.beside(tests, sk), compiler.passing(tests, sk)
    joins = "".join(key.join.text for key in keys)
    columns = tuple(f"k{i}" for i in range(len(keys)))
    selected = "".join(f", {key.value.text} AS {column}" for key, column in zip(keys, columns, strict=True))
    start, order = sorted_by(walk, columns)
    statement = (
        f"SELECT sk, {', '.join(columns)} FROM (SELECT c.sk AS sk{selected}"
        f" FROM {candidates}{joins}{beside.text} WHERE {passing.text} LIMIT -1)"
        f" WHERE {start.text} ORDER BY {order} LIMIT ?"
    )
    key_args = tuple(arg for key in keys for arg in key.value.args)
    join_args = tuple(arg for key in keys for arg in key.join.args)
    args = (*key_args, *base.args, *join_args, *beside.args, *passing.args, *start.args, walk.wanted)
    return [(row[0], tuple(row[1:])) for row in compiler.connection.execute(statement, args)]


def has_rows(compiler: Compiler, table: str, p: int) -> bool:
    """Tell whether an index has any row of parameter ``p``, simple or not."""
    statement = f"SELECT 1 FROM {table} WHERE p IN (?, ?) LIMIT 1"
    return compiler.connection.execute(statement, (p, p | 1)).fetchone() is not None


def _key(compiler: Compiler, type_: str, sort: Sort, alias: str) -> _Key:
    """Return a sort key; ``alias``: an SQL name that is free."""
    names, connection = compiler.names, compiler.connection
    known = [names.param_number(connection, type_, each) for each in indexed_as(type_, sort.param)]
    spans = tuple(p for p in known if p is not None and _has_spans(compiler, p))
    if len(spans) == 1 and sort.param != UPDATED and _is_one_date(compiler, spans[0]):
        # A join costs two thirds of a subquery, for which the engine opens the table for each candidate.
        join = Sql(f" LEFT JOIN own {alias} ON {alias}.sk=c.sk AND {alias}.p=?", spans)
        return _Key(Sql(f"{alias}.a"), join, alias, spans[0])
    if spans:
        least, places = "max" if sort.descending else "min", ", ".join("?" * len(spans))
        own = Sql(f"(SELECT {least}(a) FROM own WHERE sk=c.sk AND p IN ({places}))", spans)
        return _Key(own if sort.param != UPDATED else _updated(own, spans[0]))
    # Digests have no order: the other kinds are sorted by what the opened resource says.
    descending = int(sort.descending)
    opened = Sql("sort_key(?, h.h, v.ver, v.payload, ?, ?)", (type_, sort.param, descending))
    return _Key(opened, is_opened=True)


def _has_spans(compiler: Compiler, p: int) -> bool:
    return any(has_rows(compiler, table, p) for table in ("date", "number", "quantity"))


def _is_one_date(compiler: Compiler, p: int) -> bool:
    """Tell whether no resource has more than one value of ``p``, which is a date."""
    return has_rows(compiler, "date", p) and compiler.has_one_date(p)


def _of_row(test: Conjunct, alias: str) -> Conjunct:
    """Ask a condition on a date of the row ``alias`` of ``own``, which is there to sort by."""
    assert test.span is not None
    condition = test.span.exact(f"{alias}.a", f"{alias}.b")
    return replace(test, test=lambda _: condition)


def _updated(own: Sql, p: int) -> Sql:
    """Return the key of the date that the head of a resource has where ``own`` lacks it."""
    head = "SELECT h_.upd FROM head h_ CROSS JOIN date d_ ON d_.p=? AND d_.lo=h_.upd AND d_.hi=h_.upd"
    return Sql(f"coalesce({own.text}, ({head} AND d_.sk=h_.sk WHERE h_.sk=c.sk))", (*own.args, p))
