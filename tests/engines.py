"""Which store the servers of the tests keep their records in: SQLite in their data folder, or MongoDB.

``make test`` runs on SQLite, and what is marked ``every_engine`` on MongoDB too. ``FHIR_STORE=mongodb://…``
runs the whole suite on that server; ``TEST_ENGINE=mongodb`` runs it on the stand-in that the suite starts, or
on the server that ``MONGODB_URI`` names. Each data folder has a database of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from fhir_server.config import Settings
from fhir_server.crypto.keys import KeyRing

SQLITE: Final = "sqlite"
MONGODB: Final = "mongodb"
ENGINES: Final = (SQLITE, MONGODB)

# Taken out of the environment: the settings that tests make would all name one database.
if given := os.environ.pop("FHIR_STORE", ""):
    os.environ["MONGODB_URI"] = given
    os.environ["TEST_ENGINE"] = MONGODB

DEFAULT: Final = os.environ.get("TEST_ENGINE", SQLITE)
"""The engine of the tests that are not run on every one; workers inherit the variable."""

_PATIENT: Final = "60"
"""FHIR_SEARCH_SECONDS on MongoDB: the stand-in is slow, and the machine is busy with other tests."""

_current = DEFAULT


def current() -> str:
    """Return the engine that a server started now would use."""
    return _current


@contextmanager
def using(engine: str) -> Iterator[None]:
    """Start servers on ``engine`` within the block."""
    global _current  # noqa: PLW0603 - one test runs at a time in a process
    assert engine in ENGINES, engine
    before, _current = _current, engine
    try:
        yield
    finally:
        _current = before


def address(folder: Path) -> str:
    """Return what FHIR_STORE is for a server with this data folder: "" for SQLite, else its own database."""
    if _current == SQLITE:
        return ""
    from tests.mongo import engine  # noqa: PLC0415 - starts nothing unless asked

    return engine.address(f"t{blake2b(str(folder).encode(), digest_size=10).hexdigest()}")


def environment(folder: Path) -> dict[str, str]:
    """Return the variables by which a process of its own finds the store of this data folder."""
    named = address(folder)
    return {"FHIR_STORE": named, "FHIR_SEARCH_SECONDS": _PATIENT} if named else {}


def settings(folder: Path, suite: str = "standard", **given: Any) -> Settings:
    """Make a private data folder with keys, unless it has some; return settings that name its store."""
    if not (folder / "keys").exists():
        KeyRing.create(folder / "keys", suite)
    folder.chmod(0o700)
    named = address(folder)
    slow = {"search_seconds": _PATIENT} if named else {}
    usual = {"data": folder, "store": named, "base_url": "", "log_level": "error"}
    return Settings.model_validate({**usual, **slow, **given})
