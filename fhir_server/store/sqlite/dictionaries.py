"""The store's own compression dictionaries (:mod:`fhir_server.crypto.learn`), sealed beside the records.

A payload names its dictionary by number, so that all that were ever used are kept.
"""

from __future__ import annotations

import contextlib
import sqlite3

from fhir_server.crypto.envelope import HEADER, Damaged, Envelope
from fhir_server.store.sealed import DICTIONARY


def read(connection: sqlite3.Connection, envelope: Envelope, number: int) -> bytes | None:
    """Return a dictionary of the store; None when it has none of that number. Raises Damaged."""
    found = connection.execute("SELECT payload FROM dictionary WHERE number=?", (number,)).fetchone()
    return None if found is None else envelope.open(DICTIONARY, number, 0, found[0])


def adopt_all(connection: sqlite3.Connection, envelope: Envelope) -> None:
    """Make the store's dictionaries known to the envelope; what is damaged shows when it is needed."""
    for (number,) in connection.execute("SELECT number FROM dictionary ORDER BY number").fetchall():
        with contextlib.suppress(Damaged):
            content = read(connection, envelope, number)
            if content is not None:
                envelope.adopt(number, content)


def reseal(connection: sqlite3.Connection, envelope: Envelope) -> int:
    """Seal the dictionaries that are not under the active key anew; return how many."""
    rows = connection.execute("SELECT number, payload FROM dictionary").fetchall()
    old = [(number, payload) for number, payload in rows if not envelope.is_current(payload)]
    for number, payload in old:
        fresh = envelope.seal_plainly(DICTIONARY, number, 0, envelope.open(DICTIONARY, number, 0, payload))
        connection.execute("UPDATE dictionary SET payload=? WHERE number=?", (fresh, number))
    return len(old)


def keys_in_use(connection: sqlite3.Connection) -> set[int]:
    """Return the numbers of the data keys that some dictionary is sealed under."""
    return {
        HEADER.unpack_from(payload)[1] for (payload,) in connection.execute("SELECT payload FROM dictionary")
    }
