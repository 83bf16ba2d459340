"""The custom search parameters that the index follows: their set, its generation, the index after a change.

A rebuild only adds rows: the rows of a parameter that is gone, or whose definition has changed, are dropped
before. Each step is one short commit, so that other writers wait for none of them long.
"""

from __future__ import annotations

import sqlite3
from functools import partial
from typing import Final

from fhir_server.store.api import Stale
from fhir_server.store.sqlite.about import patient_of
from fhir_server.store.sqlite.batch import Tools, repeated
from fhir_server.store.sqlite.names import Draft, Names
from fhir_server.store.sqlite.reader import Readers
from fhir_server.store.sqlite.rows import (
    BY_RESOURCE,
    COLUMNS,
    Rows,
    names_of,
    numbered,
    rows_of,
    strings_of,
    with_sk,
)
from fhir_server.store.sqlite.schema import LIVE, generation, type_range
from fhir_server.store.sqlite.writer import Writer
from fhir_server.store.upkeep import Rebuilt

_STEP: Final = 64
"""Resources of one step: some ten milliseconds in which no other commit runs."""

_DROPPED: Final = 2_000


class SqliteParameters:
    """Implements :class:`fhir_server.store.upkeep.Parameters`."""

    def __init__(self, readers: Readers, writer: Writer, names: Names, tools: Tools) -> None:
        self._readers = readers
        self._writer = writer
        self._names = names
        self._tools = tools

    async def read(self) -> tuple[int, bytes]:
        """Return the generation and the text of the current set; b"" when there never was one."""

        def work(connection: sqlite3.Connection) -> tuple[int, bytes]:
            rows = connection.execute("SELECT key, value FROM meta WHERE key IN ('generation', 'parameters')")
            found = dict(rows.fetchall())
            return found.get("generation", 0), found.get("parameters", b"")

        return self._readers.point(work)

    async def write(self, text: bytes, generation: int) -> int:
        """Replace the set whose generation is ``generation``; return the new one. Raises Stale."""
        return await self._writer.run(partial(_write, text, generation))

    async def drop(self, type_: str, code: str) -> int:
        """Remove some index rows of a parameter; return how many, 0 when none is left."""
        p = self._readers.point(lambda connection: self._names.param_number(connection, type_, code))
        return 0 if p is None else await self._writer.run(partial(_drop, p))

    async def rebuild(self, type_: str, after: int = 0) -> Rebuilt:
        """Add the index rows that some current resources of a type lack, in one short commit."""
        draft, rebuilt = await self._writer.run(partial(self._rebuild, type_, after))
        draft.adopt()
        return rebuilt

    def _rebuild(self, type_: str, after: int, connection: sqlite3.Connection) -> tuple[Draft, Rebuilt]:
        draft = Draft(self._names, connection)
        number = draft.type_number(connection, type_)
        if number is None:
            return draft, Rebuilt(None, 0, 0)
        first, beyond = type_range(number)
        found = connection.execute(
            "SELECT h.sk, h.h, h.ver, h.upd, v.payload FROM head h CROSS JOIN version v ON v.rk=h.rk"
            " WHERE h.sk>? AND h.sk>=? AND h.sk<? AND h.state=? ORDER BY h.sk LIMIT ?",
            (after, first, beyond, LIVE, _STEP),
        ).fetchall()
        current, added = generation(connection), 0
        for sk, digest, version, updated, payload in found:
            body = self._tools.opener.body(type_, digest, version, payload)
            values = self._tools.extractor(type_, body)
            if values.generation != current:
                raise Stale
            numbers = draft.allot_params(type_, names_of(values))
            timed = self._tools.is_timed(type_)
            rows = rows_of(values, numbers, self._tools.blind, timed=timed, updated=updated)
            added += _add(connection, draft, rows, sk)
            patient = patient_of(values, self._tools.blind)
            connection.execute("UPDATE head SET pat=? WHERE sk=? AND pat IS NOT ?", (patient, sk, patient))
        return draft, Rebuilt(found[-1][0] if len(found) == _STEP else None, len(found), added)


def _write(text: bytes, expected: int, connection: sqlite3.Connection) -> int:
    if generation(connection) != expected:
        raise Stale
    rows = (("parameters", text), ("generation", expected + 1))
    connection.executemany("INSERT OR REPLACE INTO meta VALUES(?, ?)", rows)
    return expected + 1


def _drop(p: int, connection: sqlite3.Connection) -> int:
    """Remove some rows of parameter number ``p`` and its twin from every table."""
    before = connection.total_changes
    for table, columns in COLUMNS.items():
        if table in BY_RESOURCE or "p" not in columns:
            continue  # in the order of resources: their rows go with those of the other tables
        key = ", ".join(columns)
        for twin in (p, p | 1):
            gone = connection.execute(
                f"DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} WHERE p=? LIMIT ?)"
                " RETURNING sk",
                (twin, _DROPPED),
            ).fetchall()
            for other in ("own", "element"):
                statement = f"DELETE FROM {other} WHERE sk=? AND p IN (?, ?)"
                connection.executemany(statement, [(sk, p, p | 1) for (sk,) in gone])
    # The strings keep their numbers: other processes may know them.
    connection.execute(
        "DELETE FROM str WHERE (t, sk) IN (SELECT s.t, s.sk FROM text x CROSS JOIN str s ON s.t=x.t"
        " WHERE x.p=? LIMIT ?)",
        (p, _DROPPED),
    )
    connection.execute("DELETE FROM unit WHERE p=?", (p,))
    connection.execute("DELETE FROM several WHERE p=?", (p,))
    return connection.total_changes - before


def _add(connection: sqlite3.Connection, draft: Draft, rows: Rows, sk: int) -> int:
    """Insert what is missing of a resource's rows; return how many that were."""
    before = connection.total_changes
    for table, columns in COLUMNS.items():
        wanted = with_sk(table, getattr(rows, table), sk)
        if table == "str":
            wanted = numbered(wanted, draft.allot_texts(strings_of(wanted)))
        if wanted:
            places = ", ".join("?" * len(columns))
            connection.executemany(f"INSERT OR IGNORE INTO {table} VALUES({places})", wanted)
    units = sorted({(row[0] & ~1, row[1]) for row in rows.quantity})
    connection.executemany("INSERT OR IGNORE INTO unit VALUES(?, ?)", units)
    connection.executemany("INSERT OR IGNORE INTO several VALUES(?)", sorted((p,) for p in repeated(rows)))
    return connection.total_changes - before
