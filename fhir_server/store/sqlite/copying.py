"""A consistent copy of a database file that processes read and write meanwhile: SQLite's online backup.

https://www.sqlite.org/backup.html
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

from fhir_server.store.sqlite import schema

_STEP_PAGES: Final = 2000
"""Pages between two calls of ``progress``: some 16 MB."""

Progress = Callable[[int, int], None]
"""Hears (done, in all)."""


def copy_database(source: Path, target: Path, progress: Progress = lambda _done, _all: None) -> None:
    """Copy ``source`` as it is at this moment to the new file ``target``, which only its owner may read.

    Nobody waits for it: one snapshot is read to the end, and what is committed meanwhile is not in it. Until
    then the write-ahead log cannot be reused and grows. Raises ``sqlite3.Error`` and ``OSError``.
    """
    schema.make_private(target)
    with contextlib.closing(schema.connect(source)) as reading, contextlib.closing(_open(target)) as writing:
        # A snapshot of our own: without it every commit of another process would start the copy anew.
        reading.execute("BEGIN")
        reading.execute("SELECT 1 FROM meta").fetchone()
        reading.backup(
            writing, pages=_STEP_PAGES, progress=lambda _, left, total: progress(total - left, total), sleep=0
        )
        reading.execute("COMMIT")


def settle(path: Path) -> None:
    """Make a copy that was opened for a look one file again, without a write-ahead log beside it."""
    with contextlib.closing(_open(path)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")


def damage_of(path: Path) -> list[str]:
    """Look at the structure of the file alone; return what is wrong with it, [] = sound."""
    with contextlib.closing(_open(path)) as connection:
        return [line for (line,) in connection.execute("PRAGMA quick_check(10)") if line != "ok"]


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)
