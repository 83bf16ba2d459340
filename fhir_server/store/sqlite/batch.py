"""Commits carried out inside one write transaction: each checked first, then all written together.

A commit is checked against everything staged before it and writes nothing until all its checks have passed,
so that one that fails undoes none of its neighbours and no savepoint is needed. Index rows of the whole batch
are sorted and inserted many to a statement: fewer statements, fewer page visits, fewer hand-offs of the GIL.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

from fhir_server.crypto.blind import BlindIndex
from fhir_server.crypto.envelope import Envelope
from fhir_server.faults import Fault, Kind
from fhir_server.search.values import Values
from fhir_server.store.api import (
    Change,
    Condition,
    Expectation,
    Reclass,
    Stale,
    StillReferenced,
    Unreferenced,
)
from fhir_server.store.bodies import METHODS, id_of, tombstone
from fhir_server.store.sqlite.classes import Classing
from fhir_server.store.sqlite.compile import Compiler
from fhir_server.store.sqlite.functions import Extractor
from fhir_server.store.sqlite.names import Draft
from fhir_server.store.sqlite.records import Opener, json_array
from fhir_server.store.sqlite.rows import COLUMNS, Row, Rows, names_of, numbered, rows_of, strings_of, with_sk
from fhir_server.store.sqlite.schema import DELETED, LIVE, generation, type_range
from fhir_server.store.sqlite.search import Searcher
from fhir_server.store.sqlite.stamps import govern

_MOST_ROWS = 128
_NO_ROWS = Rows()
_WHOLE = {
    "version": ("rk", "sk", "ver", "upd", "method", "payload"),
    "history": ("sk", "ver", "rk", "upd"),
    "ids": ("h", "sk"),
    "head": ("sk", "h", "ver", "upd", "rk", "state", "pat"),
    **COLUMNS,
}


@dataclass(frozen=True, slots=True)
class SqlitePrepared:
    """A change sealed and digested. ``rows`` is None while a parameter of it has no number yet.

    ``patient``: whom it is about, as ``head.pat`` has it.
    """

    change: Change
    digest: int
    payload: bytes
    rows: Rows | None
    patient: int


class Head(NamedTuple):
    """The current version of a resource as the file has it."""

    sk: int
    ver: int
    upd: int
    rk: int
    state: int


@dataclass(slots=True)
class Tools:
    """What a batch works with besides its connection."""

    envelope: Envelope
    opener: Opener
    blind: BlindIndex
    extractor: Extractor
    clinical: Mapping[str, str]
    governing: frozenset[str] = frozenset()

    def is_timed(self, type_: str) -> bool:
        """Tell whether a type has a clinical date."""
        return self.clinical.get(type_) is not None


@dataclass(slots=True)
class Batch:
    """One write transaction under construction; :meth:`add` commits to it, then :meth:`flush`."""

    connection: sqlite3.Connection
    draft: Draft
    tools: Tools
    _added: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    _removed: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    _moved: list[Row] = field(default_factory=list)
    _several: set[int] = field(default_factory=set)
    _staged: set[int] = field(default_factory=set)
    _next_sk: dict[int, int] = field(default_factory=dict)
    _next_rk: int = 0
    _governs: bool = False
    _generation: int = -1

    def add(
        self,
        prepared: Sequence[SqlitePrepared],
        conditions: Sequence[Condition],
        reclasses: Sequence[Reclass] = (),
    ) -> None:
        """Check one commit and stage it; raises Stale, StillReferenced or Fault with nothing staged."""
        digests = [item.digest for item in prepared]
        if len(set(digests)) < len(digests):
            raise Fault(
                Kind.CONFLICT, "One commit changes the same resource twice; send the changes one by one."
            )
        if conditions or not self._staged.isdisjoint(digests):
            self.flush()
        heads = self._heads(digests)
        for item in prepared:
            self._check_version(item, heads.get(item.digest))
        for condition in conditions:
            self._check(condition, {head.sk for head in heads.values()})
        classing = Classing(self.connection, self.tools.envelope, self.tools.blind)
        classing.check(reclasses)
        before = [self._old_rows(item, heads.get(item.digest)) for item in prepared]
        after = [self._new_rows(item) for item in prepared]
        for item, old, new in zip(prepared, before, after, strict=True):
            self._stage(item, heads.get(item.digest), old, new)
        classing.write(reclasses)
        self._governs |= bool(reclasses)

    def flush(self) -> None:
        """Write what is staged."""
        self._number_strings()
        for table, rows in self._removed.items():
            key = " AND ".join(f"{column}=?" for column in COLUMNS[table])
            self.connection.executemany(f"DELETE FROM {table} WHERE {key}", sorted(rows))
        for table, rows in self._added.items():
            rows.sort()
            self._insert(table, rows)
        if units := {row[:2] for row in self._added.get("quantity", ())}:
            plain = sorted((p & ~1, u) for p, u in units)
            self.connection.executemany("INSERT OR IGNORE INTO unit VALUES(?, ?)", plain)
        if self._several:
            rows = sorted((p,) for p in self._several)
            self.connection.executemany("INSERT OR IGNORE INTO several VALUES(?)", rows)
        if self._moved:
            self.connection.executemany(
                "UPDATE head SET ver=?, upd=?, rk=?, state=?, pat=? WHERE sk=?", self._moved
            )
        if self._governs:
            govern(self.connection)
        self._governs = False
        self._added.clear()
        self._removed.clear()
        self._moved.clear()
        self._several.clear()
        self._staged.clear()

    def _number_strings(self) -> None:
        for changed in (self._removed, self._added):
            if rows := changed.get("str"):
                changed["str"] = numbered(rows, self.draft.allot_texts(strings_of(rows)))

    def _insert(self, table: str, rows: Sequence[Row]) -> None:
        # Chunks of powers of two keep the number of different statements small enough to stay prepared.
        position, size = 0, _MOST_ROWS
        while position < len(rows):
            while size > len(rows) - position:
                size //= 2
            chunk = rows[position : position + size]
            self.connection.execute(_insertion(table, size), tuple(chain.from_iterable(chunk)))
            position += size

    def _heads(self, digests: Sequence[int]) -> dict[int, Head]:
        found = self.connection.execute(
            "SELECT i.h, h.sk, h.ver, h.upd, h.rk, h.state FROM json_each(?) j"
            " CROSS JOIN ids i ON i.h=j.value CROSS JOIN head h ON h.sk=i.sk",
            (json_array(digests),),
        )
        return {row[0]: Head(*row[1:]) for row in found}

    def _check_version(self, item: SqlitePrepared, head: Head | None) -> None:
        change = item.change
        if head is None:
            if change.version != 1 or change.method == "DELETE":
                raise Stale
            return
        if head.ver != change.version - 1:
            if change.version == 1:
                self._check_same_id(item, self._body(item, head))
            raise Stale

    def _check_same_id(self, item: SqlitePrepared, body: bytes) -> None:
        """Refuse to write over another resource whose id has, against all odds, the same digest."""
        if id_of(item.change.type, body) != item.change.id:
            raise Fault(
                Kind.CONFLICT, "This id cannot be used in this store; choose another one.", "Resource.id"
            )

    def _check(self, condition: Condition, changed: set[int]) -> None:
        match condition:
            case Expectation(type_, where, visibility, ids):
                compiler = Compiler(self.connection, self.draft, self.tools.blind)
                searcher = Searcher(compiler, self.tools.clinical)
                found = searcher.first(type_, visibility.restrict(type_, where), len(ids) + 1)
                expected = [self.tools.blind.target(f"{type_}/{id_}") for id_ in ids]
                if set(found) != {head.sk for head in self._heads(expected).values()} or len(found) != len(
                    ids
                ):
                    raise Stale
            case Unreferenced(type_, id_):
                target = f"{type_}/{id_}"
                row = self.connection.execute(
                    "SELECT r.sk FROM param n CROSS JOIN ref r ON r.p=n.p AND r.k=?"
                    " WHERE r.sk NOT IN (SELECT value FROM json_each(?)) LIMIT 1",
                    (self.tools.blind.target(target), json_array(changed)),
                ).fetchone()
                if row:
                    referrer = self.tools.opener.current(self.connection, row)[0]
                    raise StillReferenced(target, f"{referrer.type}/{referrer.id}")

    def _body(self, item: SqlitePrepared, head: Head) -> bytes:
        found = self.connection.execute("SELECT payload FROM version WHERE rk=?", (head.rk,)).fetchone()
        return self.tools.opener.body(item.change.type, item.digest, head.ver, found[0])

    def _old_rows(self, item: SqlitePrepared, head: Head | None) -> Rows:
        if head is None:
            return _NO_ROWS
        body = self._body(item, head)
        self._check_same_id(item, body)
        if head.state == DELETED:
            return _NO_ROWS
        values = self.tools.extractor(item.change.type, body)
        self._check_generation(values)
        return self._rows(item.change.type, values, head.upd)

    def _new_rows(self, item: SqlitePrepared) -> Rows:
        values = item.change.values
        if values is None:
            return _NO_ROWS
        self._check_generation(values)
        if item.rows is not None:
            return item.rows
        return self._rows(item.change.type, values, item.change.updated)

    def _rows(self, type_: str, values: Values, updated: int) -> Rows:
        numbers = self.draft.allot_params(type_, names_of(values))
        return rows_of(values, numbers, self.tools.blind, timed=self.tools.is_timed(type_), updated=updated)

    def _check_generation(self, values: Values) -> None:
        """Refuse values that another set of search parameters than the store's current one says."""
        if self._generation < 0:
            self._generation = generation(self.connection)
        if values.generation != self._generation:
            raise Stale

    def _stage(self, item: SqlitePrepared, head: Head | None, old: Rows, new: Rows) -> None:
        change = item.change
        rk = self._new_rk()
        state = DELETED if change.method == "DELETE" else LIVE
        if head is None:
            sk = self._new_sk(change.type)
            self._added["ids"].append((item.digest, sk))
            self._added["head"].append(
                (sk, item.digest, change.version, change.updated, rk, state, item.patient)
            )
            gained, lost = new, _NO_ROWS
        else:
            sk = head.sk
            self._moved.append((change.version, change.updated, rk, state, item.patient, sk))
            if change.version == 2:
                self._added["history"].append((sk, 1, head.rk, head.upd))
            self._added["history"].append((sk, change.version, rk, change.updated))
            gained, lost = new.minus(old), old.minus(new)
        payload = item.payload
        if not self.tools.envelope.is_current(payload):
            # Sealed before another process rotated the key, which may be retired any moment from now on.
            payload = seal(self.tools.envelope, change, item.digest)
        method = METHODS.index(change.method)
        self._added["version"].append((rk, sk, change.version, change.updated, method, payload))
        _spread(self._added, gained, sk)
        self._several.update(repeated(new))
        _spread(self._removed, lost, sk)
        self._staged.add(item.digest)
        self._governs |= change.type in self.tools.governing

    def _new_rk(self) -> int:
        if not self._next_rk:
            # Versions are never removed, so the greatest number was the last.
            found = self.connection.execute("SELECT coalesce(max(rk), 0) + 1 FROM version").fetchone()
            self._next_rk = found[0]
        self._next_rk += 1
        return self._next_rk - 1

    def _new_sk(self, type_: str) -> int:
        number = self.draft.allot_type(type_)
        if number not in self._next_sk:
            first, beyond = type_range(number)
            found = self.connection.execute(
                "SELECT max(sk) FROM head WHERE sk>=? AND sk<?", (first, beyond)
            ).fetchone()
            self._next_sk[number] = first if found[0] is None else found[0] + 1
        self._next_sk[number] += 1
        return self._next_sk[number] - 1


