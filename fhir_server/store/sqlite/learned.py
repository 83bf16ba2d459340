"""Learning compression dictionaries from the records in the file (:mod:`fhir_server.store.learning`)."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from random import SystemRandom
from typing import Final

from fhir_server.crypto.envelope import FIRST_LEARNED
from fhir_server.store import learning
from fhir_server.store.bodies import DELETE, id_of
from fhir_server.store.learning import Counted, Sample, reached, sample_size, trained
from fhir_server.store.sealed import DICTIONARY
from fhir_server.store.sqlite import dictionaries
from fhir_server.store.sqlite.batch import Tools
from fhir_server.store.sqlite.names import Names
from fhir_server.store.sqlite.reader import UNLIMITED, Readers, Session
from fhir_server.store.sqlite.records import json_array
from fhir_server.store.sqlite.writer import Writer

_VERSIONS: Final = (
    "SELECT v.sk, h.h, v.ver, v.payload FROM json_each(?) j CROSS JOIN version v ON v.rk=j.value"
    f" AND v.method!={DELETE} CROSS JOIN head h ON h.sk=v.sk"
)


class Learner(learning.Learner):
    """Learns from the records of one file."""

    def __init__(
        self, readers: Readers, writer: Writer, names: Names, tools: Tools, schedule: Sequence[int]
    ) -> None:
        super().__init__(schedule, readers.point(_count))
        self._readers = readers
        self._writer = writer
        self._names = names
        self._tools = tools

    async def _count(self) -> Counted:
        return self._readers.point(_count)

    async def _train(self) -> bytes | None:
        return await self._readers.run(self._trained, quick=False, seconds=UNLIMITED)

    async def _keep(self, content: bytes | None) -> None:
        await self._writer.run(lambda connection: self._kept(connection, content))

    async def _adopt(self) -> None:
        self._readers.point(lambda connection: dictionaries.adopt_all(connection, self._tools.envelope))

    def _trained(self, session: Session) -> bytes | None:
        connection, tools = session.connection, self._tools
        newest = _count(connection).versions
        chosen = SystemRandom().sample(range(1, newest + 1), sample_size(newest))
        samples: list[Sample] = []
        for sk, digest, version, payload in connection.execute(_VERSIONS, (json_array(chosen),)):
            type_ = self._names.type_name(connection, sk)
            body = tools.opener.body(type_, digest, version, payload)
            about = tools.extractor(type_, body).patients
            samples.append((about[0] if about else f"{type_}/{id_of(type_, body)}", body))
        return trained(samples, tools.envelope)

    def _kept(self, connection: sqlite3.Connection, content: bytes | None) -> None:
        done = reached(self._schedule, _count(connection))
        if done is None:
            return
        connection.execute("INSERT OR REPLACE INTO meta VALUES('learned', ?)", (done,))
        if content is not None:
            # The schedule is far shorter than the numbers that one byte leaves.
            found = connection.execute(
                "SELECT coalesce(max(number) + 1, ?) FROM dictionary", (FIRST_LEARNED,)
            )
            number = found.fetchone()[0]
            payload = self._tools.envelope.seal_plainly(DICTIONARY, number, 0, content)
            connection.execute("INSERT INTO dictionary VALUES(?, ?)", (number, payload))


def _count(connection: sqlite3.Connection) -> Counted:
    versions = connection.execute("SELECT coalesce(max(rk), 0) FROM version").fetchone()[0]
    done = connection.execute("SELECT value FROM meta WHERE key='learned'").fetchone()
    return Counted(versions, 0 if done is None else done[0])
