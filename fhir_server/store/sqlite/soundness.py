"""Looking for damage: every payload opens, and the index holds the current resources' rows and no others.

Index rows cannot be listed by resource, so they are compared by sums over buckets of resources: one pass over
each table, little memory. Buckets that differ are then compared row by row.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from fhir_server.faults import Fault
from fhir_server.search.values import Values
from fhir_server.store.bodies import id_of
from fhir_server.store.sqlite.about import patient_of
from fhir_server.store.sqlite.batch import Tools
from fhir_server.store.sqlite.names import Names, Text, Unallotted
from fhir_server.store.sqlite.rows import COLUMNS, Row, numbered, rows_of, strings_of, with_sk
from fhir_server.store.sqlite.schema import LIVE

_BUCKET_BITS: Final = 8
_MOST_FINDINGS: Final = 100
_MASK: Final = 2**64 - 1

_PATIENT: Final = "patient"
_SELECTS: Final = {
    **{table: f"SELECT * FROM {table}" for table in COLUMNS},
    _PATIENT: f"SELECT sk, pat FROM head WHERE pat IS NOT NULL AND state={LIVE}",
}
"""What is compared: the index tables, and the column that says which patient a resource is about."""

_Bucket = tuple[str, int]


@dataclass(slots=True)
class _Inspection:
    connection: sqlite3.Connection
    names: Names
    tools: Tools
    findings: list[str] = field(default_factory=list)

    def run(self) -> list[str]:
        structure = [row[0] for row in self.connection.execute("PRAGMA integrity_check(10)")]
        if structure != ["ok"]:
            self.findings += [f"The file's structure is damaged: {line}." for line in structure]
        self._check_numbers()
        sums: dict[_Bucket, int] = defaultdict(int)
        for table, row in self._expected():
            _add(sums, table, row, 1)
        for table, select in _SELECTS.items():
            for row in self.connection.execute(select):
                _add(sums, table, row, -1)
        self._explain({bucket for bucket, total in sums.items() if total})
        return self.findings[:_MOST_FINDINGS]

    def _check_numbers(self) -> None:
        """See that heads point to their versions, ids to their heads, and that history has no gaps."""
        questions = {
            "{} current versions are missing from the change log.": "SELECT count(*) FROM head h LEFT JOIN"
            " version v ON v.rk=h.rk AND v.sk=h.sk AND v.ver=h.ver WHERE v.rk IS NULL",
            "{} ids lead to no resource.": "SELECT count(*) FROM ids i LEFT JOIN head h"
            " ON h.sk=i.sk AND h.h=i.h WHERE h.sk IS NULL",
            "{} resources cannot be found by id.": "SELECT count(*) FROM head h LEFT JOIN ids i ON i.h=h.h"
            " WHERE i.sk IS NOT h.sk",
            "{} resources have gaps in their history.": "SELECT count(*) FROM head h WHERE ver>1 AND ver !="
            " (SELECT count(*) FROM history n CROSS JOIN version v ON v.rk=n.rk AND v.sk=n.sk AND v.ver=n.ver"
            " WHERE n.sk=h.sk)",
            "{} versions belong to no resource.": "SELECT count(*) FROM version v LEFT JOIN head h"
            " ON h.sk=v.sk WHERE h.sk IS NULL OR v.ver>h.ver",
            "Of {} resources it is not known whom they are about: run fhir-server reindex.": "SELECT count(*)"
            " FROM head WHERE pat IS NULL",
        }
        for sentence, question in questions.items():
            number = self.connection.execute(question).fetchone()[0]
            if number:
                self.findings.append(sentence.format(number))

    def _expected(self, buckets: set[int] | None = None) -> Iterator[tuple[str, Row]]:
        """Open every version and yield the index rows that the current ones should have."""
        rows = self.connection.execute(
            "SELECT v.sk, h.h, v.ver, v.payload, h.rk=v.rk, h.state, h.pat IS NOT NULL, h.upd"
            " FROM version v CROSS JOIN head h ON h.sk=v.sk"
        )
        for sk, digest, version, payload, is_current, state, has_patient, updated in rows:
            if buckets is not None and sk >> _BUCKET_BITS not in buckets:
                continue
            type_ = self.names.type_name(self.connection, sk)
            try:
                body = self.tools.opener.body(type_, digest, version, payload)
                if self.tools.blind.target(f"{type_}/{id_of(type_, body)}") != digest:
                    raise ValueError  # noqa: TRY301 - one handler says it for both
            except (Fault, ValueError):
                if buckets is None:
                    self.findings.append(f"Version {version} of a {type_} (number {sk}) cannot be opened.")
                continue
            if is_current and state == LIVE:
                values = self.tools.extractor(type_, body)
                if has_patient:
                    yield _PATIENT, (sk, patient_of(values, self.tools.blind))
                yield from self._rows(type_, values, sk, updated)

    def _rows(self, type_: str, values: Values, sk: int, updated: int) -> Iterator[tuple[str, Row]]:
        try:
            timed = self.tools.is_timed(type_)
            numbers = self.names.params(type_)
            rows = rows_of(values, numbers, self.tools.blind, timed=timed, updated=updated)
        except Unallotted as missing:
            self.findings.append(
                f"The index lacks {type_}.{missing}: it was added after the store was filled."
            )
            return
        for table in COLUMNS:
            whole = with_sk(table, getattr(rows, table), sk)
            if table == "str":
                whole = numbered(whole, {text: self._number(text) for text in strings_of(whole)})
            for row in whole:
                yield table, row

    def _number(self, text: Text) -> int:
        """Return the number of a string; one that no string has when it was never written down."""
        return self.names.text_number(self.connection, text) or 0

    def _explain(self, differing: set[_Bucket]) -> None:
        if not differing:
            return
        numbers = {bucket for _, bucket in differing}
        balance: Counter[tuple[str, Row]] = Counter()
        for table, row in self._expected(numbers):
            balance[table, row] += 1
        for table, select in _SELECTS.items():
            for row in self.connection.execute(select):
                if _sk(table, row) >> _BUCKET_BITS in numbers:
                    balance[table, row] -= 1
        faulty = Counter((table, _sk(table, row), left > 0) for (table, row), left in balance.items() if left)
        for (table, sk, lacking), number in sorted(faulty.items()):
            what = "lacks" if lacking else "has too many:"
            self.findings.append(f"The {table} index of resource number {sk} {what} {number} rows.")


def _sk(table: str, row: Row) -> int:
    sk: int = row[0 if table == _PATIENT else COLUMNS[table].index("sk")]
    return sk


def _add(sums: dict[_Bucket, int], table: str, row: Row, sign: int) -> None:
    bucket = (table, _sk(table, row) >> _BUCKET_BITS)
    sums[bucket] = (sums[bucket] + sign * hash(row)) & _MASK


def inspect(connection: sqlite3.Connection, names: Names, tools: Tools) -> list[str]:
    """Return what is wrong with the store, a sentence each, without personal data; [] = sound."""
    names.load(connection)
    return _Inspection(connection, names, tools).run()
