"""Durable jobs in the store's file: queued, claimed by one process, taken over when that one falls silent."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid4

import msgspec

from fhir_server.store.sqlite.reader import Readers
from fhir_server.store.sqlite.writer import Writer
from fhir_server.store.upkeep import Job, JobState, JobUnderWay

_KEPT: Final = 100
"""Finished jobs that are remembered."""

_COLUMNS: Final = "id, kind, parameters, state, created, beat, progress, outcome, owner, cancelled"
_UNFINISHED: Final = "state IN ('queued', 'running')"
_CLAIMABLE: Final = (
    "(state='queued' OR (state='running' AND beat<?)) AND kind IN (SELECT value FROM json_each(?))"
)

_write = msgspec.json.encode
_read = msgspec.json.decode


class SqliteJobs:
    """Implements :class:`fhir_server.store.upkeep.Jobs`."""

    def __init__(self, readers: Readers, writer: Writer) -> None:
        self._readers = readers
        self._writer = writer
        self._added = asyncio.Event()

    async def add(self, kind: str, parameters: Mapping[str, Any], now: int) -> Job:
        """Queue a job; raises JobUnderWay while another of its kind is unfinished."""
        job = Job(uuid4().hex, kind, parameters, "queued", now, now, {})

        def work(connection: sqlite3.Connection) -> None:
            row = connection.execute(
                f"SELECT id FROM job WHERE kind=? AND {_UNFINISHED} LIMIT 1", (kind,)
            ).fetchone()
            if row is not None:
                raise JobUnderWay(row[0])
            connection.execute(
                f"INSERT INTO job({_COLUMNS}) VALUES(?, ?, ?, 'queued', ?, ?, '{{}}', '', '', 0)",
                (job.id, kind, _text(parameters), now, now),
            )
            connection.execute(
                "DELETE FROM job WHERE id IN (SELECT id FROM job WHERE state NOT IN ('queued', 'running')"
                " ORDER BY created DESC LIMIT -1 OFFSET ?)",
                (_KEPT,),
            )

        await self._writer.run(work)
        self._added.set()
        return job

    async def get(self, id_: str) -> Job | None:
        """Return a job; None when unknown."""
        return self._readers.point(lambda connection: _get(connection, id_))

    async def claim(self, owner: str, kinds: frozenset[str], now: int, silent_since: int) -> Job | None:
        """Take the oldest job that is queued, or whose owner was not heard of since ``silent_since``."""
        choice = (
            f"SELECT id FROM job WHERE {_CLAIMABLE} ORDER BY created, id LIMIT 1",
            (silent_since, _text(sorted(kinds))),
        )
        # Looked for without a write first: the writer's turn is for those who have something to do.
        if self._readers.point(lambda connection: connection.execute(*choice).fetchone()) is None:
            return None

        def work(connection: sqlite3.Connection) -> Job | None:
            row = connection.execute(*choice).fetchone()
            if row is None:
                return None
            connection.execute(
                "UPDATE job SET state='running', owner=?, beat=? WHERE id=?", (owner, now, row[0])
            )
            return _get(connection, row[0])

        return await self._writer.run(work)

    async def save(self, id_: str, owner: str, progress: Mapping[str, Any], now: int) -> Job | None:
        """Write down progress, a sign of life too; None when the job is no longer this owner's."""

        def work(connection: sqlite3.Connection) -> Job | None:
            connection.execute(
                "UPDATE job SET progress=?, beat=? WHERE id=? AND owner=? AND state='running'",
                (_text(progress), now, id_, owner),
            )
            job = _get(connection, id_)
            return job if job is not None and (job.owner, job.state) == (owner, "running") else None

        return await self._writer.run(work)

    async def finish(self, id_: str, owner: str, state: JobState, outcome: str, now: int) -> None:
        """End a job of this owner, or give it back (``queued``) for another process to go on with."""
        statement = (
            "UPDATE job SET state=?, outcome=?, beat=?, owner='' WHERE id=? AND owner=? AND state='running'"
        )
        arguments = (state, outcome, now, id_, owner)
        await self._writer.run(lambda connection: connection.execute(statement, arguments).rowcount)

    async def cancel(self, id_: str, now: int) -> Job | None:
        """Ask for a job to stop; a queued one is cancelled at once. None when unknown."""

        def work(connection: sqlite3.Connection) -> Job | None:
            connection.execute(
                "UPDATE job SET state='cancelled', outcome='Cancelled before it began.', beat=?"
                " WHERE id=? AND state='queued'",
                (now, id_),
            )
            connection.execute("UPDATE job SET cancelled=1 WHERE id=? AND state='running'", (id_,))
            return _get(connection, id_)

        return await self._writer.run(work)

    async def added(self, seconds: float) -> None:
        """Return when this process has added a job, after ``seconds`` at the latest."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._added.wait()
        self._added.clear()


def _get(connection: sqlite3.Connection, id_: str) -> Job | None:
    row = connection.execute(f"SELECT {_COLUMNS} FROM job WHERE id=?", (id_,)).fetchone()
    if row is None:
        return None
    id_, kind, parameters, state, created, beat, progress, outcome, owner, cancelled = row
    return Job(
        id_, kind, _read(parameters), state, created, beat, _read(progress), outcome, owner, bool(cancelled)
    )


def _text(value: object) -> str:
    return _write(value).decode()
