"""The audit log of one process, as its event loop sees it: append, and go on when it is on the disk.

What requests append until the event loop has nothing else to do, or while the disk is busy, is one group: a
thread seals, chains, writes and syncs it as one (:mod:`writer`); where the log lies in a database, "the disk"
is one round trip to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Sequence
from typing import Final, NamedTuple

from fhir_server.audit.entry import Entry
from fhir_server.audit.keys import AuditKeys
from fhir_server.audit.shelf import Shelf
from fhir_server.audit.writer import Options, Writer
from fhir_server.faults import Fault, Kind

GATHER_SECONDS: Final = 0.003
"""How long a busy loop gathers entries for one group."""
PAUSE_SECONDS: Final = 0.001
"""How long a group waits at least that follows one with :data:`_MANY` requests: as many are about to come."""
_MANY: Final = 8
_SLOW_SECONDS: Final = 0.001
"""A write that takes longer may be worth being shared by all who ask."""


class _Group(NamedTuple):
    """Entries that are written together, those who wait for them, and the loop that they wait in."""

    entries: list[Entry]
    waiting: list[asyncio.Future[None]]
    loop: asyncio.AbstractEventLoop


class Pace:
    """How many waiting requests are enough for a group, judged by the last ones. Times in seconds.

    Half of those who ask: while their group is written, the loop works on the other half. All of them where
    that leaves the loop idle, because the disk takes longer than the work: two halves wait for two syncs.
    """

    def __init__(self) -> None:
        self.enough = _MANY
        self._is_shared = False
        self._last_came = self._began = self._ended = self._gathered = 0.0

    def came(self, now: float) -> None:
        """Note that entries came."""
        self._last_came = now

    def begins(self, now: float) -> None:
        """Note that a group is handed over."""
        self._began, self._gathered = now, now - self._ended

    def ended(self, now: float, written: int, waiting: int) -> None:
        """Note that ``written`` requests of a group are answered, while ``waiting`` have come meanwhile."""
        took, self._ended = now - self._began, now
        if self._is_shared:
            self._is_shared = took > self._gathered
        else:
            is_idle = waiting > 0 and self._last_came - self._began < took / 2
            self._is_shared = is_idle and took > _SLOW_SECONDS
        crowd = written + waiting
        self.enough = max(_MANY, crowd if self._is_shared else (crowd + 1) // 2)


class Log:
    """An open log. Make it with :meth:`open`; append from one event loop; close it."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._entries: list[Entry] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._groups: queue.SimpleQueue[_Group | None] = queue.SimpleQueue()
        self._timer: asyncio.Handle | None = None
        self._is_writing = False
        self._last = 0
        self._pace = Pace()
        self._closing = False
        self.appended = 0
        self._thread = threading.Thread(target=self._work, name="audit-write", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, shelf: Shelf, keys: AuditKeys, options: Options | None = None) -> Log:
        """Open a chain of its own on a shelf. Blocks; faults as :meth:`writer.Writer.open`."""
        return cls(Writer.open(shelf, keys, options or Options()))

    @property
    def chain(self) -> str:
        """The name of this process's chain."""
        return self._writer.chain

    async def append(self, entries: Sequence[Entry]) -> None:
        """Return when ``entries`` are durable; Fault(UNAVAILABLE) when they could not be written."""
        if self._closing:
            raise _unavailable()
        # One future for each who waits: cancelling one must not cancel the others.
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self.put(entries)
        await future

    def put(self, entries: Sequence[Entry]) -> None:
        """Write ``entries`` soon; nobody is told. To be called in the event loop."""
        if self._closing:
            return
        self._entries += entries
        loop = asyncio.get_running_loop()
        self._pace.came(loop.time())
        if not self._is_writing:
            self._consider(loop)

    def _consider(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hand over the group if enough wait; else when the loop has nothing else to do, or after a while.

        Each group costs two changes of threads and a sync, some 120 microseconds of processor; a busy loop
        makes few large ones. Who asks alone waits for one idle round of the loop, some microseconds.
        """
        if len(self._waiting) >= self._pace.enough:
            self._hand_over(loop)
        elif self._timer is None:
            begin = (loop, len(self._entries), loop.time() + GATHER_SECONDS)
            if self._last >= _MANY:
                self._timer = loop.call_later(PAUSE_SECONDS, self._gather, *begin)
            else:
                self._timer = loop.call_soon(self._gather, *begin)

    def _gather(self, loop: asyncio.AbstractEventLoop, before: int, until: float) -> None:
        """Hand over if the last round of the loop brought nothing more, or if it is time."""
        now = len(self._entries)
        if now == before or loop.time() >= until:
            self._hand_over(loop)
        else:
            self._timer = loop.call_soon(self._gather, loop, now, until)

    async def close(self) -> None:
        """Write what was accepted, close the segment and give the chain free."""
        if self._closing:
            return
        self._closing = True
        loop = asyncio.get_running_loop()
        self._stop_gathering()
        self._groups.put(_Group(self._entries, self._waiting, loop))
        self._entries, self._waiting = [], []
        self._groups.put(None)
        await loop.run_in_executor(None, self._thread.join)
        # The thread has told the loop how its last group went; let it be heard.
        await asyncio.sleep(0)

    def _stop_gathering(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        self._stop_gathering()
        self._is_writing = True
        self._last = len(self._waiting)
        self._pace.begins(loop.time())
        group = _Group(self._entries, self._waiting, loop)
        self._entries, self._waiting = [], []
        self._groups.put(group)

    def _written(self, group: _Group, is_durable: bool) -> None:
        """Tell those who wait, and hand over what came meanwhile."""
        self._is_writing = False
        self.appended += len(group.entries)
        for future in group.waiting:
            if future.done():
                continue
            if is_durable:
                future.set_result(None)
            else:
                future.set_exception(_unavailable())
        self._pace.ended(group.loop.time(), len(group.waiting), len(self._waiting))
        if self._entries:
            self._consider(group.loop)

    def _work(self) -> None:
        """Write groups until told to end: the thread's own loop."""
        while (group := self._groups.get()) is not None:
            is_durable = not group.entries or self._writer.write(group.entries)
            # A loop that was closed has nobody left who waits.
            with contextlib.suppress(RuntimeError):
                group.loop.call_soon_threadsafe(self._written, group, is_durable)
        self._writer.close()


def _unavailable() -> Fault:
    return Fault(
        Kind.UNAVAILABLE,
        "The access could not be written to the audit log, so it is not answered; try again. If this lasts, "
        "the server's operator must look at the disk or the database of the audit log.",
    )
