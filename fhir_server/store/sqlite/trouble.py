"""What the engine's errors mean to a caller: one fault each, free of SQL and paths."""

from __future__ import annotations

import sqlite3
from typing import Final

from fhir_server.faults import Fault, Kind

_RETRY: Final = (("Retry-After", "5"),)
_PRIMARY = 0xFF

# SQLite has one code, SQLITE_ERROR, for these and for mistakes in a statement.
_TOO_LARGE: Final = ("stack overflow", "Expression tree is too large", "too many SQL variables")

_SENTENCES = {
    sqlite3.SQLITE_FULL: "The disk is full. Nothing was stored; repeat the request when space was made.",
    sqlite3.SQLITE_IOERR: "The disk does not answer. Nothing was stored; repeat the request later.",
    sqlite3.SQLITE_READONLY: "The store is read-only. Nothing was stored; its owner must make it writable.",
    sqlite3.SQLITE_PERM: "The store may not be opened. Its owner must correct its permissions.",
    sqlite3.SQLITE_CANTOPEN: "The store cannot be opened. Its owner must see that the data folder is there.",
    sqlite3.SQLITE_BUSY: "The store is locked by another program. Nothing was stored; repeat the request.",
    sqlite3.SQLITE_LOCKED: "The store is locked by another program. Nothing was stored; repeat the request.",
    sqlite3.SQLITE_CORRUPT: "The store is damaged. Its owner must run check and restore a backup.",
    sqlite3.SQLITE_NOTADB: "The data folder holds a file that is no store. Its owner must restore a backup.",
}


def is_interrupt(error: sqlite3.Error) -> bool:
    """Tell whether a statement was stopped by its time limit."""
    return primary_code(error) == sqlite3.SQLITE_INTERRUPT


def primary_code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code; 0 when the error did not come from the engine."""
    return (getattr(error, "sqlite_errorcode", 0) or 0) & _PRIMARY


def unavailable(error: sqlite3.Error) -> Fault:
    """Turn an engine error into the fault that says what to do."""
    if any(words in str(error) for words in _TOO_LARGE):
        return Fault(
            Kind.TOO_COSTLY,
            "The search, together with what limits you, is nested too deeply. Use fewer chained parameters.",
        )
    sentence = _SENTENCES.get(primary_code(error))
    if sentence is None:
        return Fault(Kind.EXCEPTION, "The store could not carry out the request. Nothing was stored.")
    return Fault(Kind.UNAVAILABLE, sentence, headers=_RETRY)


def closed() -> Fault:
    """Make the fault of a store that was closed or whose writer has stopped."""
    return Fault(
        Kind.UNAVAILABLE, "The store is closing. Nothing was stored; repeat the request.", headers=_RETRY
    )


def too_costly() -> Fault:
    """Make the fault of a search that outlived its limit."""
    return Fault(
        Kind.TOO_COSTLY,
        "The search took too long. Narrow it by patient, code or period, or leave out _total and _sort.",
    )
