"""History: the versions of a resource, of a type, of all, newest first.

``head`` and ``history`` together list every version in order of resource without touching a payload;
``version`` lists them in order of time. https://hl7.org/fhir/R4/http.html#history
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from fhir_server.search.match import ClassOf, Referrers, Resolve
from fhir_server.search.predicate import Everything, Nothing, Predicate
from fhir_server.search.values import Values
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import HistoryPage, HistoryQuery, Stored
from fhir_server.store.sqlite.batch import Tools
from fhir_server.store.sqlite.classes import class_of
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
_ONE_VERSION: Final = "SELECT v.rk FROM ids i CROSS JOIN history v ON v.sk=i.sk AND v.ver=? WHERE i.h=?"
_ONLY_VERSION: Final = "SELECT h.rk FROM ids i CROSS JOIN head h ON h.sk=i.sk AND h.ver=? WHERE i.h=?"


@dataclass(frozen=True, slots=True)
class Links:
    """What resources are linked to and how patients are classed at present, for judging a version."""

    connection: sqlite3.Connection
    names: Lookup
    tools: Tools

    def resolve(self, type_: str, id_: str) -> Values | None:
        """Return the values of the current resource ``type_/id_``; None when there is none."""
        digest = self.tools.blind.target(f"{type_}/{id_}")
        row = self.connection.execute(CURRENT, (digest,)).fetchone()
        stored = None if row is None else self.tools.opener.stored(self.connection, row)
        if stored is None or stored.deleted or stored.id != id_:
            return None
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
        self, connection: sqlite3.Connection, visibility: Visibility, digest: int, stored: Stored
    ) -> bool:
        """Judge a version by its own content, a deletion by what it deleted, links as they are now."""
        predicate = visibility.of(stored.type)
        if isinstance(predicate, Everything):
            return True
        if isinstance(predicate, Nothing):
            return False
        if not stored.deleted:
            links = Links(connection, self.names, self.tools)
            return self.matcher(
                predicate, stored.type, stored.body, links.resolve, links.referrers, links.class_of
            )
        before = connection.execute(_ONE_VERSION, (stored.version - 1, digest)).fetchone()
        if before is None:
            return False
        [earlier] = self._open(connection, before)
        return self.visible(connection, visibility, digest, earlier)

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
        return self._filtered(session, visibility, query, scope)

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
        self, session: Session, visibility: Visibility, query: HistoryQuery, scope: tuple[int, int]
    ) -> HistoryPage:
        connection = session.connection
        listed = _listed(query, scope)
        statement = f"SELECT rk FROM ({listed.text}) ORDER BY rk DESC"
        shown: list[Stored] = []
        total, last, more = 0, 0, False
        for (rk,) in connection.execute(statement, listed.args).fetchall():
            session.check()
            row = connection.execute(BY_VERSION, (json_array([rk]),)).fetchone()
            stored = self.opener.stored(connection, row)
            if not self.visible(connection, visibility, row[1], stored):
                continue
            total += 1
            if query.before is not None and rk >= query.before:
                continue
            if len(shown) < query.count:
                shown.append(stored)
                last = rk
            else:
                more = True
        return HistoryPage(shown, total, last if more and shown else None)

    def _open(self, connection: sqlite3.Connection, versions: Iterable[int]) -> Iterator[Stored]:
        for row in connection.execute(BY_VERSION, (json_array(versions),)).fetchall():
            yield self.opener.stored(connection, row)


def _listed(query: HistoryQuery, scope: tuple[int, int]) -> Sql:
    """Return the SELECT of ``rk`` of all versions in scope that the query's times allow."""
    allowed, times = "1", []
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
    # The first version of a resource enters history together with its second.
    text = (
        f"SELECT v.rk FROM head v WHERE v.sk>=? AND v.sk<? AND v.ver=1 AND {allowed}"
        f" UNION ALL SELECT v.rk FROM history v WHERE v.sk>=? AND v.sk<? AND {allowed}"
    )
    return Sql(text, (*scope, *times, *scope, *times))
