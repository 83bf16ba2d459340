"""Has anything been committed since? A count of commits that all processes on one file share.

Asking the engine costs microseconds for every request; looking at a mapped file costs none worth counting.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fhir_server.store.api import Stamps
from fhir_server.store.sqlite.reader import Readers

_BYTES: Final = mmap.PAGESIZE
_READ: Final = (
    "SELECT coalesce((SELECT value FROM meta WHERE key='generation'), 0),"
    " coalesce((SELECT value FROM meta WHERE key='governing'), 0),"
    " coalesce((SELECT max(number) FROM policy_class), 0)"
)


class Changes:
    """The count, in a file beside the database: even while nothing is being committed, odd during a commit.

    A writer that dies in between leaves it odd, and whoever reads it odd asks the database.
    """

    def __init__(self, folder: Path) -> None:
        self._handle = os.open(folder / "changes", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.fstat(self._handle).st_size < _BYTES:
            os.ftruncate(self._handle, _BYTES)
        self._map = mmap.mmap(self._handle, _BYTES)
        self._numbers = memoryview(self._map).cast("Q")

    @property
    def number(self) -> int:
        """The count now."""
        return self._numbers[0]

    @contextlib.contextmanager
    def moving(self) -> Iterator[None]:
        """Count what is committed inside, whether or not that succeeds; for the holder of the turn to write.

        It is counted twice: before, so that a commit whose process dies before it can say so is noticed all
        the same, and after, so that what others read meanwhile is not taken for the new state.
        """
        number = self._numbers[0] | 1
        self._numbers[0] = number
        try:
            yield
        finally:
            self._numbers[0] = number + 1

    def close(self) -> None:
        """Release the file."""
        self._numbers.release()
        self._map.close()
        os.close(self._handle)


class SqliteStamps:
    """Reads the stamps of a store; from the database only when something was committed."""

    def __init__(self, changes: Changes, readers: Readers) -> None:
        self._changes = changes
        self._readers = readers
        self._number = -1
        self._stamps = Stamps(0, 0, 0)

    def read(self) -> Stamps:
        """Return the stamps as they are now."""
        number = self._changes.number
        if number != self._number:
            self._stamps = self._readers.point(_read)
            # The count was taken before: what is committed meanwhile is read again next time.
            self._number = -1 if number & 1 else number
        return self._stamps


def govern(connection: sqlite3.Connection) -> None:
    """Note in the open transaction that a record has changed by which others are decided on."""
    connection.execute("INSERT INTO meta VALUES('governing', 1) ON CONFLICT(key) DO UPDATE SET value=value+1")


def _read(connection: sqlite3.Connection) -> Stamps:
    return Stamps(*connection.execute(_READ).fetchone())
