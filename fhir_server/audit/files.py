"""The log in folders: ``LOG/p00/00000001.seg`` holds frames, ``.json`` the statement, ``.torn`` what broke.

A segment grows within zeros that make room, until it is ended and cut to its length. The index lies in
``LOG/index``. The newest final hashes lie in the key folder, on another disk than the log, so that who
removes the newest segments must change both.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from fhir_server.audit.chain import LENGTH
from fhir_server.audit.lock import locked
from fhir_server.audit.shelf import Position, Segment
from fhir_server.crypto.durable import replace_file, sync_folder

INDEX: Final = "index"
_MOST_CHAINS: Final = 1024
_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
_LOCK: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
_ROOM: Final = 256 * 1024
"""Bytes of zeros that are written beforehand: a sync of bytes that lie within a file costs half of one that
makes the file longer (127 against 255 microseconds here)."""


class FileShelf:
    """The log in ``folder``; the newest final hashes are witnessed in ``witness``, which must be there."""

    def __init__(self, folder: Path, witness: Path) -> None:
        self._folder = folder
        self._index = folder / INDEX
        self._positions = self._index / "positions.json"
        self._witness = witness

    def path(self, segment: Segment) -> Path:
        """Return the file of frames."""
        return self._folder / f"{segment.name}.seg"

    def statement_path(self, segment: Segment) -> Path:
        """Return the file of the signed statement."""
        return self._folder / f"{segment.name}.json"

    def torn_path(self, segment: Segment) -> Path:
        """Return the file of what was set aside."""
        return self._folder / f"{segment.name}.torn"

    def chains(self) -> list[str]:
        """Return the names of the chains: the folders that begin with "p"."""
        if not self._folder.is_dir():
            return []
        return sorted(each.name for each in self._folder.iterdir() if each.is_dir() and each.name[0] == "p")

    def segments(self, chain: str, least: int = 1) -> list[Segment]:
        """Return every number of which a file is there."""
        numbers = {
            int(path.stem)
            for path in (self._folder / chain).iterdir()
            if path.suffix in (".seg", ".json") and path.stem.isdigit() and len(path.stem) == 8
        }
        return [Segment(chain, number) for number in sorted(numbers) if number >= least]

    def header(self, segment: Segment) -> bytes | None:
        """Return the first line of a segment."""
        try:
            with self.path(segment).open("rb") as file:
                return file.readline()
        except FileNotFoundError:
            return None

    def content(self, segment: Segment, start: int = 0) -> bytes | None:
        """Return the bytes of a segment from ``start``."""
        try:
            with self.path(segment).open("rb") as file:
                file.seek(start)
                return file.read()
        except FileNotFoundError:
            return None

    def statement(self, segment: Segment) -> bytes | None:
        """Return the statement of a segment."""
        return _read(self.statement_path(segment))

    def torn(self, segment: Segment) -> str:
        """Return the name of the file with what was set aside."""
        path = self.torn_path(segment)
        return path.name if path.exists() else ""

    def note(self, chain: str) -> bytes | None:
        """Return the note of what was pruned of a chain."""
        return _read(self._folder / chain / "pruned.json")

    def prune(self, chain: str, segments: Iterable[Segment], note: bytes) -> None:
        """Keep the note, then remove the files of frames."""
        replace_file(self._folder / chain / "pruned.json", note)
        for segment in segments:
            self.path(segment).unlink()
        sync_folder(self._folder / chain)

    def known_key(self, name: str) -> str:
        """Return ``name``: a log in a folder has one key folder, in which keys are made but once."""
        return name

    def heads(self) -> dict[str, tuple[int, str]]:
        """Return the newest final hashes; a file that cannot be read bears no witness."""
        try:
            content = json.loads((self._witness / "heads.json").read_bytes())
            return {str(name): (int(head[0]), str(head[1])) for name, head in content.items()}
        except (OSError, ValueError, TypeError, AttributeError, LookupError):
            return {}

    def bear_witness(self, segment: Segment, final: str) -> None:
        """Keep the final hash of a segment that was closed just now."""
        with locked(self._witness):
            heads = self.heads() | {segment.chain: (segment.number, final)}
            replace_file(self._witness / "heads.json", json.dumps(heads, indent=1).encode())

    def positions(self) -> dict[str, Position]:
        """Return up to where the chains are indexed."""
        try:
            return msgspec.json.decode(self._positions.read_bytes(), type=dict[str, Position])
        except (OSError, msgspec.DecodeError):
            return {}

    def keep(self, chain: str, position: Position) -> None:
        """Remember up to where a chain is indexed."""
        replace_file(self._positions, msgspec.json.encode(self.positions() | {chain: position}))

    def forget_index(self) -> None:
        """Remove the files of the index."""
        if self._index.is_dir():
            for path in self._index.iterdir():
                path.unlink()

    def is_free(self, chain: str) -> bool:
        """Tell whether no process holds the lock of a chain."""
        try:
            handle = os.open(self._folder / chain / "lock", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        is_free = _lock(handle)
        os.close(handle)
        return is_free

    def is_idle(self) -> bool:
        """Tell whether no process holds the lock of any chain."""
        return all(self.is_free(chain) for chain in self.chains())

    def take(self) -> FileHold:
        """Take the first chain whose lock is free."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number in range(_MOST_CHAINS):
            own = self._folder / f"p{number:02d}"
            own.mkdir(mode=0o700, exist_ok=True)
            handle = os.open(own / "lock", _LOCK, 0o600)
            if _lock(handle):
                return FileHold(self, own, handle)
            os.close(handle)
        raise OSError

    def turn(self) -> FileTurn:
        """Return the turn to index."""
        return FileTurn(self._index)

    def close(self) -> None:
        """Nothing is held: holds and turns have handles of their own."""


