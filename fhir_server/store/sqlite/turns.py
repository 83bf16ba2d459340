"""Turns of the processes that write to one file.

SQLite lets competing writers poll, and some wait for seconds. Here a process first takes the turnstile, then
waits for the file, then frees the turnstile: whoever has just written stands behind whoever waits. The locks
are flock(2)'s, which the kernel frees when a process dies.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from fhir_server.faults import Fault, Kind

_PAUSE_SECONDS = 0.0002


class Turns:
    """The two lock files beside the database, opened for one thread of one process."""

    def __init__(self, folder: Path, *, seconds: float) -> None:
        self._seconds = seconds
        self._turnstile = _open(folder / "turnstile.lock")
        self._writing = _open(folder / "writing.lock")

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for this process's turn to write; Fault(UNAVAILABLE) when none comes in time."""
        until = time.monotonic() + self._seconds
        _take(self._turnstile, until)
        try:
            _take(self._writing, until)
        finally:
            fcntl.flock(self._turnstile, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(self._writing, fcntl.LOCK_UN)

    def close(self) -> None:
        """Release the files."""
        os.close(self._turnstile)
        os.close(self._writing)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _take(handle: int, until: float) -> None:
    # A blocking flock could not be given up, and a process that was stopped would hold up all the others.
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise Fault(
                    Kind.UNAVAILABLE,
                    "Another process holds the store. Nothing was stored; repeat the request.",
                    headers=(("Retry-After", "5"),),
                ) from None
            time.sleep(_PAUSE_SECONDS)
        else:
            return
