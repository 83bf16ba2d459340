"""Which Consents decided: named in the audit of whatever touches a patient, and of what was refused.

A patient's standing has a note of its Consents: what each one's provisions say of who may ask and for what,
without the records that they are about. So nothing is read twice, and no Consent is opened for the audit.
docs/audit.md
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from msgspec import structs

from fhir_server.access.consented import askings
from fhir_server.access.decide import Decision
from fhir_server.access.scopes import Letter
from fhir_server.audit.entry import Entry
from fhir_server.audit.events import action_of
from fhir_server.consent.asking import Asking
from fhir_server.consent.combine import standing
from fhir_server.consent.compile import speaks_to
from fhir_server.consent.rule import Clause, Terms
from fhir_server.consent.source import Directive
from fhir_server.store.api import Store

REMEMBERED: Final = 20_000
"""Patients whose notes are kept in memory: a kilobyte or so for who has Consents, little for others."""
_LOG = logging.getLogger("fhir_server.consent")
_LETTERS: Final[dict[str, Letter]] = {"C": "c", "U": "u", "D": "d"}


class _Root(msgspec.Struct, array_like=True, frozen=True):
    """A provision of a Consent: when it holds (ms, both included), whom and what for it speaks of."""

    start: int
    end: int
    clause: Clause


class _Spoken(msgspec.Struct, array_like=True, frozen=True):
    """A Consent that holds, as far as the audit asks."""

    reference: str
    roots: tuple[_Root, ...]


_Notes = tuple[_Spoken, ...]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Notes).decode


def note(directives: Iterable[Directive]) -> bytes:
    """Write down the Consents of one patient that hold; b"" when there is none."""
    spoken = tuple(
        _Spoken(
            f"Consent/{each.id}/_history/{each.version}" if each.version else f"Consent/{each.id}",
            tuple(_Root(one.start, one.end, Clause(one.permit, _who(one.terms))) for one in each.provisions),
        )
        for each in standing(directives)
    )
    return _encode(spoken) if spoken else b""


def _who(terms: Terms) -> Terms:
    return Terms(actors=terms.actors, actions=terms.actions, purposes=terms.purposes)


class Deciding:
    """Names the Consents behind audit entries; one for each process. ``store``: the records themselves."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._governing = -1
        self._known: dict[str, _Notes] = {}

    async def named(self, entries: Sequence[Entry], decision: Decision | None) -> Sequence[Entry]:
        """Return the entries with, for each patient, the Consents that speak of who asked and what for.

        Of what was refused, those patients whom the address names: whose record it is was not looked up, for
        that takes a time by which hidden could be told from unknown. An entry is recorded whatever goes wrong
        here.
        """
        asking = decision.asking if decision is not None else None
        if asking is None:
            return entries
        try:
            return [await self._named(each, asking) for each in entries]
        except Exception as error:  # noqa: BLE001 - the access must be recorded all the same
            _LOG.error("The audit names no Consents", extra={"fields": {"error": type(error).__name__}})
            return entries

    async def _named(self, entry: Entry, asking: Asking) -> Entry:
        patients = entry.patients
        if not patients or not (await self._store.stamps()).classes:
            return entry
        notes = await self._notes(patients)
        asked = askings(asking, _LETTERS.get(action_of(entry), "r"))
        consents = tuple(_speaking(notes[patient], asked, entry.at) for patient in patients)
        return structs.replace(entry, consents=consents) if any(consents) else entry

    async def _notes(self, patients: Iterable[str]) -> dict[str, _Notes]:
        # The stamp is taken before: what is filed during the look-up makes the next one look again.
        governing = (await self._store.stamps()).governing
        if governing != self._governing:
            self._known, self._governing = {}, governing
        known = self._known
        missing = [patient for patient in patients if patient not in known]
        if missing:
            if len(known) + len(missing) > REMEMBERED:
                known = self._known = {}
                missing = list(patients)
            for each in await self._store.policies.standing(missing):
                known[each.patient] = _read(each.note)
        return known


def _read(note: bytes) -> _Notes:
    try:
        return _decode(note) if note else ()
    except msgspec.DecodeError:  # written by another version of the server
        return ()


def _speaking(notes: _Notes, asked: Iterable[Asking], at: int) -> tuple[str, ...]:
    """Return the references of the Consents of which a provision holds at ``at`` and speaks to the asker."""
    return tuple(
        each.reference
        for each in notes
        if any(
            root.start <= at <= root.end and any(speaks_to(root.clause, one) for one in asked)
            for root in each.roots
        )
    )
