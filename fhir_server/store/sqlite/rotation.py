"""Rotating keys while the store serves: everything sealed anew, then the old keys retired."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial

from fhir_server.crypto.keys import KeyRing
from fhir_server.store.sqlite import classes, dictionaries, seals, state_seals
from fhir_server.store.sqlite.batch import Tools
from fhir_server.store.sqlite.names import Names
from fhir_server.store.sqlite.reader import UNLIMITED, Readers, Session
from fhir_server.store.sqlite.writer import Writer

Progress = Callable[[int, int], None]
"""It is given how many are done, of how many."""


class Rotation:
    """Works on the payloads of one store."""

    def __init__(self, readers: Readers, writer: Writer, names: Names, tools: Tools, ring: KeyRing) -> None:
        self._readers = readers
        self._writer = writer
        self._names = names
        self._tools = tools
        self._ring = ring

    async def reseal(self, progress: Progress | None = None) -> int:
        """Seal every payload that is not under the active key anew; return how many."""
        self._tools.envelope.refresh()
        names, envelope = self._names, self._tools.envelope
        total = await self._readers.run(
            lambda session: seals.count_old(session.connection, envelope.header),
            quick=False,
            seconds=UNLIMITED,
        )
        done, position = 0, 0
        following: int | None = 0
        while following is not None:
            position = following
            following, some = await self._writer.run(
                partial(seals.reseal, names, envelope, self._tools.opener, position)
            )
            done += some
            if progress:
                progress(done, max(total, done))
        for others in (state_seals.reseal, classes.reseal, dictionaries.reseal):
            while some := await self._writer.run(partial(others, envelope=envelope)):
                done += some
        return done

    async def retire(self) -> tuple[int, ...]:
        """Remove from the key ring the data keys that seal no payload any more; return their numbers."""

        def old(session: Session) -> tuple[int, set[int]]:
            newest = seals.newest(session.connection)
            return newest, seals.keys_in_use(session.connection)

        newest, in_use = await self._readers.run(old, quick=False, seconds=UNLIMITED)

        def work(connection: sqlite3.Connection) -> set[int]:
            # Inside the turn nobody writes, and every writer looks at the ring when its turn comes: a key
            # that is neither active nor in use now never will be again. What came since is counted here.
            kept = in_use | seals.keys_in_use(connection, newest) | {self._tools.envelope.active}
            seals.forget_all_but(connection, kept)
            return kept

        # The proofs go first: a proof without its key would keep the store from opening.
        return self._ring.retire(await self._writer.run(work))
