"""History: the versions of a resource, of a type, of all, newest first.

``head`` and ``history`` together list every version in order of resource without touching a payload;
``version`` lists them in order of time. https://hl7.org/fhir/R4/http.html#history
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from fhir_server.search.match import ClassOf, Referrers, Resolve
from fhir_server.search.predicate import EVERYTHING, NOTHING, Everything, Nothing, Predicate
from fhir_server.search.values import Values
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import HistoryPage, HistoryQuery, Stored
from fhir_server.store.sqlite.batch import Tools
from fhir_server.store.sqlite.classes import class_of
from fhir_server.store.sqlite.compile import Compiler
from fhir_server.store.sqlite.fragment import Sql
from fhir_server.store.sqlite.functions import judge_of
from fhir_server.store.sqlite.names import Lookup, Names
from fhir_server.store.sqlite.reader import Session
from fhir_server.store.sqlite.records import BY_VERSION, CURRENT, Opener, json_array
from fhir_server.store.sqlite.schema import type_range

Matcher = Callable[[Predicate, str, bytes, Resolve, Referrers, ClassOf], bool]
"""Predicate, type and body → whether the body satisfies it.

It is given what the body leads to, what leads to it, and which policy classes patients are in.
"""

_REFERRERS: Final = "SELECT DISTINCT sk FROM ref WHERE p=? AND k=?"
_ALL: Final = (0, 2**62)
_BATCH: Final = 256
"""Versions that are fetched at once."""
_ONE_VERSION: Final = "SELECT v.rk FROM ids i CROSS JOIN history v ON v.sk=i.sk AND v.ver=? WHERE i.h=?"
_ONLY_VERSION: Final = "SELECT h.rk FROM ids i CROSS JOIN head h ON h.sk=i.sk AND h.ver=? WHERE i.h=?"


@dataclass(frozen=True, slots=True)
class Links:
    """What resources are linked to and how patients are classed at present, for judging a version.

    ``gone``: when what is judged was deleted (ms since the epoch); None: it lives. What was deleted with it
    or later counts as it last was: a record that others kept hidden must not be told of once those are
    deleted.
    """

    connection: sqlite3.Connection
    names: Lookup
    tools: Tools
    gone: int | None = None

    def resolve(self, type_: str, id_: str) -> Values | None:
        """Return the values of the current resource ``type_/id_``; None when there is none."""
        digest = self.tools.blind.target(f"{type_}/{id_}")
        row = self.connection.execute(CURRENT, (digest,)).fetchone()
        if row is None:
            return None
        stored = self.tools.opener.stored(self.connection, row)
        if stored.id != id_:
            return None
        if stored.deleted:
            if self.gone is None or stored.updated < self.gone:
                return None
            earlier = self.connection.execute(_ONE_VERSION, (stored.version - 1, digest)).fetchone()
            if earlier is None:
                return None
            row = self.connection.execute(BY_VERSION, (json_array(earlier),)).fetchone()
            stored = self.tools.opener.stored(self.connection, row)
        return self.tools.extractor(type_, stored.body)

    def referrers(self, type_: str, param: str, target: str) -> Iterator[tuple[str, Values]]:
        """Yield (id, values) of current resources of ``type_`` whose ``param`` refers to ``target``."""
        p = self.names.param_number(self.connection, type_, param)
        if p is None:
            return
        found = self.connection.execute(_REFERRERS, (p, self.tools.blind.target(target)))
        for number in [row[0] for row in found]:
            for stored in self.tools.opener.current(self.connection, [number]):
                yield stored.id, self.tools.extractor(type_, stored.body)

    def class_of(self, patient: str) -> int:
        """Return the policy class that a patient is in now."""
        return class_of(self.connection, self.tools.blind, patient)


@dataclass(frozen=True, slots=True)
class Past:
    """Reads versions of one store."""

    names: Names
    tools: Tools
    matcher: Matcher

    @property
    def opener(self) -> Opener:
        """What opens payloads."""
        return self.tools.opener

    def version(
        self, connection: sqlite3.Connection, visibility: Visibility, digest: int, version: int
    ) -> Stored | None:
        """Return one version of a resource if it may be seen as it was then."""
        judge_of(connection).begin()
        for statement in (_ONLY_VERSION, _ONE_VERSION):
            found = connection.execute(statement, (version, digest)).fetchone()
            if found:
                [stored] = self._open(connection, found)
                return stored if self.visible(connection, visibility, digest, stored) else None
        return None

    def visible(
        self,
        connection: sqlite3.Connection,
        visibility: Visibility,
        digest: int,
        stored: Stored,
        judged: dict[int, bool] | None = None,
    ) -> bool:
        """Judge a version by its own content, a deletion by what it deleted, links as they are now.

        Consents judge the newest content too: a record that was labelled later, or that a patient hides as it
        is now, would otherwise be told by what it was before. ``judged``: what came of that by the resource's
        digest, for who judges many versions.
        """
        predicate = visibility.of(stored.type)
        if isinstance(predicate, Everything):
            return True
        if isinstance(predicate, Nothing):
            return False
        gone = None
        if stored.deleted:
            gone = stored.updated
            before = connection.execute(_ONE_VERSION, (stored.version - 1, digest)).fetchone()
            if before is None:
                return False
            [stored] = self._open(connection, before)
        if not self._satisfies(connection, predicate, stored, gone):
            return False
        if visibility.consents is None:
            return True
        known = {} if judged is None else judged
        if digest not in known:
            consented = visibility.consents.get(stored.type, NOTHING)
            known[digest] = self._newest_satisfies(connection, consented, digest, stored)
        return known[digest]

    def _newest_satisfies(
        self, connection: sqlite3.Connection, predicate: Predicate, digest: int, satisfying: Stored
    ) -> bool:
        """Tell whether the newest content of a resource does; ``satisfying``: a version that is known to."""
        if isinstance(predicate, Everything):
            return True
        newest = self.opener.stored(connection, connection.execute(CURRENT, (digest,)).fetchone())
        if not newest.deleted:
            return newest.version == satisfying.version or self._satisfies(connection, predicate, newest)
        before = connection.execute(_ONE_VERSION, (newest.version - 1, digest)).fetchone()
        [content] = self._open(connection, before)
        return self._satisfies(connection, predicate, content, newest.updated)

    def _satisfies(
        self, connection: sqlite3.Connection, predicate: Predicate, stored: Stored, gone: int | None = None
    ) -> bool:
        links = Links(connection, self.names, self.tools, gone)
        return self.matcher(
            predicate, stored.type, stored.body, links.resolve, links.referrers, links.class_of
        )

    def page(
        self, session: Session, visibility: Visibility, query: HistoryQuery, digest: int | None
    ) -> HistoryPage:
        """Return a page; ``digest`` is that of the one resource, if the query is about one."""
        judge_of(session.connection).begin()
        scope = self._scope(session.connection, query, digest)
        if scope is None:
            return HistoryPage([], 0, None)
        if visibility.is_everything:
            return self._whole(session, query, scope)
        return self._filtered(session, visibility, query, scope, is_one=digest is not None)

    def _scope(
        self, connection: sqlite3.Connection, query: HistoryQuery, digest: int | None
    ) -> tuple[int, int] | None:
        """Return the range of ``sk`` that the query is about; None when there is nothing."""
        if query.type is None:
            return _ALL
        if digest is not None:
            found = connection.execute("SELECT sk FROM ids WHERE h=?", (digest,)).fetchone()
            return None if found is None else (found[0], found[0] + 1)
        number = self.names.type_number(connection, query.type)
        return None if number is None else type_range(number)

    def _whole(self, session: Session, query: HistoryQuery, scope: tuple[int, int]) -> HistoryPage:
        connection = session.connection
        listed = _listed(query, scope)
        timeless = query.since is None and query.at is None
        # Versions are numbered from 1 without gaps, so the current numbers add up to how many there are.
        counting = (
            Sql("SELECT total(ver) FROM head WHERE sk>=? AND sk<?", scope)
            if timeless
            else Sql(f"SELECT count(*) FROM ({listed.text})", listed.args)
        )
        total = int(connection.execute(*counting).fetchone()[0])
        newest = connection.execute("SELECT coalesce(max(rk), 0) FROM version").fetchone()[0]
        before = newest + 1 if query.before is None else query.before
        if timeless and (query.count + 1) * newest < total * total:
            # The wanted versions are dense in the log: walking back meets enough of them soon.
            statement = "SELECT rk FROM version WHERE sk>=? AND sk<? AND rk<? ORDER BY rk DESC LIMIT ?"
            rows = connection.execute(statement, (*scope, before, query.count + 1))
        else:
            statement = f"SELECT rk FROM ({listed.text}) WHERE rk<? ORDER BY rk DESC LIMIT ?"
            rows = connection.execute(statement, (*listed.args, before, query.count + 1))
        found = [row[0] for row in rows]
        shown = found[: query.count]
        more = bool(shown) and len(found) > query.count
        return HistoryPage(list(self._open(connection, shown)), total, shown[-1] if more else None)

    def _filtered(
        self,
        session: Session,
        visibility: Visibility,
        query: HistoryQuery,
        scope: tuple[int, int],
        *,
        is_one: bool,
    ) -> HistoryPage:
        """Return a page of what may be seen; ``is_one``: the scope is one resource, all of it judged."""
        connection = session.connection
        found: list[int] = []
        if is_one:
            found = list(self._judged(session, visibility, _listed(query, scope)))
        else:
            for type_, span in self._types(connection, query):
                session.check()
                found += self._of_type(session, visibility, query, type_, span)
        found.sort(reverse=True)
        begin = 0 if query.before is None else bisect_left(found, -query.before + 1, key=lambda rk: -rk)
        shown = found[begin : begin + query.count]
        more = bool(shown) and len(found) > begin + query.count
        return HistoryPage(list(self._open(connection, shown)), len(found), shown[-1] if more else None)

    def _types(
        self, connection: sqlite3.Connection, query: HistoryQuery
    ) -> Iterator[tuple[str, tuple[int, int]]]:
        """Yield the types that the query is about and that the store holds, each with its range of ``sk``."""
        known = connection.execute("SELECT name, t FROM type ORDER BY t").fetchall()
        for name, number in known:
            if query.type in (None, name):
                yield name, type_range(number)

    def _of_type(
        self,
        session: Session,
        visibility: Visibility,
        query: HistoryQuery,
        type_: str,
        scope: tuple[int, int],
    ) -> Iterator[int]:
        """Yield the versions of one type that may be seen.

        What is current the index knows: its content is what the index holds, and its links are those of now.
        Nothing is opened for that, and nothing is looked at that the index does not lead to. Earlier versions
        and deletions may have said something else; each is opened and judged.
        """
        connection, predicate = session.connection, visibility.of(type_)
        if isinstance(predicate, Nothing):
            return
        if isinstance(predicate, Everything):
            listed = _listed(query, scope)
            yield from (row[0] for row in connection.execute(listed.text, listed.args))
            return
        compiler = Compiler(connection, self.names, self.tools.blind)
        rows = compiler.rows(type_, visibility.restrict(type_, EVERYTHING))
        times = _times_of_current(query)
        statement = f"SELECT h.rk FROM head h WHERE h.sk IN ({rows.text}) AND h.state=0{times.text}"
        yield from (row[0] for row in connection.execute(statement, rows.args + times.args))
        yield from self._judged(session, visibility, _earlier(query, scope))

    def _judged(self, session: Session, visibility: Visibility, listed: Sql) -> Iterator[int]:
        """Open the versions that ``listed`` selects; yield those that may be seen. Raises Late."""
        connection = session.connection
        numbers = [row[0] for row in connection.execute(listed.text, listed.args)]
        judged: dict[int, bool] = {}
        for begin in range(0, len(numbers), _BATCH):
            chosen = numbers[begin : begin + _BATCH]
            rows = connection.execute(BY_VERSION, (json_array(chosen),)).fetchall()
            for rk, row in zip(chosen, rows, strict=True):
                session.check()
                stored = self.opener.stored(connection, row)
                if self.visible(connection, visibility, row[1], stored, judged):
                    yield rk

    def _open(self, connection: sqlite3.Connection, versions: Iterable[int]) -> Iterator[Stored]:
        for row in connection.execute(BY_VERSION, (json_array(versions),)).fetchall():
            yield self.opener.stored(connection, row)


def _listed(query: HistoryQuery, scope: tuple[int, int]) -> Sql:
    """Return the SELECT of ``rk`` of all versions in scope that the query's times allow."""
    allowed = _times(query)
    # The first version of a resource enters history together with its second.
    text = (
        f"SELECT v.rk FROM head v WHERE v.sk>=? AND v.sk<? AND v.ver=1{allowed.text}"
        f" UNION ALL SELECT v.rk FROM history v WHERE v.sk>=? AND v.sk<?{allowed.text}"
    )
    return Sql(text, (*scope, *allowed.args, *scope, *allowed.args))


