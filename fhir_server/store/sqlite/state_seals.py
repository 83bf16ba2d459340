"""How the bodies of state records are sealed, sealed anew when keys rotate, and looked through for damage."""

from __future__ import annotations

import sqlite3
from typing import Final

from fhir_server.crypto.envelope import HEADER, Damaged, Envelope
from fhir_server.crypto.keys import KeyFault
from fhir_server.store.sealed import Record, open_record, seal_record

COLUMNS: Final = "s.h, s.kind, s.ver, s.expires, s.payload"
_CHUNK: Final = 200

Row = tuple[int, str, int, int, bytes]
"""Digest of kind and key, kind, version, expiry in ms, payload."""


def opened(envelope: Envelope, row: Row) -> Record:
    """Open a row; raises Damaged when it is not what was sealed, KeyFault without its key."""
    digest, kind, version, _, payload = row
    return open_record(envelope, kind, digest, version, payload)


def reseal(connection: sqlite3.Connection, envelope: Envelope) -> int:
    """Seal the next records that are not under the active key anew; return how many, 0 = none was left."""
    rows = connection.execute(
        f"SELECT {COLUMNS} FROM state s WHERE substr(s.payload, 1, ?) != ? LIMIT ?",
        (HEADER.size, envelope.header, _CHUNK),
    ).fetchall()
    for row in rows:
        digest, kind, version, _, _ = row
        payload = seal_record(envelope, kind, digest, version, opened(envelope, row))
        connection.execute("UPDATE state SET payload=? WHERE h=?", (payload, digest))
    return len(rows)


def keys_in_use(connection: sqlite3.Connection) -> set[int]:
    """Return the numbers of the data keys that some record is sealed under."""
    headers = connection.execute("SELECT DISTINCT substr(payload, 1, ?) FROM state", (HEADER.size,))
    return {HEADER.unpack(header)[1] for (header,) in headers}


def damage(connection: sqlite3.Connection, envelope: Envelope) -> list[str]:
    """Say what is wrong with the records, a sentence each, naming none; [] = sound."""
    closed = 0
    for row in connection.execute(f"SELECT {COLUMNS} FROM state s"):
        try:
            opened(envelope, row)
        except (Damaged, KeyFault):
            closed += 1
    stray = connection.execute(
        "SELECT count(*) FROM state_tag t LEFT JOIN state s ON s.h=t.h WHERE s.h IS NULL"
    ).fetchone()[0]
    findings = [f"{closed} records of accounts and clients cannot be opened."] if closed else []
    return [*findings, *([f"{stray} tags belong to no record."] if stray else [])]
