"""Making a store's file ready: created or migrated, its keys proved, before anything else opens it."""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path
from typing import Final

from fhir_server.crypto.envelope import Envelope
from fhir_server.crypto.keys import KeyRing
from fhir_server.store.sqlite import dictionaries, schema, seals
from fhir_server.store.sqlite.batch import Tools
from fhir_server.store.sqlite.turns import Turns

FILE: Final = "fhir.sqlite"


def make_ready(folder: Path, ring: KeyRing, tools: Tools, *, busy_seconds: float) -> None:
    """Create or migrate the file in this process's turn, and see that the keys are its own."""
    path = folder / FILE
    schema.make_private(path)
    turns = Turns(folder, seconds=busy_seconds)
    try:
        with (
            turns.turn(),
            contextlib.closing(schema.connect(path, writing=True, busy_seconds=busy_seconds)) as connection,
        ):
            connection.execute("BEGIN IMMEDIATE")
            if schema.migrate(connection) == 0:
                seals.prepare(connection, ring, tools.blind)
                seals.mark(connection, tools.envelope)
            seals.verify(connection, ring, tools.blind, tools.envelope)
            dictionaries.adopt_all(connection, tools.envelope)
            connection.execute("COMMIT")
    finally:
        turns.close()
    tools.envelope.fetch = partial(_fetch, path, tools.envelope, busy_seconds)


def _fetch(path: Path, envelope: Envelope, busy_seconds: float, number: int) -> bytes | None:
    """Read a dictionary that another process has learned, by a connection that no thread uses."""
    with contextlib.closing(schema.connect(path, busy_seconds=busy_seconds)) as connection:
        return dictionaries.read(connection, envelope, number)
