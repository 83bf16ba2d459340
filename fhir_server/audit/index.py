"""The indexer: reads the log and stores its AuditEvents where they can be searched.

The log is the truth and the index a view of it: it may be deleted at any time and is made anew. Of all
processes that share a log one indexes, whichever has the turn. It works little while requests come in
(:data:`SHARE`, :data:`BUSY_SHARE`) and as fast as it can when none do.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from fhir_server.audit.chain import Broken
from fhir_server.audit.coding import Origin
from fhir_server.audit.entry import Entry, Undecodable
from fhir_server.audit.events import audit_events, id_of
from fhir_server.audit.keys import AuditKeys
from fhir_server.audit.segment import BadSegment, Reading
from fhir_server.audit.shelf import Position, Segment, Shelf, Turn
from fhir_server.clock import instant
from fhir_server.faults import Fault
from fhir_server.resources.codec import encode, with_meta
from fhir_server.search.values import Values
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import Change, Stale, Store

CHUNK: Final = 64
"""AuditEvents in one commit."""
SHARE: Final = 0.25
BUSY_SHARE: Final = 0.02
"""Part of a processor that indexing takes while requests come in, and while many do."""
BUSY_RATE: Final = 500
"""Entries a second that are many."""
PAUSE_SECONDS: Final = 1.0
_YIELD_EVERY: Final = 4
_PATIENCE: Final = 3
"""Passes in a row that a chain may not be followed before that is said."""

_LOG = logging.getLogger("fhir_server.audit")
_ALL = Visibility.everything("audit index")


T = TypeVar("T")


@dataclass(slots=True)
class Indexer:
    """Brings the index in ``store`` after the log on ``shelf``; one process at a time does.

    ``busy`` returns a number that grows with every request; ``extract`` the searchable values of a tree.
    """

    shelf: Shelf
    keys: AuditKeys
    store: Store
    extract: Callable[[dict[str, Any]], Values]
    origin: Origin
    busy: Callable[[], int] = lambda: 0
    _task: asyncio.Task[None] | None = None
    _trouble: dict[str, tuple[str, int]] = field(default_factory=dict)
    _passing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _taking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _is_mine: bool = False
    # One thread, so that a turn that is being taken while its task is cancelled is given back after that.
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "audit-index"))

    def start(self) -> None:
        """Index in the background from now on."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="audit-index")

    async def close(self) -> None:
        """Stop after the commit under way."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await asyncio.to_thread(self._thread.shutdown)

    async def catch_up(self) -> int:
        """Index all that the log holds now; return how many AuditEvents. 0 while another process indexes."""
        async with self._taking:
            if self._is_mine:
                return await self._pass(polite=False)
            turn = self.shelf.turn()
            try:
                return await self._pass(polite=False) if await self._in_thread(turn.acquire) else 0
            finally:
                await self._in_thread(turn.release)

    async def _run(self) -> None:
        while True:
            turn = self.shelf.turn()
            try:
                async with self._taking:
                    self._is_mine = await self._in_thread(turn.acquire)
                while self._is_mine:
                    await self._pass(polite=True)
                    await asyncio.sleep(PAUSE_SECONDS)
                    self._is_mine = turn.is_mine()
            except (Fault, OSError):
                _LOG.exception("The audit index could not be brought up to date")
            finally:
                self._is_mine = False
                await self._give_back(turn)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _give_back(self, turn: Turn) -> None:
        with contextlib.suppress(Fault, OSError):
            await self._in_thread(turn.release)

    async def _in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        """Do what blocks in the indexer's own thread, one thing after the other."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    async def _pass(self, *, polite: bool) -> int:
        """Go through all chains once; two passes never run side by side."""
        async with self._passing:
            return await self._all_chains(polite=polite)

    async def _all_chains(self, *, polite: bool) -> int:
        stored = 0
        for chain, position, segments in await self._in_thread(self._survey):
            try:
                stored += await self._chain(position, segments, polite=polite)
                self._trouble.pop(chain, None)
            except (BadSegment, Broken, Undecodable) as error:
                self._complain(chain, _place(error))
        return stored

    def _survey(self) -> list[tuple[str, Position | None, list[Segment]]]:
        """Return of each chain how far it is indexed, and the segments from there on."""
        positions = self.shelf.positions()
        found = []
        for chain in self.shelf.chains():
            at = positions.get(chain)
            found.append((chain, at, self.shelf.segments(chain, at.segment if at else 1)))
        return found

    def _complain(self, chain: str, place: str) -> None:
        """Say that a chain cannot be followed, once, if it breaks at the same place again and again.

        What moves is no damage: it is a process that writes while this one reads.
        """
        before, passes = self._trouble.get(chain, (place, 0))
        passes = passes + 1 if before == place else 1
        self._trouble[chain] = place, passes
        if passes == _PATIENCE:
            _LOG.critical(
                "The audit log does not follow from itself; `fhir-server audit verify` tells where",
                extra={"fields": {"chain": chain, "place": place}},
            )

    async def _chain(self, at: Position | None, segments: list[Segment], *, polite: bool) -> int:
        stored = 0
        for segment in segments:
            start = at if at is not None and at.segment == segment.number else None
            read = await self._in_thread(_read, self.shelf, self.keys, segment, start)
            if read is not None:
                stored += await self._segment(segment, *read, polite=polite)
        return stored

    async def _segment(self, segment: Segment, reading: Reading, base: int, *, polite: bool) -> int:
        """Store what a segment holds from where ``reading`` stands; its data begin at byte ``base``."""
        stored = 0
        entries = reading.entries_so_far()
        while True:
            before, started = self.busy(), time.perf_counter()
            events = await self._next_events(segment, entries)
            if not events:
                return stored
            await self._store(events)
            chain = reading.chain
            at = Position(segment.number, base + reading.offset, chain.count, chain.last.hex())
            await self._in_thread(self.shelf.keep, segment.chain, at)
            stored += len(events)
            if polite and (came := self.busy() - before):
                seconds = time.perf_counter() - started
                share = BUSY_SHARE if came > BUSY_RATE * seconds else SHARE
                await asyncio.sleep(seconds * (1 / share - 1))

    async def _next_events(self, segment: Segment, entries: Iterator[tuple[int, Entry]]) -> list[Change]:
        """Return the events of the next entries, some :data:`CHUNK`; none at the end of the log."""
        events: list[Change] = []
        for number, entry in entries:
            events += self._changes(segment, number, entry)
            if len(events) >= CHUNK:
                break
            if number % _YIELD_EVERY == _YIELD_EVERY - 1:
                await asyncio.sleep(0)
        return events

    def _changes(self, segment: Segment, number: int, entry: Entry) -> Iterator[Change]:
        for part, tree in enumerate(audit_events(entry, self.origin)):
            id_ = id_of(*segment, number, part)
            complete = with_meta(tree, id_, 1, instant(entry.at))
            values = self.extract(complete)
            yield Change("AuditEvent", id_, 1, entry.at, "POST", encode(complete), values)

    async def _store(self, events: Sequence[Change]) -> None:
        """Commit events; those that a crash had let in already are left out."""
        try:
            await self._commit(events)
        except Stale:
            keys = [(event.type, event.id) for event in events]
            known = {stored.id for stored in await self.store.read_many(_ALL, keys)}
            await self._commit([event for event in events if event.id not in known])

    async def _commit(self, events: Sequence[Change]) -> None:
        prepared = []
        for position, event in enumerate(events):
            prepared.append(self.store.prepare(event))
            if position % _YIELD_EVERY == _YIELD_EVERY - 1:
                await asyncio.sleep(0)
        if prepared:
            await self.store.commit(prepared)


def _place(error: Exception) -> str:
    """Return what broke, and at which entry if that is known."""
    return f"{type(error).__name__} {error.number}" if isinstance(error, Broken) else type(error).__name__


def _read(
    shelf: Shelf, keys: AuditKeys, segment: Segment, start: Position | None
) -> tuple[Reading, int] | None:
    """Return a segment's reading from ``start`` on, and the byte at which its data begin; None: nothing."""
    base = 0 if start is None else start.offset
    data = shelf.content(segment, base)
    if not data:
        return None
    if start is None:
        return Reading.begin(keys, data), base
    reading = Reading.begin(keys, shelf.header(segment) or b"")
    reading.data = data
    reading.resume(0, start.count, bytes.fromhex(start.hash))
    return reading, base
