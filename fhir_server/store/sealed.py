"""What every store seals besides resources, and how: state records, rules, standings, dictionaries.

Each is bound to what it is, so that no payload opens as another kind's: no resource type holds a colon or
begins with a small letter. Whose a standing is, and what a record's key, is sealed too, so that a digest that
two of them share is noticed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import msgspec

from fhir_server.crypto.blind import BlindIndex
from fhir_server.crypto.envelope import Damaged, Envelope
from fhir_server.faults import Fault, Kind
from fhir_server.store.api import Reclass, Slice

DICTIONARY: Final = "dictionary"
"""What compression dictionaries are sealed as."""

_RULE: Final = "policy:rule"
_STANDING: Final = "policy:standing"


class Record(msgspec.Struct, array_like=True, frozen=True):
    """What is sealed of a state record: its key, its tags, its body."""

    key: str
    tags: tuple[str, ...]
    body: bytes


class Stands(msgspec.Struct, array_like=True, frozen=True):
    """What is sealed of a patient's standing: whose it is (logical id), and the note."""

    patient: str
    note: bytes


_ENCODE: Final = msgspec.msgpack.Encoder().encode
_RECORD: Final = msgspec.msgpack.Decoder(Record).decode
_STANDS: Final = msgspec.msgpack.Decoder(Stands).decode


def patient_digest(blind: BlindIndex, patient: str) -> int:
    """Return the digest that references to a patient (logical id) have."""
    return blind.target(f"Patient/{patient}")


def record_digest(blind: BlindIndex, kind: str, key: str) -> int:
    """Return the digest that a state record is found by."""
    return blind.text(f"state\0{kind}\0{key}")


def tag_digest(blind: BlindIndex, kind: str, tag: str) -> int:
    """Return the digest of a tag of the state records of a kind."""
    return blind.text(f"state tag\0{kind}\0{tag}")


def seal_record(envelope: Envelope, kind: str, digest: int, version: int, content: Record) -> bytes:
    """Return the payload of a state record, bound to its kind, digest and version."""
    return envelope.seal(f"state:{kind}", digest, version, _ENCODE(content))


def open_record(envelope: Envelope, kind: str, digest: int, version: int, payload: bytes) -> Record:
    """Open a state record; raises Damaged when it is not what was sealed, KeyFault without its key."""
    try:
        return _RECORD(envelope.open(f"state:{kind}", digest, version, payload))
    except msgspec.DecodeError as error:
        raise Damaged from error


def unreadable_record() -> Fault:
    """Make the fault of a state record that does not open."""
    return Fault(Kind.EXCEPTION, "A stored record cannot be opened. The store's owner must run check.")


def seal_rule(envelope: Envelope, number: int, rule: bytes) -> bytes:
    """Return the payload of the rule of a policy class."""
    return envelope.seal(_RULE, number, 0, rule)


def open_rule(envelope: Envelope, number: int, payload: bytes) -> bytes:
    """Open the rule of a policy class; Fault EXCEPTION when it is damaged."""
    try:
        return envelope.open(_RULE, number, 0, payload)
    except Damaged:
        raise _damaged() from None


def known_rule(envelope: Envelope, number: int, payload: bytes, rule: bytes) -> int:
    """Return the number of a class that has the digest of ``rule``; a Fault when it is another rule's."""
    if open_rule(envelope, number, payload) != rule:
        raise Fault(Kind.EXCEPTION, "This consent cannot be kept in this store; word it otherwise.")
    return number


def seal_standing(envelope: Envelope, digest: int, version: int, content: Stands) -> bytes:
    """Return the payload of a patient's standing, bound to the patient's digest and the version."""
    return envelope.seal(_STANDING, digest, version, _ENCODE(content))


def open_standing(envelope: Envelope, digest: int, version: int, payload: bytes) -> Stands:
    """Open a patient's standing; Fault EXCEPTION when it is damaged."""
    try:
        return _STANDS(envelope.open(_STANDING, digest, version, payload))
    except (Damaged, msgspec.DecodeError):
        raise _damaged() from None


def same_patient(content: Stands, patient: str) -> None:
    """Refuse to write over the standing of another patient whose id has, by chance, the same digest."""
    if content.patient != patient:
        raise Fault(Kind.CONFLICT, "This id cannot be used in this store; choose another one.", "Resource.id")


def check_reclasses(reclasses: Sequence[Reclass]) -> None:
    """Raise ValueError for slices that are none, and for a patient who is reclassed twice."""
    if len({each.patient for each in reclasses}) < len(reclasses):
        raise ValueError("one commit reclasses the same patient twice")
    for each in reclasses:
        _check_slices(each.slices)


def _check_slices(slices: Sequence[Slice]) -> None:
    if any(each.start >= each.end for each in slices):
        raise ValueError("a slice ends before it begins")
    if any(one.end > other.start for one, other in pairwise(slices)):
        raise ValueError("slices overlap or are not in order")


def _damaged() -> Fault:
    return Fault(Kind.EXCEPTION, "A patient's consents cannot be read. The store's owner must run check.")
