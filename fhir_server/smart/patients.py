"""Whose record may a person open an app with: the own one, those cared for, those a practitioner may see.

Every look at a record goes through the one door, with the rights of who looks.
https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html#standalone-apps
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec

from fhir_server.access.actor import Actor
from fhir_server.access.scopes import understand
from fhir_server.faults import Fault
from fhir_server.interactions.request import Reply, Request
from fhir_server.smart.records import User
from fhir_server.smart.users import PRACTITIONER

MOST: Final = 20
"""Patients in one list of the picker; more are found by a longer name."""

Run = Callable[[Request], Awaitable[Reply]]

_is_patient = re.compile(r"Patient/([A-Za-z0-9\-.]{1,64})").fullmatch
_is_related = re.compile(r"RelatedPerson/([A-Za-z0-9\-.]{1,64})").fullmatch
_is_date = re.compile(r"\d{4}(-\d\d(-\d\d(T.*)?)?)?").fullmatch
_decode = msgspec.json.decode


class Choice(NamedTuple):
    """A patient who may be chosen. ``fhir_user``: the record as which the account then acts."""

    id: str
    name: str
    birth_date: str
    gender: str
    fhir_user: str


class Patients:
    """Answers whose record an account may open. ``clock`` returns ms since the epoch."""

    def __init__(self, run: Run, clock: Callable[[], int], base: str) -> None:
        self._run = run
        self._clock = clock
        self._base = base

    async def choices(self, user: User, text: str = "") -> list[Choice]:
        """Return those to choose from; for a practitioner those whose name begins with ``text``."""
        if PRACTITIONER in user.roles:
            return await self._found(user, text)
        own = _is_patient(user.fhir_user)
        listed = [await self._patient(user, own[1], user.fhir_user)] if own else []
        for reference in dict.fromkeys((user.fhir_user, *user.proxies)):
            if related := _is_related(reference):
                patient = await self._represented(user, related[1], reference)
                listed.append(patient)
        return [choice for choice in listed if choice]

    async def chosen(self, user: User, id_: str) -> Choice | None:
        """Return the patient with this id if the account may choose it: what a page sends is not believed."""
        if PRACTITIONER in user.roles:
            return await self._patient(user, id_, user.fhir_user)
        return next((choice for choice in await self.choices(user) if choice.id == id_), None)

    async def _found(self, user: User, text: str) -> list[Choice]:
        name = (("name", _escaped(text.strip())),) if text.strip() else ()
        parameters = (*name, ("_sort", "family"), ("_count", str(MOST)))
        request = Request(
            "search-type", "Patient", parameters=parameters, actor=_acting(user), base=self._base
        )
        try:
            bundle = _decode((await self._run(request)).body)
        except Fault:  # a name that cannot be searched for finds nobody
            return []
        entries = bundle.get("entry", [])
        return [_choice(entry["resource"], user.fhir_user) for entry in entries if _is_match(entry)]

    async def _patient(self, user: User, id_: str, fhir_user: str) -> Choice | None:
        actor = _acting(user, fhir_user)
        tree = await self._read("Patient", id_, actor)
        return _choice(tree, fhir_user) if tree else None

    async def _represented(self, user: User, id_: str, reference: str) -> Choice | None:
        """Return the patient of a RelatedPerson who is active and within its period now."""
        # Which RelatedPerson an account is was set by an administrator; the record itself only says for whom.
        related = await self._read("RelatedPerson", id_, Actor.internal("whom a proxy may act for"))
        if related is None or not is_valid(related, self._clock()):
            return None
        patient = _is_patient(str(related.get("patient", {}).get("reference", "")))
        return await self._patient(user, patient[1], reference) if patient else None

    async def _read(self, type_: str, id_: str, actor: Actor) -> dict[str, Any] | None:
        try:
            reply = await self._run(Request("read", type_, id_, actor=actor, base=self._base))
        except Fault:
            return None
        tree: dict[str, Any] = _decode(reply.body)
        return tree


def is_valid(related: dict[str, Any], now: int) -> bool:
    """Tell whether a RelatedPerson is active and ``now`` (ms) lies within its period, open ends included.

    https://hl7.org/fhir/R4/relatedperson-definitions.html#RelatedPerson.period
    """
    if related.get("active") is False:
        return False
    period = related.get("period", {})
    moment = datetime.fromtimestamp(now / 1000, UTC)
    begins, ends = period.get("start", ""), period.get("end", "")
    return (not begins or _is_reached(begins, moment)) and (not ends or not _is_past(ends, moment))


def _is_reached(start: str, moment: datetime) -> bool:
    """Tell whether a period that starts so has begun; what cannot be read has not."""
    if not _is_date(start):
        return False
    return _compared(start, moment) <= 0


def _is_past(end: str, moment: datetime) -> bool:
    """Tell whether a period that ends so is over; a day, month or year is over when it has passed whole."""
    return not _is_date(end) or _compared(end, moment) < 0


def _compared(text: str, moment: datetime) -> int:
    """Compare a FHIR dateTime with a moment at the precision of the text: -1 earlier, 0 the same, 1 later."""
    if "T" in text:
        try:
            given = datetime.fromisoformat(text)
        except ValueError:
            return -1 if text < moment.isoformat() else 1
        given = given if given.tzinfo else given.replace(tzinfo=UTC)
        return (given > moment) - (given < moment)
    same = moment.date().isoformat()[: len(text)]
    return (text > same) - (text < same)


def _acting(user: User, fhir_user: str = "") -> Actor:
    """Return the account as who looks for a patient: it may see Patient records, and what it always may."""
    return Actor(
        client="patient-picker",
        user=fhir_user or user.fhir_user or None,
        organization=user.organization or None,
        roles=frozenset(user.roles),
        rights=understand("user/Patient.rs"),
    )


def _is_match(entry: dict[str, Any]) -> bool:
    return bool(entry.get("search", {}).get("mode") == "match")


def _choice(patient: dict[str, Any], fhir_user: str) -> Choice:
    return Choice(
        patient["id"],
        display_name(patient),
        patient.get("birthDate", ""),
        patient.get("gender", ""),
        fhir_user,
    )


def display_name(patient: dict[str, Any]) -> str:
    """Return the name to show: the official or usual one, as written or in parts; else the id."""
    names = [name for name in patient.get("name", []) if name.get("use") not in ("old", "maiden")]
    for name in sorted(names, key=lambda name: name.get("use") not in ("official", "usual")):
        text = name.get("text") or " ".join([*name.get("given", []), name.get("family", "")]).strip()
        if text:
            return str(text)
    return str(patient["id"])


def _escaped(text: str) -> str:
    """Escape the signs that separate values of a search. https://hl7.org/fhir/R4/search.html#escaping"""
    return re.sub(r"([\\,$|])", r"\\\1", text[:100])
