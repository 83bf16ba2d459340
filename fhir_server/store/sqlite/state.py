"""The state records in the store's file: sealed bodies under keyed digests, written by the one writer.

Implements :class:`fhir_server.store.state.State`. What the file tells a thief: how many records there are of
each kind, and when they expire.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from fhir_server.crypto.blind import BlindIndex
from fhir_server.crypto.envelope import Damaged, Envelope
from fhir_server.faults import Fault, Kind
from fhir_server.store import sealed
from fhir_server.store.api import Stale
from fhir_server.store.sqlite.reader import Readers
from fhir_server.store.sqlite.stamps import Changes
from fhir_server.store.sqlite.state_seals import COLUMNS, Row, opened
from fhir_server.store.sqlite.writer import Writer
from fhir_server.store.state import Put, Record, Remove, StateChange

_NEVER: Final = 2**62


class SqliteState:
    """The records of one store; ``clock`` returns ms since the epoch."""

    def __init__(
        self,
        readers: Readers,
        writer: Writer,
        changes: Changes,
        envelope: Envelope,
        blind: BlindIndex,
        clock: Callable[[], int],
    ) -> None:
        self._readers = readers
        self._writer = writer
        self._changes = changes
        self._envelope = envelope
        self._blind = blind
        self._clock = clock

    async def stamp(self) -> int | None:
        """Return the number of the last commit; None during one."""
        number = self._changes.number
        return None if number & 1 else number

    async def get(self, kind: str, key: str) -> Record | None:
        """Return a record; None when absent."""
        arguments = (self._digest(kind, key), self._clock())
        row = self._readers.point(
            lambda connection: connection.execute(
                f"SELECT {COLUMNS} FROM state s WHERE s.h=? AND s.expires>?", arguments
            ).fetchone()
        )
        record = None if row is None else self._open(row)
        return record if record is not None and record.key == key else None

    async def holds(self, kind: str, *keys: str) -> bool:
        """Tell whether there is a record of ``kind`` under any of ``keys``."""
        marks = ",".join("?" * len(keys))
        arguments = (*(self._digest(kind, key) for key in keys), self._clock())
        row = self._readers.point(
            lambda connection: connection.execute(
                f"SELECT 1 FROM state WHERE h IN ({marks}) AND expires>? LIMIT 1", arguments
            ).fetchone()
        )
        return row is not None

    async def find(self, kind: str, tag: str) -> list[Record]:
        """Return the records of ``kind`` that carry ``tag``, in order of their keys."""
        arguments = (self._tag(kind, tag), self._clock())
        rows = self._readers.point(
            lambda connection: connection.execute(
                f"SELECT {COLUMNS} FROM state_tag t CROSS JOIN state s ON s.h=t.h"
                " WHERE t.tag=? AND s.expires>?",
                arguments,
            ).fetchall()
        )
        return self._sorted(record for record in map(self._open, rows) if tag in record.tags)

    async def of_kind(self, kind: str) -> list[Record]:
        """Return all records of ``kind``, in order of their keys."""
        arguments = (kind, self._clock())
        rows = self._readers.point(
            lambda connection: connection.execute(
                f"SELECT {COLUMNS} FROM state s WHERE s.kind=? AND s.expires>?", arguments
            ).fetchall()
        )
        return self._sorted(map(self._open, rows))

    async def apply(self, changes: Sequence[StateChange]) -> None:
        """Write all or nothing, durably; raises Stale when a version is not the expected one."""
        keys = {(change.kind, change.key) for change in changes}
        if len(keys) < len(changes):
            raise Fault(Kind.EXCEPTION, "One write changes the same record twice.")

        def work(connection: sqlite3.Connection) -> None:
            now = self._clock()
            for change in changes:
                self._apply(connection, change, now)

        await self._writer.run(work)

    async def sweep(self) -> int:
        """Remove what has expired; return how many there were."""
        now = self._clock()

        def work(connection: sqlite3.Connection) -> int:
            connection.execute(
                "DELETE FROM state_tag WHERE h IN (SELECT h FROM state WHERE expires<=?)", (now,)
            )
            return connection.execute("DELETE FROM state WHERE expires<=?", (now,)).rowcount

        return await self._writer.run(work)

    def _apply(self, connection: sqlite3.Connection, change: StateChange, now: int) -> None:
        digest = self._digest(change.kind, change.key)
        row = connection.execute("SELECT ver, expires FROM state WHERE h=?", (digest,)).fetchone()
        version = row[0] if row is not None and row[1] > now else 0
        if change.expected is not None and version != change.expected:
            raise Stale
        if isinstance(change, Put):
            self._put(connection, change, digest, version + 1)
        elif isinstance(change, Remove):
            connection.execute("DELETE FROM state_tag WHERE h=?", (digest,))
            connection.execute("DELETE FROM state WHERE h=?", (digest,))

    def _put(self, connection: sqlite3.Connection, change: Put, digest: int, version: int) -> None:
        content = sealed.Record(change.key, change.tags, change.body)
        payload = sealed.seal_record(self._envelope, change.kind, digest, version, content)
        expires = _NEVER if change.expires is None else change.expires
        connection.execute(
            "INSERT OR REPLACE INTO state(h, kind, ver, expires, payload) VALUES(?, ?, ?, ?, ?)",
            (digest, change.kind, version, expires, payload),
        )
        connection.execute("DELETE FROM state_tag WHERE h=?", (digest,))
        tags = {(self._tag(change.kind, tag), digest) for tag in change.tags}
        connection.executemany("INSERT INTO state_tag(tag, h) VALUES(?, ?)", sorted(tags))

    def _digest(self, kind: str, key: str) -> int:
        return sealed.record_digest(self._blind, kind, key)

    def _tag(self, kind: str, tag: str) -> int:
        return sealed.tag_digest(self._blind, kind, tag)

    def _open(self, row: Row) -> Record:
        _, kind, version, expires, _ = row
        try:
            content = opened(self._envelope, row)
        except Damaged:
            raise sealed.unreadable_record() from None
        return Record(
            kind, content.key, version, content.body, None if expires == _NEVER else expires, content.tags
        )

    @staticmethod
    def _sorted(records: Iterable[Record]) -> list[Record]:
        return sorted(records, key=lambda record: record.key)
