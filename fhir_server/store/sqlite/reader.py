"""Reading: at once in the event loop while it is quick, in a thread with a time limit when it is not.

An indexed page takes some hundred microseconds, less than handing it to a thread and back; what turns out to
take longer is stopped by SQLite's progress handler and begun again in the pool. Searches whose like were
stopped lately (:mod:`shapes`) begin in the pool.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from fhir_server.store.sqlite.functions import refusal
from fhir_server.store.sqlite.schema import Connection
from fhir_server.store.sqlite.shapes import Shape, Stopped
from fhir_server.store.sqlite.trouble import closed, is_interrupt, too_costly, unavailable

T = TypeVar("T")

INLINE_SECONDS = 0.003
_MEANT = 0.8
"""What took so much of that, of the processor, is taken for work that is too long. To wait for a processor is
not: a busy machine would send all searches to the pool, where each costs more."""

UNLIMITED = 1e9
"""Seconds for work that may take as long as it takes."""

_STEPS = 1000
"""Virtual machine instructions between two looks at the clock: some ten microseconds."""

_FOREVER = float("inf")


class Late(Exception):
    """The time allowed is over; ``foreseen``: it is not, but what is still to do would take longer."""

    def __init__(self, *, foreseen: bool = False) -> None:
        super().__init__()
        self.foreseen = foreseen


class Session:
    """One reader connection and the time until which it may work; ``in_loop``: in the event loop."""

    def __init__(self, connection: Connection, *, in_loop: bool = False) -> None:
        self.connection = connection
        self._in_loop = in_loop
        self._until = _FOREVER
        self._stopped = False
        self._given_up: threading.Event | None = None
        connection.set_progress_handler(self._late, _STEPS)

    def _late(self) -> bool:
        if self._given_up is not None and self._given_up.is_set():
            return True
        return self._stopped or time.monotonic() > self._until

    def stop(self) -> None:
        """Stop what runs: the store is closing. May be called from another thread."""
        self._stopped = True

    def check(self) -> None:
        """Raise :class:`Late` when the time is over: for loops between statements."""
        if self._late():
            raise Late

    def leave_loop(self) -> None:
        """Raise :class:`Late` in the event loop: what follows takes long, and no handler would stop it."""
        if self._in_loop:
            raise Late(foreseen=True)

    def attempt(
        self, work: Callable[[Session], T], seconds: float, given_up: threading.Event | None = None
    ) -> T:
        """Run ``work`` on one snapshot of the store within ``seconds``; raises :class:`Late`.

        ``given_up``: set by another thread when nobody waits for the result any more.
        """
        until = time.monotonic() + seconds
        try:
            # The clock must stop neither the beginning nor the end of the transaction: whoever reads next
            # would find it open.
            self.connection.execute("BEGIN")
            try:
                self._until, self._given_up = until, given_up
                return work(self)
            except sqlite3.OperationalError:
                self.connection.renew()
                raise
            finally:
                self._until, self._given_up = _FOREVER, None
                if self.connection.in_transaction:
                    self.connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if is_interrupt(error):
                raise Late from None
            raise
        finally:
            self._until, self._given_up = _FOREVER, None


class Readers:
    """The reader connections of one process: one for the event loop, one for each thread of a small pool."""

    def __init__(self, connect: Callable[[], Connection], *, threads: int, seconds: float) -> None:
        self._connect = connect
        self._seconds = seconds
        self._inline = Session(connect(), in_loop=True)
        self._stopped = Stopped()
        self._own = threading.local()
        self._sessions = [self._inline]
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="store-read")
        self._closed = False

    def point(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run one short statement at once, in the caller's thread (the event loop's)."""
        if self._closed:
            raise closed()
        try:
            return work(self._inline.connection)
        except sqlite3.Error as error:
            raise unavailable(error) from error

    async def run(
        self,
        work: Callable[[Session], T],
        *,
        quick: bool = True,
        seconds: float | None = None,
        shape: Callable[[], Shape] | None = None,
    ) -> T:
        """Run ``work`` on a snapshot; ``quick``: try it in the event loop first.

        ``seconds``: its limit in the pool, waiting included; None = the limit of searches. ``shape``: what
        kind of work it is: where one of a kind was stopped, the next is not tried in vain. ``work`` may run
        twice and must have no effects. Raises Fault(TOO_COSTLY) when the limit is over. Who is cancelled
        while it waits stops the work too.
        """
        if self._closed:
            raise closed()
        known = shape() if quick and shape and self._stopped else None
        if quick and (known is None or known not in self._stopped):
            began = time.thread_time()
            try:
                return self._faulty(self._inline, work, INLINE_SECONDS)
            except Late as late:
                if shape is not None and (late.foreseen or _is_long(time.thread_time() - began)):
                    self._stopped.add(shape())
                known = None
        limit = self._seconds if seconds is None else seconds
        until = time.monotonic() + limit
        given_up = threading.Event()
        try:
            result, taken = await asyncio.get_running_loop().run_in_executor(
                self._pool, self._pooled, work, until, given_up
            )
        except asyncio.CancelledError:
            # Nobody waits any more: the thread and the processor are for others.
            given_up.set()
            raise
        if known is not None:
            if _is_long(taken):
                self._stopped.add(known)
            else:
                self._stopped.was_quick(known)
        return result

    def _pooled(
        self, work: Callable[[Session], T], until: float, given_up: threading.Event
    ) -> tuple[T, float]:
        """Return the result and the seconds of processor that it took."""
        began = time.thread_time()
        try:
            result = self._faulty(self._session(), work, until - time.monotonic(), given_up)
            return result, time.thread_time() - began
        except Late:
            raise (closed() if self._closed else too_costly()) from None

    def _faulty(
        self,
        session: Session,
        work: Callable[[Session], T],
        seconds: float,
        given_up: threading.Event | None = None,
    ) -> T:
        try:
            return session.attempt(work, seconds, given_up)
        except sqlite3.Error as error:
            raise refusal(session.connection) or unavailable(error) from error

    def _session(self) -> Session:
        session: Session | None = getattr(self._own, "session", None)
        if session is None:
            session = self._own.session = Session(self._connect())
            self._sessions.append(session)
        return session

    async def close(self) -> None:
        """Stop what runs and close every connection."""
        self._closed = True
        for session in self._sessions:
            session.stop()
        await asyncio.get_running_loop().run_in_executor(None, self._pool.shutdown)
        for session in self._sessions:
            session.connection.close()


def _is_long(seconds: float) -> bool:
    """Tell whether work that took so much of a processor is too long for the event loop."""
    return seconds >= INLINE_SECONDS * _MEANT
