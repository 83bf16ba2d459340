"""Which visit does an app open with: the encounters of the chosen patient that the account may see.

Every look goes through the one door, with the rights of who looks.
https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html#standalone-apps
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Any, Final, NamedTuple

import msgspec

from fhir_server.access.actor import Actor
from fhir_server.access.scopes import understand
from fhir_server.faults import Fault
from fhir_server.interactions.request import Request
from fhir_server.smart.patients import Run
from fhir_server.smart.records import User

MOST: Final = 20
"""Encounters in the list, the newest ones."""

_fits_id = re.compile(r"[A-Za-z0-9\-.]{1,64}").fullmatch
_decode = msgspec.json.decode


class Visit(NamedTuple):
    """An encounter that may be chosen: when it began ("" = not known), code of its class, what and where."""

    id: str
    begun: str
    kind: str
    what: str
    place: str


class Encounters:
    """Answers which encounters of a patient an account may open. ``zone``: of the times that are shown."""

    def __init__(self, run: Run, base: str, zone: tzinfo) -> None:
        self._run = run
        self._base = base
        self._zone = zone

    async def choices(self, user: User, fhir_user: str, patient: str) -> list[Visit]:
        """Return the newest encounters of ``patient`` that ``user``, acting as ``fhir_user``, may see."""
        parameters = (("subject", f"Patient/{patient}"), ("_sort", "-date"), ("_count", str(MOST)))
        request = Request(
            "search-type",
            "Encounter",
            parameters=parameters,
            actor=_acting(user, fhir_user),
            base=self._base,
        )
        try:
            bundle = _decode((await self._run(request)).body)
        except Fault:  # the account may search no encounters
            return []
        found = [entry["resource"] for entry in bundle.get("entry", [])]
        return [self._visit(tree) for tree in found if tree["resourceType"] == "Encounter"]

    async def chosen(self, user: User, fhir_user: str, patient: str, id_: str) -> Visit | None:
        """Return the encounter with this id if it is the patient's and may be seen: no page is believed."""
        if not _fits_id(id_):
            return None
        request = Request("read", "Encounter", id_, actor=_acting(user, fhir_user), base=self._base)
        try:
            tree = _decode((await self._run(request)).body)
        except Fault:
            return None
        is_theirs = tree.get("subject", {}).get("reference") == f"Patient/{patient}"
        return self._visit(tree) if is_theirs else None

    def _visit(self, tree: Mapping[str, Any]) -> Visit:
        types = [_text(concept) for concept in tree.get("type", [])]
        return Visit(
            str(tree["id"]),
            self._moment(str(tree.get("period", {}).get("start", ""))),
            str(tree.get("class", {}).get("code", "")),
            next(filter(None, types), ""),
            str(tree.get("serviceProvider", {}).get("display", "")),
        )

    def _moment(self, text: str) -> str:
        """Return a dateTime as it is shown: to the minute in the server's zone, or as precise as it is."""
        if "T" not in text:
            return text
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return text[:10]
        return f"{moment.astimezone(self._zone):%Y-%m-%d %H:%M}"


def _text(concept: Mapping[str, Any]) -> str:
    codings = concept.get("coding", [])
    return str(concept.get("text") or next((c["display"] for c in codings if c.get("display")), ""))


def _acting(user: User, fhir_user: str) -> Actor:
    """Return the account as who looks for a visit: it may see Encounter records, and what it always may."""
    return Actor(
        client="encounter-picker",
        user=fhir_user or user.fhir_user or None,
        organization=user.organization or None,
        roles=frozenset(user.roles),
        rights=understand("user/Encounter.rs"),
    )
