"""Which keys a store needs: proofs in ``meta``, resealing under the active key, the keys still in use."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

from fhir_server.crypto.blind import BlindIndex
from fhir_server.crypto.envelope import HEADER, Envelope
from fhir_server.crypto.keys import KeyRing
from fhir_server.store import proofs
from fhir_server.store.sqlite import classes, dictionaries, state_seals
from fhir_server.store.sqlite.names import Names
from fhir_server.store.sqlite.records import Opener

_CHUNK: Final = 200


def prepare(connection: sqlite3.Connection, ring: KeyRing, blind: BlindIndex) -> None:
    """Note in a new store which suite and which index key it is made with."""
    connection.executemany("INSERT INTO meta VALUES(?, ?)", proofs.founded(ring, blind).items())


def mark(connection: sqlite3.Connection, envelope: Envelope) -> None:
    """Leave a proof of the active data key, so that its absence is noticed when the store is next opened."""
    connection.execute("INSERT OR IGNORE INTO meta VALUES(?, ?)", proofs.proof(envelope))


def verify(connection: sqlite3.Connection, ring: KeyRing, blind: BlindIndex, envelope: Envelope) -> None:
    """Compare the key ring with the proofs; raises :class:`KeyFault` with what to do."""
    proofs.verify(dict(connection.execute("SELECT key, value FROM meta")), ring, blind, envelope)


def count_old(connection: sqlite3.Connection, header: bytes) -> int:
    """Count the payloads that are not sealed as they would be now."""
    found: int = connection.execute(
        "SELECT count(*) FROM version WHERE substr(payload, 1, ?) != ?", (HEADER.size, header)
    ).fetchone()[0]
    return found


def reseal(
    names: Names, envelope: Envelope, opener: Opener, after: int, connection: sqlite3.Connection
) -> tuple[int | None, int]:
    """Seal the next payloads after version number ``after`` anew, inside the open transaction.

    Returns where to go on (None: that was all) and how many were done.
    """
    rows = connection.execute(
        "SELECT v.rk, v.sk, h.h, v.ver, v.payload FROM version v CROSS JOIN head h ON h.sk=v.sk"
        " WHERE v.rk>? AND substr(v.payload, 1, ?) != ? ORDER BY v.rk LIMIT ?",
        (after, HEADER.size, envelope.header, _CHUNK),
    ).fetchall()
    fresh = []
    for rk, sk, digest, version, payload in rows:
        type_ = names.type_name(connection, sk)
        body = opener.body(type_, digest, version, payload)
        fresh.append((envelope.seal(type_, digest, version, body), rk))
    connection.executemany("UPDATE version SET payload=? WHERE rk=?", fresh)
    return (rows[-1][0] if len(rows) == _CHUNK else None), len(rows)


def keys_in_use(connection: sqlite3.Connection, after: int = 0) -> set[int]:
    """Return the numbers of the data keys that some payload with a number above ``after`` is sealed under."""
    headers = connection.execute(
        "SELECT DISTINCT substr(payload, 1, ?) FROM version WHERE rk>?", (HEADER.size, after)
    )
    return (
        {HEADER.unpack(header)[1] for (header,) in headers}
        | state_seals.keys_in_use(connection)
        | classes.keys_in_use(connection)
        | dictionaries.keys_in_use(connection)
    )


def newest(connection: sqlite3.Connection) -> int:
    """Return the number of the newest version; 0 in an empty store."""
    found: int = connection.execute("SELECT coalesce(max(rk), 0) FROM version").fetchone()[0]
    return found


def forget_all_but(connection: sqlite3.Connection, numbers: Iterable[int]) -> None:
    """Remove the proofs of the keys that are about to be retired."""
    kept = [f"{proofs.PROOF}{number}" for number in numbers]
    for (key,) in connection.execute("SELECT key FROM meta").fetchall():
        if key.startswith(proofs.PROOF) and key not in kept:
            connection.execute("DELETE FROM meta WHERE key=?", (key,))
