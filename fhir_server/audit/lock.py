"""The lock of those who change what the key folder holds of the audit."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fhir_server.faults import Fault, Kind

_LOCK: Final = "audit.lock"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a key folder; Fault(UNAVAILABLE) when it is missing or cannot be written to."""
    try:
        handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Fault(
            Kind.UNAVAILABLE, "The key folder is missing or cannot be written to; check its path and owner."
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
