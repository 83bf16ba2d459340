"""Everything that a SQLite store keeps, as another store takes it over (:mod:`fhir_server.store.transfer`).

``version`` lists all versions in order of time, so that its numbers say how far a transfer is.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from typing import Final, TypeVar

from fhir_server.store.policies import Standing
from fhir_server.store.sealed import open_standing
from fhir_server.store.sqlite.batch import Tools
from fhir_server.store.sqlite.classes import SqlitePolicies
from fhir_server.store.sqlite.parameters import SqliteParameters
from fhir_server.store.sqlite.reader import UNLIMITED, Readers, Session
from fhir_server.store.sqlite.state import SqliteState
from fhir_server.store.sqlite.turns import Turns
from fhir_server.store.state import Record
from fhir_server.store.transfer import Kept

T = TypeVar("T")

_CHUNK: Final = 500
_VERSIONS: Final = (
    "SELECT h.sk, h.h, v.ver, v.upd, v.method, v.payload, v.rk, coalesce(f.rk, h.rk), n.upd"
    " FROM version v CROSS JOIN head h ON h.sk=v.sk"
    # A resource with one version has no history.
    " LEFT JOIN history f ON f.sk=v.sk AND f.ver=1"
    " LEFT JOIN history n ON n.sk=v.sk AND n.ver=v.ver+1"
)
_AFTER: Final = f"{_VERSIONS} WHERE v.rk>? ORDER BY v.rk LIMIT ?"
_OVERTAKEN: Final = (
    f"{_VERSIONS} WHERE v.rk>? AND v.rk<=? AND v.ver+1 IN (SELECT ver FROM history WHERE sk=v.sk AND rk>?)"
    " ORDER BY v.rk LIMIT ?"
)


class SqliteOrigin:
    """Implements :class:`fhir_server.store.transfer.Origin`; each chunk is read on a snapshot of its own."""

    def __init__(
        self,
        readers: Readers,
        tools: Tools,
        policies: SqlitePolicies,
        state: SqliteState,
        parameters: SqliteParameters,
        turns: Callable[[], Turns],
    ) -> None:
        self._readers = readers
        self._tools = tools
        self._policies = policies
        self._state = state
        self._parameters = parameters
        self._turns = turns

    @contextlib.contextmanager
    def still(self) -> Iterator[None]:
        """Keep every process from writing within the block: what is told belongs together.

        Its servers go on reading and refuse writes (503). Fault UNAVAILABLE when others keep writing.
        """
        turns = self._turns()
        try:
            with turns.turn():
                yield
        finally:
            turns.close()

    async def newest(self) -> int:
        """Return the number of the newest version; 0 in an empty store."""
        return await self._number("SELECT coalesce(max(rk), 0) FROM version")

    async def count(self) -> int:
        """Return how many versions there are."""
        return await self._number("SELECT count(*) FROM version")

    async def versions(self, after: int = 0) -> AsyncIterator[Sequence[Kept]]:
        """Yield the versions with greater numbers than ``after`` in order of time, some at a time."""
        while chunk := await self._chunk(_AFTER, after):
            yield chunk
            after = chunk[-1].number

    async def overtaken(self, since: int) -> AsyncIterator[Sequence[Kept]]:
        """Yield the versions numbered up to ``since`` that a version with a greater number came after."""
        after = 0
        while chunk := await self._chunk(_OVERTAKEN, after, since, since):
            yield chunk
            after = chunk[-1].number

    async def rules(self) -> list[tuple[int, bytes]]:
        """Return the numbers and rules of all policy classes, in order."""
        return await self._policies.rules()

    async def standings(self) -> AsyncIterator[Sequence[Standing]]:
        """Yield how each patient stands of whom anything is written down, some at a time."""
        after = -(2**63)
        while True:
            names, after = await self._run(partial(self._patients, after))
            if not names:
                return
            yield await self._policies.standing(names)

    async def records(self) -> list[Record]:
        """Return the state records that have not expired."""

        def kinds(session: Session) -> list[str]:
            rows = session.connection.execute("SELECT DISTINCT kind FROM state ORDER BY kind")
            return [kind for (kind,) in rows]

        return [record for kind in await self._run(kinds) for record in await self._state.of_kind(kind)]

    async def parameters(self) -> tuple[int, bytes]:
        """Return the generation and the text of the custom search parameters."""
        return await self._parameters.read()

    async def _chunk(self, statement: str, *args: int) -> list[Kept]:
        def work(session: Session) -> list[Kept]:
            connection = session.connection
            rows = connection.execute(statement, (*args, _CHUNK)).fetchall()
            return [
                Kept(number, created, until, self._tools.opener.stored(connection, row))
                for *row, number, created, until in rows
            ]

        return await self._run(work)

    def _patients(self, after: int, session: Session) -> tuple[list[str], int]:
        rows = session.connection.execute(
            "SELECT k, ver, payload FROM standing WHERE k>? ORDER BY k LIMIT ?", (after, _CHUNK)
        ).fetchall()
        names = [open_standing(self._tools.envelope, *row).patient for row in rows]
        return names, rows[-1][0] if rows else after

    async def _number(self, statement: str) -> int:
        return await self._run(lambda session: int(session.connection.execute(statement).fetchone()[0]))

    async def _run(self, work: Callable[[Session], T]) -> T:
        return await self._readers.run(work, quick=False, seconds=UNLIMITED)