def seal(envelope: Envelope, change: Change, digest: int) -> bytes:
    """Seal a change's body; a deletion seals whose it is."""
    body = tombstone(change.type, change.id) if change.method == "DELETE" else change.body
    return envelope.seal(change.type, digest, change.version, body)


def _spread(to: dict[str, list[Row]], rows: Rows, sk: int) -> None:
    if rows is _NO_ROWS:
        return  # as what a new resource loses
    for table in COLUMNS:
        some: Iterable[Row] = getattr(rows, table)
        if some:
            to[table].extend(with_sk(table, some, sk))


def repeated(rows: Rows) -> set[int]:
    """Return the date parameters that have several values: ``ref.x`` cannot order their resources."""
    odd = [row[0] for row in rows.date if row[0] & 1]
    return {p - 1 for p in odd if odd.count(p) > 1} if len(odd) > 1 else set()


def _insertion(table: str, size: int) -> str:
    key = (table, size)
    statement = _INSERTIONS.get(key)
    if statement is None:
        row = f"({','.join('?' * len(_WHOLE[table]))})"
        # While a search parameter that was defined anew is rebuilt, a row of its old definition may be there.
        verb = "INSERT OR IGNORE" if table in COLUMNS else "INSERT"
        statement = _INSERTIONS[key] = f"{verb} INTO {table} VALUES {','.join([row] * size)}"
    return statement


_INSERTIONS: dict[tuple[str, int], str] = {}
