"""Policy classes in the file: rules by number, and of each patient its standing and its times in classes.

Rules and what a standing says are sealed; patients are known by the digest that references to them have. What
lies open: which digests are in the same class when, and nothing of what the class means.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from fhir_server.crypto.blind import BlindIndex
from fhir_server.crypto.envelope import HEADER, Damaged, Envelope
from fhir_server.crypto.keys import KeyFault
from fhir_server.faults import Fault, Kind
from fhir_server.store.api import Reclass, Slice, Stale
from fhir_server.store.policies import Span, Standing
from fhir_server.store.sqlite.functions import judge_of
from fhir_server.store.sqlite.reader import Readers, Session

# No resource type holds a colon, so no resource's payload opens as one of these.
_RULE: Final = "policy:rule"
_STANDING: Final = "policy:standing"
_CHUNK: Final = 200
# By the index class_used: one step for each class, however many patients are in it.
_USED: Final = (
    "SELECT number FROM policy_class p WHERE EXISTS (SELECT 1 FROM patient_class c"
    " WHERE c.number=p.number AND c.until>(SELECT moment()))"
)
_NOW: Final = "since<=(SELECT moment()) AND until>(SELECT moment())"


class _Sealed(msgspec.Struct, array_like=True, frozen=True):
    """What is sealed of a standing: whose it is too, so that a digest that two ids share is noticed."""

    patient: str
    note: bytes


_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE = msgspec.msgpack.Decoder(_Sealed).decode


def digest_of(blind: BlindIndex, patient: str) -> int:
    """Return the digest that references to a patient (logical id) have."""
    return blind.target(f"Patient/{patient}")


def class_of(connection: sqlite3.Connection, blind: BlindIndex, patient: str) -> int:
    """Return the class that a patient is in at the moment of the connection's question; 0 for none."""
    statement = f"SELECT number FROM patient_class WHERE k=? AND {_NOW}"
    found = connection.execute(statement, (digest_of(blind, patient),)).fetchone()
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
            return [(number, _rule(self._envelope, number, payload)) for number, payload in rows]

        return await self._readers.run(work)

    async def used(self) -> frozenset[int]:
        """Return the numbers of the classes that some patient is in now or will be in later."""

        def work(session: Session) -> frozenset[int]:
            judge_of(session.connection).begin()
            return frozenset(number for (number,) in session.connection.execute(_USED))

        return await self._readers.run(work)

    def _standing(self, connection: sqlite3.Connection, patient: str) -> Standing:
        k = digest_of(self._blind, patient)
        row = connection.execute("SELECT ver, payload FROM standing WHERE k=?", (k,)).fetchone()
        if row is None:
            return Standing(patient)
        content = _content(self._envelope, k, *row)
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
        patients = {each.patient for each in reclasses}
        if len(patients) < len(reclasses):
            raise ValueError("one commit reclasses the same patient twice")
        for each in reclasses:
            _check_slices(each.slices)
            k = digest_of(self._blind, each.patient)
            row = self._connection.execute("SELECT ver, payload FROM standing WHERE k=?", (k,)).fetchone()
            if (0 if row is None else row[0]) != each.seen:
                raise Stale
            if row is not None and _content(self._envelope, k, *row).patient != each.patient:
                raise Fault(
                    Kind.CONFLICT, "This id cannot be used in this store; choose another one.", "Resource.id"
                )
            for part in each.slices:
                self._known(part.rule)

    def write(self, reclasses: Iterable[Reclass]) -> None:
        """Write what :meth:`check` has passed."""
        for each in reclasses:
            k, version = digest_of(self._blind, each.patient), each.seen + 1
            content = _ENCODE(_Sealed(each.patient, each.note))
            payload = self._envelope.seal(_STANDING, k, version, content)
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
        if _rule(self._envelope, *found) != rule:
            raise Fault(Kind.EXCEPTION, "This consent cannot be kept in this store; word it otherwise.")
        return int(found[0])

    def _number(self, rule: bytes) -> int:
        """Return the number of a rule, giving it one when it is new."""
        known = self._known(rule)
        if known is not None:
            return known
        greatest = self._connection.execute("SELECT coalesce(max(number), 0) FROM policy_class").fetchone()[0]
        number = int(greatest) + 1
        row = (number, self._blind.rule(rule), self._envelope.seal(_RULE, number, 0, rule))
        self._connection.execute("INSERT INTO policy_class VALUES(?, ?, ?)", row)
        return number


def _check_slices(slices: Sequence[Slice]) -> None:
    if any(each.start >= each.end for each in slices):
        raise ValueError("a slice ends before it begins")
    if any(one.end > other.start for one, other in pairwise(slices)):
        raise ValueError("slices overlap or are not in order")


def _rule(envelope: Envelope, number: int, payload: bytes) -> bytes:
    try:
        return envelope.open(_RULE, number, 0, payload)
    except Damaged:
        raise _damaged() from None


def _content(envelope: Envelope, k: int, version: int, payload: bytes) -> _Sealed:
    try:
        return _DECODE(envelope.open(_STANDING, k, version, payload))
    except (Damaged, msgspec.DecodeError):
        raise _damaged() from None


def _damaged() -> Fault:
    return Fault(Kind.EXCEPTION, "A patient's consents cannot be read. The store's owner must run check.")


def reseal(connection: sqlite3.Connection, envelope: Envelope) -> int:
    """Seal the next rules and standings that are not under the active key anew; return how many, 0 = none."""
    old = "WHERE substr(payload, 1, ?) != ? LIMIT ?"
    args = (HEADER.size, envelope.header, _CHUNK)
    rules = connection.execute(f"SELECT number, payload FROM policy_class {old}", args).fetchall()
    for number, payload in rules:
        fresh = envelope.seal(_RULE, number, 0, _rule(envelope, number, payload))
        connection.execute("UPDATE policy_class SET payload=? WHERE number=?", (fresh, number))
    standings = connection.execute(f"SELECT k, ver, payload FROM standing {old}", args).fetchall()
    for k, version, payload in standings:
        content = _ENCODE(_content(envelope, k, version, payload))
        fresh = envelope.seal(_STANDING, k, version, content)
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
            strange += blind.rule(_rule(envelope, number, payload)) != digest
        except (Fault, KeyFault):
            closed += 1
    for k, version, payload in connection.execute("SELECT k, ver, payload FROM standing"):
        try:
            strange += digest_of(blind, _content(envelope, k, version, payload).patient) != k
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
