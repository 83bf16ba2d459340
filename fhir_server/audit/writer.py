"""The segments of one process's chain: writes groups of entries, closes what is full, mends what broke.

Blocking: it is the log's thread that works here.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fhir_server.audit.chain import BEGINNING, LENGTH
from fhir_server.audit.entry import Entry, encode
from fhir_server.audit.keys import AuditKeys, sync_folder
from fhir_server.audit.recover import recover
from fhir_server.audit.segment import Reading, Segment, close_segment, new_header
from fhir_server.clock import now_ms
from fhir_server.faults import Fault, Kind

SEGMENT_BYTES: Final = 16 * 1024 * 1024
SEGMENT_MS: Final = 3_600_000
"""A segment is closed when it is this large or this old: until then its end is guarded by fewer witnesses."""
_MOST_CHAINS: Final = 1024
_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
_ROOM: Final = 256 * 1024
"""Bytes of zeros that are written beforehand: a sync of bytes that lie within a file costs half of one that
makes the file longer (127 against 255 microseconds here)."""

_LOG = logging.getLogger("fhir_server.audit")


@dataclass(frozen=True, slots=True)
class Options:
    """What may be set: when a segment is closed, and the clock (ms)."""

    segment_bytes: int = SEGMENT_BYTES
    segment_ms: int = SEGMENT_MS
    clock: Callable[[], int] = now_ms


@dataclass(slots=True)
class _Open:
    """The segment that is written to. ``room``: the length of its file, zeros at the end included."""

    segment: Segment
    handle: int
    reading: Reading
    opened: int
    room: int
    first: int = 0
    last: int = 0


class Writer:
    """The chain that this process holds. Make it with :meth:`open`; use it from one thread; close it."""

    def __init__(self, keys: AuditKeys, folder: Path, lock: int, options: Options) -> None:
        self._keys = keys
        self._folder = folder
        self._lock = lock
        self._options = options
        self._open: _Open | None = None
        self._next, self._previous = 1, BEGINNING
        self._is_left_open = True
        self._recover()

    @classmethod
    def open(cls, folder: Path, keys: AuditKeys, options: Options) -> Writer:
        """Take the first chain in ``folder`` that is free, closing what a crash left of it.

        Raises Fault(UNAVAILABLE) when the folder cannot be used or the chain cannot be read.
        """
        try:
            own, lock = _take_chain(folder)
        except OSError as error:
            raise Fault(
                Kind.UNAVAILABLE, "The audit folder cannot be used; check its owner and its free space."
            ) from error
        try:
            return cls(keys, own, lock, options)
        except BaseException:
            os.close(lock)
            raise

    @property
    def chain(self) -> str:
        """The name of the chain."""
        return self._folder.name

    def close(self) -> None:
        """Close the segment and give the chain free."""
        try:
            self._close_segment()
        except OSError:
            _LOG.exception("The audit segment could not be closed; the next start closes it")
        os.close(self._lock)

    def write(self, entries: Sequence[Entry]) -> bool:
        """Make a group durable; False when that failed. What failed leaves no trace in the chain."""
        try:
            target = self._segment()
            chain, sealer = target.reading.chain, target.reading.sealer
            frames = b"".join([chain.seal(sealer, encode(entry)) for entry in entries])
            self._make_room(target, len(frames))
            _write_group(target.handle, frames, target.reading.offset)
            os.fdatasync(target.handle)
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

    @staticmethod
    def _make_room(target: _Open, size: int) -> None:
        """See that the file is long enough for ``size`` more bytes."""
        end = target.reading.offset + size
        if end > target.room:
            room = end + _ROOM
            _write_all(target.handle, bytes(room - target.room), target.room)
            target.room = room

    def _begin(self, now: int) -> _Open:
        segment = Segment(self._folder, self._next)
        header = new_header(self._keys, self.chain, segment.number, self._previous, now)
        handle = os.open(segment.path, _NEW, 0o600)
        try:
            _write_all(handle, header, 0)
            os.fdatasync(handle)
            sync_folder(self._folder)
        except BaseException:
            os.close(handle)
            raise
        return _Open(segment, handle, Reading.begin(self._keys, header), now, len(header))

    def _close_segment(self) -> None:
        current = self._open
        if current is None:
            return
        os.ftruncate(current.handle, current.reading.offset)
        os.fsync(current.handle)
        statement = close_segment(
            self._keys,
            current.segment,
            current.reading,
            (current.first, current.last),
            self._options.clock(),
        )
        os.close(current.handle)
        self._open = None
        self._next, self._previous = statement.number + 1, bytes.fromhex(statement.hash)

    def _abandon(self) -> None:
        """Forget a group that may be half on the disk: read the segment again up to where it was durable.

        The segment is closed there rather than gone on with, so that no nonce is used twice.
        """
        current, self._open = self._open, None
        if current is None:
            return
        durable = current.reading.offset
        with contextlib.suppress(OSError):
            os.ftruncate(current.handle, durable)
            os.fsync(current.handle)
        os.close(current.handle)
        self._is_left_open = True
        # The disk is full, most likely: the next group tries again, and fails as long as this does.
        with contextlib.suppress(OSError, Fault):
            self._recover()

    def _recover(self) -> None:
        """Close the segment that a crash or a full disk left open, and go on after it."""
        statement = recover(self._keys, self._folder, self._options.clock())
        if statement is not None:
            self._next, self._previous = statement.number + 1, bytes.fromhex(statement.hash)
        self._is_left_open = False


def _take_chain(folder: Path) -> tuple[Path, int]:
    """Return the folder of the first free chain and the lock that holds it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in range(_MOST_CHAINS):
        own = folder / f"p{number:02d}"
        own.mkdir(mode=0o700, exist_ok=True)
        handle = os.open(own / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            continue
        return own, handle
    raise OSError


def is_free(folder: Path) -> bool:
    """Tell whether no process holds the chain in ``folder``."""
    try:
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True


def _write_group(handle: int, frames: bytes, offset: int) -> None:
    """Write frames so that who reads meanwhile sees none of them or all.

    The system may show a reader the first pages of a write long before the last ones, seconds before when the
    disk is busy. So the length of the first frame is written last: until then zeros stand there, where the
    log ends for every reader.
    """
    _write_all(handle, frames[LENGTH.size :], offset + LENGTH.size)
    _write_all(handle, frames[: LENGTH.size], offset)


def _write_all(handle: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(handle, view, offset)
        view, offset = view[written:], offset + written