class FileHold:
    """A chain whose lock this process holds. ``room``: the length of the open file, zeros included."""

    def __init__(self, shelf: FileShelf, folder: Path, lock: int) -> None:
        self._shelf = shelf
        self._folder = folder
        self._lock = lock
        self._handle: int | None = None
        self._room = 0

    @property
    def chain(self) -> str:
        """The name of the folder."""
        return self._folder.name

    def confirm(self) -> None:
        """Do nothing: a lock is not lost while the process lives."""

    def begin(self, segment: Segment, header: bytes) -> None:
        """Make the file of a new segment."""
        handle = os.open(self._shelf.path(segment), _NEW, 0o600)
        try:
            _write_all(handle, header, 0)
            os.fdatasync(handle)
            sync_folder(self._folder)
        except BaseException:
            os.close(handle)
            raise
        self._handle, self._room = handle, len(header)

    def append(self, frames: bytes, offset: int) -> None:
        """Write and sync a group.

        The system may show a reader the first pages of a write long before the last ones, seconds before when
        the disk is busy. So the length of the first frame is written last: until then zeros stand there,
        where the log ends for every reader.
        """
        handle = self._opened()
        end = offset + len(frames)
        if end > self._room:
            room = end + _ROOM
            _write_all(handle, bytes(room - self._room), self._room)
            self._room = room
        _write_all(handle, frames[LENGTH.size :], offset + LENGTH.size)
        _write_all(handle, frames[: LENGTH.size], offset)
        os.fdatasync(handle)

    def abandon(self, durable: int) -> None:
        """Cut off what was half written, if the disk allows it."""
        handle, self._handle = self._handle, None
        if handle is None:
            return
        with contextlib.suppress(OSError):
            os.ftruncate(handle, durable)
            os.fsync(handle)
        os.close(handle)

    def end(self, segment: Segment, seen: int, size: int) -> bool:
        """Cut the file to its length; the lock keeps everybody else from making it longer."""
        del seen
        handle, self._handle = self._handle, None
        if handle is None:
            handle = os.open(self._shelf.path(segment), os.O_RDWR | os.O_CLOEXEC)
        try:
            os.ftruncate(handle, size)
            os.fsync(handle)
        finally:
            os.close(handle)
        return True

    def set_aside(self, segment: Segment, torn: bytes) -> None:
        """Keep bytes in a file beside the segment."""
        replace_file(self._shelf.torn_path(segment), torn)

    def close(self, segment: Segment, statement: bytes, final: str) -> None:
        """Write the statement, then the final hash into the key folder."""
        replace_file(self._shelf.statement_path(segment), statement)
        self._shelf.bear_witness(segment, final)

    def release(self) -> None:
        """Give the lock free."""
        os.close(self._lock)

    def _opened(self) -> int:
        if self._handle is None:
            msg = "no segment is open"
            raise OSError(msg)
        return self._handle


class FileTurn:
    """The lock of the index in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._handle: int | None = None

    def acquire(self) -> bool:
        """Take the lock."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self._folder / "index.lock", _LOCK, 0o600)
        if not _lock(handle):
            os.close(handle)
            return False
        self._handle = handle
        return True

    def is_mine(self) -> bool:
        """Tell whether the lock was taken: it is not lost while the process lives."""
        return self._handle is not None

    def release(self) -> None:
        """Give the lock free."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)


def _lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _write_all(handle: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(handle, view, offset)
        view, offset = view[written:], offset + written
