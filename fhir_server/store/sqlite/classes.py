"""Policy classes in the file: rules by number, and of each patient its standing and its times in classes.

Rules and what a standing says are sealed; patients are known by the digest that references to them have. What
lies open: which digests are in the same class when, and nothing of what the class means.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

from fhir_server.crypto.blind import BlindIndex
from fhir_server.crypto.envelope import HEADER, Envelope
from fhir_server.crypto.keys import KeyFault
from fhir_server.faults import Fault
from fhir_server.store.api import Reclass, Stale
from fhir_server.store.policies import Span, Standing
from fhir_server.store.sealed import (
    Stands,
    check_reclasses,
    known_rule,
    open_rule,
    open_standing,
    patient_digest,
    same_patient,
    seal_rule,
    seal_standing,
)
from fhir_server.store.sqlite.functions import judge_of
from fhir_server.store.sqlite.reader import Readers, Session

_CHUNK: Final = 200
# By the index class_used: one step for each class, however many patients are in it.
_USED: Final = (
    "SELECT number FROM policy_class p WHERE EXISTS (SELECT 1 FROM patient_class c"
    " WHERE c.number=p.number AND c.until>(SELECT moment()))"
)
_NOW: Final = "since<=(SELECT moment()) AND until>(SELECT moment())"


def class_of(connection: sqlite3.Connection, blind: BlindIndex, patient: str) -> int:
    """Return the class that a patient is in at the moment of the connection's question; 0 for none."""
    statement = f"SELECT number FROM patient_class WHERE k=? AND {_NOW}"
    found = connection.execute(statement, (patient_digest(blind, patient),)).fetchone()
    return 0 if found is None else int(found[0])


class SqlitePolicies:
    """Implements :class:`fhir_server.store.policies.Policies`."""

    def __init__(self, readers: Readers, envelope: Envelope, blind: BlindIndex) -> None:
        self._readers = readers
        self._envelope = envelope
        self._blind = blind

    async def standing(self, patients: Iterable[str]) -> list[Standing]:
        """Return how each of ``patients`` stands, in that order."""
        wanted = list(patients)

        def work(session: Session) -> list[Standing]:
            return [self._standing(session.connection, patient) for patient in wanted]

        return await self._readers.run(work, quick=len(wanted) <= _CHUNK)

    async def classes(self, patients: Iterable[str]) -> dict[str, int]:
        """Return the class that each of ``patients`` is in now."""

        def work(session: Session) -> dict[str, int]:
            judge_of(session.connection).begin()
            return {patient: class_of(session.connection, self._blind, patient) for patient in wanted}

        wanted = list(patients)
        return await self._readers.run(work, quick=len(wanted) <= _CHUNK)

    async def rules(self, after: int = 0) -> list[tuple[int, bytes]]:
        """Return the numbers and rules of the classes with greater numbers than ``after``, in order."""

        def work(session: Session) -> list[tuple[int, bytes]]:
            statement = "SELECT number, payload FROM policy_class WHERE number>? ORDER BY number"
            rows = session.connection.execute(statement, (after,)).fetchall()
            return [(number, open_rule(self._envelope, number, payload)) for number, payload in rows]

        return await self._readers.run(work)

    async def used(self) -> frozenset[int]:
        """Return the numbers of the classes that some patient is in now or will be in later."""

        def work(session: Session) -> frozenset[int]:
            judge_of(session.connection).begin()
            return frozenset(number for (number,) in session.connection.execute(_USED))

        return await self._readers.run(work)

    def _standing(self, connection: sqlite3.Connection, patient: str) -> Standing:
        k = patient_digest(self._blind, patient)
        row = connection.execute("SELECT ver, payload FROM standing WHERE k=?", (k,)).fetchone()
        if row is None:
            return Standing(patient)
        content = open_standing(self._envelope, k, *row)
        if content.patient != patient:
            return Standing(patient)
        spans = connection.execute(
            "SELECT since, until, number FROM patient_class WHERE k=? ORDER BY since", (k,)
        )
        return Standing(patient, row[0], tuple(Span(*span) for span in spans), content.note)