def _earlier(query: HistoryQuery, scope: tuple[int, int]) -> Sql:
    """Return the SELECT of ``rk`` of the versions in scope that are not current, or are deletions."""
    allowed = _times(query)
    text = (
        "SELECT v.rk FROM history v CROSS JOIN head h ON h.sk=v.sk"
        f" WHERE v.sk>=? AND v.sk<? AND (v.ver<h.ver OR h.state<>0){allowed.text}"
    )
    return Sql(text, (*scope, *allowed.args))


def _times(query: HistoryQuery) -> Sql:
    """Return the condition that the query's times put on a version ``v``."""
    allowed, times = "", []
    if query.since is not None:
        allowed += " AND v.upd>=?"
        times.append(query.since)
    if query.at is not None:
        lo, hi = query.at
        allowed += (
            " AND v.upd<=? AND NOT EXISTS"
            " (SELECT 1 FROM history n WHERE n.sk=v.sk AND n.ver=v.ver+1 AND n.upd<=?)"
        )
        times += [hi, lo]
    return Sql(allowed, tuple(times))


def _times_of_current(query: HistoryQuery) -> Sql:
    """Return the same of the current version ``h``, after which there is none."""
    allowed, times = "", []
    if query.since is not None:
        allowed += " AND h.upd>=?"
        times.append(query.since)
    if query.at is not None:
        allowed += " AND h.upd<=?"
        times.append(query.at[1])
    return Sql(allowed, tuple(times))
