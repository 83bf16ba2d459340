"""The segments of one process's chain: writes groups of entries, closes what is full, mends what broke.

Blocking: it is the log's thread that works here.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from fhir_server.audit.chain import BEGINNING
from fhir_server.audit.entry import Entry, encode
from fhir_server.audit.keys import AuditKeys
from fhir_server.audit.recover import recover
from fhir_server.audit.segment import Reading, new_header, signed_statement
from fhir_server.audit.shelf import Hold, Lost, Segment, Shelf
from fhir_server.clock import now_ms
from fhir_server.faults import Fault, Kind

SEGMENT_BYTES: Final = 16 * 1024 * 1024
SEGMENT_MS: Final = 3_600_000
"""A segment is closed when it is this large or this old: until then its end is guarded by fewer witnesses."""

_LOG = logging.getLogger("fhir_server.audit")


@dataclass(frozen=True, slots=True)
class Options:
    """What may be set: when a segment is closed, and the clock (ms)."""

    segment_bytes: int = SEGMENT_BYTES
    segment_ms: int = SEGMENT_MS
    clock: Callable[[], int] = now_ms


@dataclass(slots=True)
class _Open:
    """The segment that is written to. ``first``, ``last``: times of its entries, ms."""

    segment: Segment
    reading: Reading
    opened: int
    first: int = 0
    last: int = 0


class Writer:
    """The chain that this process holds. Make it with :meth:`open`; use it from one thread; close it."""

    def __init__(self, shelf: Shelf, keys: AuditKeys, hold: Hold, options: Options) -> None:
        self._shelf = shelf
        self._keys = keys
        self._hold = hold
        self._options = options
        self._open: _Open | None = None
        self._next, self._previous = 1, BEGINNING
        self._is_left_open = True

    @classmethod
    def open(cls, shelf: Shelf, keys: AuditKeys, options: Options) -> Writer:
        """Take the first chain on the shelf that is free, closing what a crash left of it.

        Raises Fault(UNAVAILABLE) when the shelf cannot be used or the chain cannot be read.
        """
        try:
            writer = cls(shelf, keys, shelf.take(), options)
            try:
                writer._recover()
            except BaseException:
                writer._hold.release()
                raise
        except OSError as error:
            raise Fault(
                Kind.UNAVAILABLE, "The audit folder cannot be used; check its owner and its free space."
            ) from error
        return writer

    @property
    def chain(self) -> str:
        """The name of the chain."""
        return self._hold.chain

    def close(self) -> None:
        """Close the segment and give the chain free."""
        try:
            if self._is_left_open:
                self._recover()
            self._close_segment()
        except (OSError, Fault, Lost):
            _LOG.exception("The audit segment could not be closed; the next start closes it")
        with contextlib.suppress(OSError, Fault):
            self._hold.release()

    def write(self, entries: Sequence[Entry]) -> bool:
        """Make a group durable; False when that failed, or is not known. The chain goes on in either case."""
        try:
            target = self._segment()
            chain, sealer = target.reading.chain, target.reading.sealer
            frames = b"".join([chain.seal(sealer, encode(entry)) for entry in entries])
            self._hold.append(frames, target.reading.offset)
        except Exception:  # noqa: BLE001 - whatever it is, who waits must be told, and the thread must live on
            _LOG.exception("Audit entries could not be written")
            self._abandon()
            return False
        target.reading.offset += len(frames)
        target.first = target.first or entries[0].at
        target.last = entries[-1].at
        return True

    def _segment(self) -> _Open:
        """Return the segment to write to, after closing one that is full or old."""
        now = self._options.clock()
        if self._is_left_open:
            self._recover()
        current = self._open
        if current is not None and (
            current.reading.offset >= self._options.segment_bytes
            or now - current.opened >= self._options.segment_ms
        ):
            self._close_segment()
        if self._open is None:
            self._open = self._begin(now)
        return self._open

    def _begin(self, now: int) -> _Open:
        segment = Segment(self.chain, self._next)
        header = new_header(self._keys, segment, self._previous, now)
        self._hold.begin(segment, header)
        return _Open(segment, Reading.begin(self._keys, header), now)

    def _close_segment(self) -> None:
        current = self._open
        if current is None:
            return
        size = current.reading.offset
        if not self._hold.end(current.segment, size, size):
            msg = "the segment is longer than what was written to it"
            raise OSError(msg)
        times, now = (current.first, current.last), self._options.clock()
        statement = signed_statement(self._keys, current.reading, times, now)
        self._hold.close(current.segment, statement.line, statement.hash)
        self._open = None
        self._next, self._previous = statement.number + 1, bytes.fromhex(statement.hash)
        # Who collects the server's log lines elsewhere has a witness that nobody here can change.
        told = {"segment": current.segment.name, "entries": statement.count, "hash": statement.hash}
        _LOG.info("An audit segment was closed", extra={"fields": told})

    def _abandon(self) -> None:
        """Forget a group that may be there, whole or in part: the next one finds out, and closes the segment.

        It is closed rather than gone on with, so that no nonce is used twice. Whoever waits is told first:
        while the disk is full or the database away, finding out fails as well, and takes its time.
        """
        current, self._open = self._open, None
        self._is_left_open = True
        if current is not None:
            self._hold.abandon(current.reading.offset)

    def _recover(self) -> None:
        """Close the segment that a crash or a failure left open, and go on after it.

        Whoever has lost the chain meanwhile leaves it to its new owner, and takes another one.
        """
        try:
            statement = recover(self._keys, self._shelf, self._hold, self._options.clock())
        except Lost:
            _LOG.warning("A chain of the audit was lost to another process; this one goes on with another")
            self._hold.release()
            self._hold = self._shelf.take()
            statement = recover(self._keys, self._shelf, self._hold, self._options.clock())
        self._next, self._previous = 1, BEGINNING
        if statement is not None:
            self._next, self._previous = statement.number + 1, bytes.fromhex(statement.hash)
        self._is_left_open = False
