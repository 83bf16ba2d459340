"""Opening stored versions: from a row of the file to :class:`Stored`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from fhir_server.crypto.envelope import Damaged, Envelope
from fhir_server.faults import Fault, Kind
from fhir_server.store.api import Stored
from fhir_server.store.bodies import DELETE, METHODS, id_of
from fhir_server.store.sqlite.names import Names

CURRENT = (
    "SELECT h.sk, h.h, v.ver, v.upd, v.method, v.payload"
    " FROM ids i CROSS JOIN head h ON h.sk=i.sk CROSS JOIN version v ON v.rk=h.rk WHERE i.h=?"
)
_BY_SK = (
    "SELECT h.sk, h.h, v.ver, v.upd, v.method, v.payload"
    " FROM json_each(?) j CROSS JOIN head h ON h.sk=j.value CROSS JOIN version v ON v.rk=h.rk"
)
BY_VERSION = (
    "SELECT h.sk, h.h, v.ver, v.upd, v.method, v.payload"
    " FROM json_each(?) j CROSS JOIN version v ON v.rk=j.value CROSS JOIN head h ON h.sk=v.sk"
)


class Opener:
    """Opens rows with the keys and names of one store."""

    def __init__(self, envelope: Envelope, names: Names) -> None:
        self._envelope = envelope
        self._names = names

    def body(self, type_: str, digest: int, version: int, payload: bytes) -> bytes:
        """Return the sealed bytes; damage becomes a fault that names no resource."""
        try:
            return self._envelope.open(type_, digest, version, payload)
        except Damaged:
            raise Fault(
                Kind.EXCEPTION, "A stored record cannot be opened. The store's owner must run check."
            ) from None

    def stored(self, connection: sqlite3.Connection, row: Sequence[Any]) -> Stored:
        """Open a row of (sk, h, version, updated, method, payload)."""
        sk, digest, version, updated, method, payload = row
        type_ = self._names.type_name(connection, sk)
        body = self.body(type_, digest, version, payload)
        id_ = id_of(type_, body)
        return Stored(type_, id_, version, updated, METHODS[method], b"" if method == DELETE else body)

    def current(self, connection: sqlite3.Connection, numbers: Iterable[int]) -> list[Stored]:
        """Open the current versions of resources by their stable numbers, in that order."""
        wanted = list(numbers)
        if not wanted:
            return []
        rows = {row[0]: row for row in connection.execute(_BY_SK, (json_array(wanted),))}
        return [self.stored(connection, rows[sk]) for sk in wanted]


def json_array(numbers: Iterable[int]) -> str:
    """Write integers as a JSON array, for ``json_each``."""
    return f"[{','.join(map(str, numbers))}]"
