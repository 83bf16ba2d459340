"""The embedded store: one SQLite file, sealed payloads, a blind index, one writer, many readers.

Implements :class:`fhir_server.store.api.Store`; see decision 0002 for the layout.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final, cast

from fhir_server.clock import now_ms
from fhir_server.crypto.blind import BlindIndex
from fhir_server.crypto.envelope import Envelope
from fhir_server.crypto.keys import KeyRing
from fhir_server.faults import Fault, Kind
from fhir_server.search.predicate import EVERYTHING, Everything
from fhir_server.search.query import Position, Query
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import (
    Change,
    Condition,
    Facts,
    HistoryPage,
    HistoryQuery,
    Page,
    Prepared,
    Reclass,
    Stamps,
    Stored,
)
from fhir_server.store.bodies import opening
from fhir_server.store.learning import SCHEDULE
from fhir_server.store.sqlite import classes, functions, schema, state_seals
from fhir_server.store.sqlite.about import patient_of
from fhir_server.store.sqlite.batch import SqlitePrepared, Tools, seal
from fhir_server.store.sqlite.classes import SqlitePolicies
from fhir_server.store.sqlite.compile import Compiler
from fhir_server.store.sqlite.fragment import TRUE
from fhir_server.store.sqlite.functions import Extractor
from fhir_server.store.sqlite.held import NONE_HELD, Held
from fhir_server.store.sqlite.jobs import SqliteJobs
from fhir_server.store.sqlite.learned import Learner
from fhir_server.store.sqlite.names import Names, Unallotted
from fhir_server.store.sqlite.opening import FILE, make_ready
from fhir_server.store.sqlite.origin import SqliteOrigin
from fhir_server.store.sqlite.pages import page_of
from fhir_server.store.sqlite.parameters import SqliteParameters
from fhir_server.store.sqlite.past import Matcher, Past
from fhir_server.store.sqlite.reader import UNLIMITED, Readers, Session
from fhir_server.store.sqlite.records import CURRENT, Opener, json_array
from fhir_server.store.sqlite.rotation import Progress, Rotation
from fhir_server.store.sqlite.rows import rows_of
from fhir_server.store.sqlite.search import Searcher
from fhir_server.store.sqlite.seen import Seen
from fhir_server.store.sqlite.shapes import Shape, shape_of
from fhir_server.store.sqlite.soundness import inspect
from fhir_server.store.sqlite.stamps import Changes, SqliteStamps
from fhir_server.store.sqlite.state import SqliteState
from fhir_server.store.sqlite.trouble import closed, unavailable
from fhir_server.store.sqlite.turns import Turns
from fhir_server.store.sqlite.writer import Writer

_SCAN_CHUNK: Final = 200
_DELETION: Final = f"{CURRENT} AND h.state={schema.DELETED}"
_INLINE_COUNT: Final = 200


@dataclass(frozen=True, slots=True)
class Options:
    """What may be set: limits of a search and of waiting for a lock in seconds, reader threads, the clock.

    ``governing``: types by which others are decided on; a commit that touches one changes
    ``Stamps.governing``. ``learning``: how many versions there are when a compression dictionary is learned.
    """

    search_seconds: float = 5.0
    lock_seconds: float = 5.0
    threads: int = 4
    clock: Callable[[], int] = now_ms
    governing: frozenset[str] = frozenset()
    learning: tuple[int, ...] = SCHEDULE


class SqliteStore:
    """The store in one folder. Make it with :meth:`open`; use it from one event loop."""

    def __init__(
        self, folder: Path, ring: KeyRing, names: Names, tools: Tools, matcher: Matcher, options: Options
    ) -> None:
        self._path = folder / FILE
        self._ring = ring
        self._lock_seconds = options.lock_seconds
        self._tools = tools
        self._names = names
        self._closed = False
        self._past = Past(names, tools, matcher)

        texts = functions.Texts()

        def connect(*, writing: bool) -> schema.Connection:
            connection = schema.connect(self._path, writing=writing, busy_seconds=options.lock_seconds)
            judge = functions.Judge(tools.opener, tools.extractor, tools.blind, texts, options.clock)
            functions.register(connection, judge)
            return connection

        self._turns = Turns(folder, seconds=options.lock_seconds)
        self._readers = Readers(
            lambda: connect(writing=False), threads=options.threads, seconds=options.search_seconds
        )
        self._readers.point(names.load)
        self._changes = Changes(folder)
        self._seen = Seen(names, tools.blind, self._changes)
        self._stamps = SqliteStamps(self._changes, self._readers)
        self._writer = Writer(lambda: connect(writing=True), self._turns, self._changes, names, tools)
        self._rotation = Rotation(self._readers, self._writer, names, tools, ring)
        self._learner = Learner(self._readers, self._writer, names, tools, options.learning)
        self.state = SqliteState(
            self._readers, self._writer, self._changes, tools.envelope, tools.blind, options.clock
        )
        self.jobs = SqliteJobs(self._readers, self._writer)
        self.policies = SqlitePolicies(self._readers, tools.envelope, tools.blind)
        self.parameters = SqliteParameters(self._readers, self._writer, names, tools)

    @classmethod
    def open(
        cls,
        folder: Path,
        ring: KeyRing,
        *,
        extractor: Extractor,
        matcher: Matcher,
        clinical: Mapping[str, str] = MappingProxyType({}),
        options: Options | None = None,
    ) -> SqliteStore:
        """Open the store in ``folder``, making it when there is none.

        ``extractor``: type and body to searchable values, as they filled ``Change.values``; ``matcher``:
        whether a body satisfies a predicate, for old versions; ``clinical``: by type, the search parameter
        that ``Values.clinical`` is the value of. Raises KeyFault for a wrong ring, Fault(UNAVAILABLE) for a
        file that is newer than this program or that cannot be used.
        """
        options = options or Options()
        envelope = Envelope(ring)
        blind = BlindIndex(ring.suite.digest(ring.index_key))
        names = Names()
        tools = Tools(envelope, Opener(envelope, names), blind, extractor, clinical, options.governing)
        try:
            make_ready(folder, ring, tools, busy_seconds=options.lock_seconds)
            return cls(folder, ring, names, tools, matcher, options)
        except sqlite3.Error as error:
            raise unavailable(error) from error
        except OSError as error:
            raise Fault(
                Kind.UNAVAILABLE, "The data folder cannot be used; check its path, owner and free space."
            ) from error

    async def stamps(self) -> Stamps:
        """Return the stamps as the last commit of any process left them."""
        if self._closed:
            raise closed()
        return self._stamps.read()

    async def read(self, visibility: Visibility, type_: str, id_: str) -> Stored | None:
        """Return the current version, a deletion included; None when unknown or not visible."""
        digest = self._tools.blind.target(f"{type_}/{id_}")
        stored = self._readers.point(lambda connection: self._current(connection, visibility, type_, digest))
        return stored if stored and stored.id == id_ else None

    def _current(
        self, connection: sqlite3.Connection, visibility: Visibility, type_: str, digest: int
    ) -> Stored | None:
        """Return what may be seen, judged by the statement that fetches it; a deletion by what it deleted."""
        opener = self._tools.opener
        whole = visibility.is_everything or isinstance(visibility.of(type_), Everything)
        test = TRUE if whole else self._seen.test(connection, visibility, type_)
        live = "" if whole else f" AND h.state={schema.LIVE} AND {test.text}"
        row = connection.execute(CURRENT + live, (digest, *test.args)).fetchone()
        if row is not None:
            return opener.stored(connection, row)
        # A record that is there and hidden is not opened: it must cost what an unknown one costs.
        row = None if whole else connection.execute(_DELETION, (digest,)).fetchone()
        gone = None if row is None else opener.stored(connection, row)
        return gone if gone and self._past.visible(connection, visibility, digest, gone) else None

    async def read_version(self, visibility: Visibility, type_: str, id_: str, version: int) -> Stored | None:
        """Return one version, a deletion included; None when unknown or not visible as it was then."""
        digest = self._tools.blind.target(f"{type_}/{id_}")
        stored = self._readers.point(
            lambda connection: self._past.version(connection, visibility, digest, version)
        )
        return stored if stored and stored.id == id_ else None

    async def read_many(self, visibility: Visibility, keys: Sequence[tuple[str, str]]) -> list[Stored]:
        """Return the current, undeleted, visible ones among (type, id) ``keys``, in that order, each once."""
        wanted = {self._tools.blind.target(f"{type_}/{id_}"): (type_, id_) for type_, id_ in keys}

        def work(session: Session) -> list[Stored]:
            seen = self._visible(session.connection, visibility, wanted)
            found = self._tools.opener.current(session.connection, seen.values())
            return [
                stored
                for digest, stored in zip(seen, found, strict=True)
                if (stored.type, stored.id) == wanted[digest]
            ]

        return await self._readers.run(work, quick=len(wanted) <= _INLINE_COUNT)

    def _visible(
        self, connection: sqlite3.Connection, visibility: Visibility, wanted: Mapping[int, tuple[str, str]]
    ) -> dict[int, int]:
        """Return digest → stable number of the live and visible ones, in the order of ``wanted``."""
        compiler = Compiler(connection, self._names, self._tools.blind)
        found: dict[int, int] = {}
        for type_ in dict.fromkeys(type_ for type_, _ in wanted.values()):
            digests = json_array(digest for digest, key in wanted.items() if key[0] == type_)
            test = compiler.test(type_, visibility.restrict(type_, EVERYTHING), "h.sk")
            found.update(
                connection.execute(
                    "SELECT i.h, h.sk FROM json_each(?) j CROSS JOIN ids i ON i.h=j.value"
                    f" CROSS JOIN head h ON h.sk=i.sk AND h.state={schema.LIVE} WHERE {test.text}",
                    (digests, *test.args),
                )
            )
        return {digest: found[digest] for digest in wanted if digest in found}

    async def search(self, visibility: Visibility, query: Query) -> Page:
        """Return the page of what satisfies the query and may be seen."""
        where = visibility.restrict(query.type, query.where)

        def work(session: Session) -> Page:
            began = time.perf_counter_ns()
            held = self._seen.held(session.connection, visibility, query.type)
            searcher = self._searcher(session.connection, held)
            matches = searcher.page(query, where) if query.count or query.explain else []
            plan = searcher.explained() if query.explain else None
            total = searcher.total(query.type, where) if query.total == "accurate" else None
            page = page_of(self._tools.opener, session, query, matches, total)
            if plan is None:
                return page
            return replace(page, plan={**plan, "microseconds": (time.perf_counter_ns() - began) // 1000})

        def shape() -> Shape:
            whole = visibility.is_everything or isinstance(visibility.of(query.type), Everything)
            return shape_of(query, is_guarded=not whole)

        return await self._readers.run(work, shape=shape)

    def _searcher(self, connection: sqlite3.Connection, held: Held = NONE_HELD) -> Searcher:
        return Searcher(Compiler(connection, self._names, self._tools.blind, held), self._tools.clinical)

    async def history(self, visibility: Visibility, query: HistoryQuery) -> HistoryPage:
        """Return versions that may be seen, newest first, each judged by its own content."""
        digest = None if query.id is None else self._tools.blind.target(f"{query.type}/{query.id}")
        return await self._readers.run(
            lambda session: self._past.page(session, visibility, query, digest),
            quick=query.count <= _INLINE_COUNT,
        )

    def prepare(self, change: Change) -> SqlitePrepared:
        """Seal and digest one change. Pure CPU: callers with many yield to the loop between them."""
        beginning = opening(change.type, change.id)
        if change.method != "DELETE" and not change.body.startswith(beginning):
            raise ValueError("a body must be canonical: resourceType and id first, as in the change")
        digest = self._tools.blind.target(f"{change.type}/{change.id}")
        rows = None
        if change.values is not None:
            with contextlib.suppress(Unallotted):
                numbers, timed = self._names.params(change.type), self._tools.is_timed(change.type)
                rows = rows_of(change.values, numbers, self._tools.blind, timed=timed, updated=change.updated)
        patient = patient_of(change.values, self._tools.blind)
        return SqlitePrepared(change, digest, seal(self._tools.envelope, change, digest), rows, patient)

    async def commit(
        self,
        prepared: Sequence[Prepared],
        conditions: Sequence[Condition] = (),
        reclasses: Sequence[Reclass] = (),
    ) -> None:
        """Write all or nothing, durably, before returning."""
        await self._writer.commit(cast("Sequence[SqlitePrepared]", prepared), conditions, reclasses)
        self._learner.wrote(len(prepared))

    async def scan(self, visibility: Visibility, type_: str | None = None) -> AsyncIterator[Stored]:
        """Yield every current visible resource in order of creation, as it is when its turn comes."""
        self._readers.point(self._names.load)
        for name in self._names.types() if type_ is None else (type_,):
            where = visibility.restrict(name, EVERYTHING)
            after: Position | None = None
            while True:
                query = Query(name, where, count=_SCAN_CHUNK, after=after)
                page = await self._readers.run(partial(self._chunk, query), quick=False, seconds=UNLIMITED)
                for stored in page.matches:
                    yield stored
                if page.next is None:
                    break
                after = page.next

    def _chunk(self, query: Query, session: Session) -> Page:
        matches = self._searcher(session.connection).page(query, query.where)
        return page_of(self._tools.opener, session, query, matches)

    async def facts(self) -> Facts:
        """Count and measure."""

        def work(session: Session) -> tuple[dict[str, int], int]:
            counted = session.connection.execute(
                "SELECT t.name, (SELECT count(*) FROM head h"
                " WHERE h.sk>=t.t<<? AND h.sk<(t.t+1)<<? AND h.state=?) FROM type t ORDER BY t.name",
                (schema.SEQUENCE_BITS, schema.SEQUENCE_BITS, schema.LIVE),
            )
            resources = {name: number for name, number in counted if number}
            versions = session.connection.execute("SELECT total(ver) FROM head").fetchone()[0]
            return resources, int(versions)

        resources, versions = await self._readers.run(work, quick=False, seconds=UNLIMITED)
        files = (self._path, self._path.with_name(f"{FILE}-wal"))
        size = sum(file.stat().st_size for file in files if file.exists())
        return Facts("sqlite", schema.VERSION, self._ring.suite.name, resources, versions, size)

    async def check(self) -> list[str]:
        """Look for damage: unreadable payloads, index rows that differ from their resource. [] = sound."""
        tools = self._tools

        def work(session: Session) -> list[str]:
            connection = session.connection
            found = inspect(connection, self._names, tools)
            found += classes.damage(connection, tools.envelope, tools.blind)
            return [*found, *state_seals.damage(connection, tools.envelope)]

        return await self._readers.run(work, quick=False, seconds=UNLIMITED)

    async def ready(self) -> bool:
        """Tell whether it can answer and take commits now."""
        try:
            self._readers.point(lambda connection: connection.execute("SELECT 1 FROM meta").fetchone())
        except Fault:
            return False
        return self._writer.alive

    def origin(self) -> SqliteOrigin:
        """Return what tells everything that this store keeps, for another one to take over."""
        turns = partial(Turns, self._path.parent, seconds=self._lock_seconds)
        return SqliteOrigin(self._readers, self._tools, self.policies, self.state, self.parameters, turns)

    async def reseal(self, progress: Progress | None = None) -> int:
        """Seal every payload that is not under the active key anew, while the store serves; return how many.

        ``progress`` is given how many are done, of how many.
        """
        return await self._rotation.reseal(progress)

    async def retire(self) -> tuple[int, ...]:
        """Remove from the key ring the data keys that seal no payload any more; return their numbers."""
        return await self._rotation.retire()

    async def close(self) -> None:
        """Finish writes under way and release the files."""
        if self._closed:
            return
        self._closed = True
        await self._learner.close()
        await self._writer.close()
        await self._readers.close()
        self._turns.close()
        self._changes.close()
