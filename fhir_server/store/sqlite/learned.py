"""When the store learns a compression dictionary from its records.

At its first few thousand versions, and again when it has ten times as many: records of other kinds may have
come. What a dictionary may hold is said in :mod:`fhir_server.crypto.learn`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import sqlite3
from collections.abc import Sequence
from random import SystemRandom
from typing import Final

from fhir_server.crypto.envelope import FIRST_LEARNED
from fhir_server.crypto.learn import learn
from fhir_server.faults import Fault
from fhir_server.store.bodies import DELETE, id_of
from fhir_server.store.sealed import DICTIONARY
from fhir_server.store.sqlite import dictionaries
from fhir_server.store.sqlite.batch import Tools
from fhir_server.store.sqlite.names import Names
from fhir_server.store.sqlite.reader import UNLIMITED, Readers, Session
from fhir_server.store.sqlite.records import json_array
from fhir_server.store.sqlite.writer import Writer

SCHEDULE: Final = (2_000, 20_000, 200_000)
"""Versions in the store at which a dictionary is learned."""

_LOG: Final = logging.getLogger(__name__)
_LEAST, _MOST = 1_500, 4_000
"""Versions of a sample, which is a fifth of all within these bounds."""

_WORTH: Final = 0.95
"""A new dictionary is kept when payloads come to this share of what they were, or less."""

_VERSIONS: Final = (
    "SELECT v.sk, h.h, v.ver, v.payload FROM json_each(?) j CROSS JOIN version v ON v.rk=j.value"
    f" AND v.method!={DELETE} CROSS JOIN head h ON h.sk=v.sk"
)


def _give_back() -> None:
    """Return what the training took to the system: some 40 of 60 MB that the C library would keep."""
    with contextlib.suppress(OSError, AttributeError):  # not every C library is GNU's
        ctypes.CDLL(None).malloc_trim(0)


class Learner:
    """Learns when it is due, beside other work. ``wrote`` is told of every commit of this process."""

    def __init__(
        self, readers: Readers, writer: Writer, names: Names, tools: Tools, schedule: Sequence[int]
    ) -> None:
        self._readers = readers
        self._writer = writer
        self._names = names
        self._tools = tools
        self._schedule = schedule
        self._versions, self._due = readers.point(self._next)
        self._task: asyncio.Task[None] | None = None

    def wrote(self, versions: int) -> None:
        """Note that so many versions were committed; begin to learn when it is time."""
        self._versions += versions
        if self._due is not None and self._versions >= self._due and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._learn())

    async def close(self) -> None:
        """Give up what is under way."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _next(self, connection: sqlite3.Connection) -> tuple[int, int | None]:
        """Return how many versions there are, and at how many it is time to learn; None: no more."""
        found = connection.execute("SELECT coalesce(max(rk), 0) FROM version").fetchone()[0]
        done = connection.execute("SELECT value FROM meta WHERE key='learned'").fetchone()
        return found, next((due for due in self._schedule if done is None or due > done[0]), None)

    async def _learn(self) -> None:
        """Learn from a sample, keep what is worth it, and say how far the schedule is done."""
        try:
            self._versions, self._due = self._readers.point(self._next)
            if self._due is not None and self._versions >= self._due:
                content = await self._readers.run(self._trained, quick=False, seconds=UNLIMITED)
                _give_back()
                await self._writer.run(lambda connection: self._keep(connection, content))
                self._versions, self._due = self._readers.point(self._next)
            # Its own, or what another process has learned.
            self._readers.point(lambda connection: dictionaries.adopt_all(connection, self._tools.envelope))
        except Fault as fault:
            # Not needed for anything but room; it is tried again when the next part of the schedule is due.
            _LOG.warning("no dictionary was learned: %s", fault.diagnostics)
            self._due = next((due for due in self._schedule if due > self._versions), None)
        self._task = None

    def _trained(self, session: Session) -> bytes | None:
        """Return a dictionary that makes payloads enough smaller; None when there is none."""
        connection, tools = session.connection, self._tools
        newest = connection.execute("SELECT coalesce(max(rk), 0) FROM version").fetchone()[0]
        count = min(max(_LEAST, newest // 5), _MOST, newest)
        chosen = SystemRandom().sample(range(1, newest + 1), count)
        samples: list[tuple[str, bytes]] = []
        for sk, digest, version, payload in connection.execute(_VERSIONS, (json_array(chosen),)):
            type_ = self._names.type_name(connection, sk)
            body = tools.opener.body(type_, digest, version, payload)
            about = tools.extractor(type_, body).patients
            samples.append((about[0] if about else f"{type_}/{id_of(type_, body)}", body))
        content = learn(samples)
        if content is None or tools.envelope.shrinks(content, [body for _, body in samples]) > _WORTH:
            return None
        return content

    def _keep(self, connection: sqlite3.Connection, content: bytes | None) -> None:
        """Write down the dictionary and how far the schedule is done, unless another process did so."""
        versions, due = self._next(connection)
        if due is None or due > versions:
            return
        reached = max(each for each in self._schedule if each <= versions)
        connection.execute("INSERT OR REPLACE INTO meta VALUES('learned', ?)", (reached,))
        if content is not None:
            # The schedule is far shorter than the numbers that one byte leaves.
            found = connection.execute(
                "SELECT coalesce(max(number) + 1, ?) FROM dictionary", (FIRST_LEARNED,)
            )
            number = found.fetchone()[0]
            payload = self._tools.envelope.seal_plainly(DICTIONARY, number, 0, content)
            connection.execute("INSERT INTO dictionary VALUES(?, ?)", (number, payload))