class Classing:
    """Reclasses patients inside an open write transaction: check all first, then write."""

    def __init__(self, connection: sqlite3.Connection, envelope: Envelope, blind: BlindIndex) -> None:
        self._connection = connection
        self._envelope = envelope
        self._blind = blind

    def check(self, reclasses: Sequence[Reclass]) -> None:
        """Raise Stale when a patient was reclassed since; ValueError for slices that are none."""
        check_reclasses(reclasses)
        for each in reclasses:
            k = patient_digest(self._blind, each.patient)
            row = self._connection.execute("SELECT ver, payload FROM standing WHERE k=?", (k,)).fetchone()
            if (0 if row is None else row[0]) != each.seen:
                raise Stale
            if row is not None:
                same_patient(open_standing(self._envelope, k, *row), each.patient)
            for part in each.slices:
                self._known(part.rule)

    def write(self, reclasses: Iterable[Reclass]) -> None:
        """Write what :meth:`check` has passed."""
        for each in reclasses:
            k, version = patient_digest(self._blind, each.patient), each.seen + 1
            payload = seal_standing(self._envelope, k, version, Stands(each.patient, each.note))
            self._connection.execute("INSERT OR REPLACE INTO standing VALUES(?, ?, ?)", (k, version, payload))
            self._connection.execute("DELETE FROM patient_class WHERE k=?", (k,))
            rows = [(k, part.start, part.end, self._number(part.rule)) for part in each.slices]
            self._connection.executemany("INSERT INTO patient_class VALUES(?, ?, ?, ?)", rows)

    def _known(self, rule: bytes) -> int | None:
        """Return the number of a rule; None when it is new."""
        statement = "SELECT number, payload FROM policy_class WHERE digest=?"
        found = self._connection.execute(statement, (self._blind.rule(rule),)).fetchone()
        if found is None:
            return None
        return known_rule(self._envelope, found[0], found[1], rule)

    def _number(self, rule: bytes) -> int:
        """Return the number of a rule, giving it one when it is new."""
        known = self._known(rule)
        if known is not None:
            return known
        greatest = self._connection.execute("SELECT coalesce(max(number), 0) FROM policy_class").fetchone()[0]
        number = int(greatest) + 1
        row = (number, self._blind.rule(rule), seal_rule(self._envelope, number, rule))
        self._connection.execute("INSERT INTO policy_class VALUES(?, ?, ?)", row)
        return number


def reseal(connection: sqlite3.Connection, envelope: Envelope) -> int:
    """Seal the next rules and standings that are not under the active key anew; return how many, 0 = none."""
    old = "WHERE substr(payload, 1, ?) != ? LIMIT ?"
    args = (HEADER.size, envelope.header, _CHUNK)
    rules = connection.execute(f"SELECT number, payload FROM policy_class {old}", args).fetchall()
    for number, payload in rules:
        fresh = seal_rule(envelope, number, open_rule(envelope, number, payload))
        connection.execute("UPDATE policy_class SET payload=? WHERE number=?", (fresh, number))
    standings = connection.execute(f"SELECT k, ver, payload FROM standing {old}", args).fetchall()
    for k, version, payload in standings:
        fresh = seal_standing(envelope, k, version, open_standing(envelope, k, version, payload))
        connection.execute("UPDATE standing SET payload=? WHERE k=?", (fresh, k))
    return len(rules) + len(standings)


def keys_in_use(connection: sqlite3.Connection) -> set[int]:
    """Return the numbers of the data keys that some rule or standing is sealed under."""
    headers = connection.execute(
        "SELECT DISTINCT substr(payload, 1, ?1) FROM policy_class"
        " UNION SELECT DISTINCT substr(payload, 1, ?1) FROM standing",
        (HEADER.size,),
    )
    return {HEADER.unpack(header)[1] for (header,) in headers}


def damage(connection: sqlite3.Connection, envelope: Envelope, blind: BlindIndex) -> list[str]:
    """Say what is wrong with rules and standings, a sentence each, naming none; [] = sound."""
    closed = strange = 0
    for number, digest, payload in connection.execute("SELECT number, digest, payload FROM policy_class"):
        try:
            strange += blind.rule(open_rule(envelope, number, payload)) != digest
        except (Fault, KeyFault):
            closed += 1
    for k, version, payload in connection.execute("SELECT k, ver, payload FROM standing"):
        try:
            strange += patient_digest(blind, open_standing(envelope, k, version, payload).patient) != k
        except (Fault, KeyFault):
            closed += 1
    questions = {
        "{} times in policy classes are of a class that is not there.": "SELECT count(*) FROM patient_class"
        " WHERE number NOT IN (SELECT number FROM policy_class)",
        "{} times in policy classes belong to no patient's standing.": "SELECT count(*) FROM patient_class"
        " WHERE k NOT IN (SELECT k FROM standing)",
        "{} times in policy classes overlap others or end before they begin.": "SELECT count(*) FROM"
        " patient_class a WHERE since>=until OR EXISTS (SELECT 1 FROM patient_class b"
        " WHERE b.k=a.k AND b.since>a.since AND b.since<a.until)",
    }
    counted = {
        sentence: connection.execute(question).fetchone()[0] for sentence, question in questions.items()
    }
    counted["{} rules or standings of patients cannot be opened."] = closed
    counted["{} rules or standings of patients are not what they were digested from."] = strange
    return [sentence.format(number) for sentence, number in counted.items() if number]
