"""EHR launch: the EHR registers the context, gets an opaque value, and opens the app with it.

https://hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html#launch-app-ehr-launch
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from fhir_server.access.actor import Actor
from fhir_server.faults import Fault, Kind
from fhir_server.interactions.request import Request
from fhir_server.smart.mint import digest, new_secret
from fhir_server.smart.patients import Run
from fhir_server.smart.records import Context, Launch
from fhir_server.smart.shelf import Held, Shelves

LAUNCH_MS: Final = 5 * 60_000
"""How long a launch may wait for its app, in ms."""

_MEMBERS: Final = frozenset(
    {"patient", "encounter", "fhirContext", "intent", "need_patient_banner", "tenant", "client_id", "user"}
)
_MOST_CONTEXTS: Final = 20
_fits_id = re.compile(r"[A-Za-z0-9\-.]{1,64}").fullmatch
_fits_reference = re.compile(r"([A-Z][A-Za-z]+)/[A-Za-z0-9\-.]{1,64}").fullmatch


class Launches:
    """Registers launches and finds them again. ``run``: the one door."""

    def __init__(self, shelves: Shelves, run: Run, clock: Callable[[], int]) -> None:
        self._shelves = shelves
        self._run = run
        self._clock = clock

    async def register(self, body: Mapping[str, Any], actor: Actor) -> str:
        """Write a launch down for ``actor``, an EHR; return the value of the ``launch`` parameter.

        Faults: BAD_REQUEST for members that cannot be used; NOT_FOUND for a patient or encounter that the
        EHR may not see itself: nobody hands on more than they have.
        """
        context = context_of(body)
        await self._check_visible(context, actor)
        secret = new_secret()
        launch = Launch(context, actor.client, _text(body, "client_id"), _text(body, "user"))
        expires = self._clock() + LAUNCH_MS
        await self._shelves.apply(self._shelves.launches.to_add(digest(secret), launch, expires=expires))
        return secret

    async def find(self, value: str) -> Held[Launch] | None:
        """Return the launch that is waiting under the value of a ``launch`` parameter."""
        return await self._shelves.launches.get(digest(value)) if value else None

    async def _check_visible(self, context: Context, actor: Actor) -> None:
        for type_, id_ in (("Patient", context.patient), ("Encounter", context.encounter)):
            if not id_:
                continue
            request = Request("read", type_, id_, actor=actor)
            reply = await self._run(request)
            if type_ == "Encounter" and context.patient and not _is_about(reply.body, context.patient):
                raise Fault(Kind.BAD_REQUEST, "The encounter is another patient's.", "encounter")


def context_of(body: Mapping[str, Any]) -> Context:
    """Read the members of a launch; Fault BAD_REQUEST names the one that cannot be used."""
    if unknown := set(body) - _MEMBERS:
        raise Fault(
            Kind.BAD_REQUEST,
            f"{len(unknown)} members are unknown; a launch has {', '.join(sorted(_MEMBERS))}.",
        )
    banner = body.get("need_patient_banner", True)
    if not isinstance(banner, bool):
        raise Fault(Kind.BAD_REQUEST, "need_patient_banner is true or false.", "need_patient_banner")
    if body.get("encounter") and not body.get("patient"):
        raise Fault(Kind.BAD_REQUEST, "A launch with an encounter names its patient too.", "patient")
    return Context(
        patient=_id(body, "patient"),
        encounter=_id(body, "encounter"),
        fhir_context=_contexts(body.get("fhirContext", [])),
        intent=_text(body, "intent"),
        need_patient_banner=banner,
        tenant=_text(body, "tenant"),
    )


def _contexts(items: Any) -> tuple[dict[str, Any], ...]:
    """Read fhirContext: objects with a reference, canonical or identifier.

    Patient and Encounter have members of their own, so they come here with a role only.
    https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html#fhircontext-experimental
    """
    if not isinstance(items, list) or len(items) > _MOST_CONTEXTS:
        raise _context_fault()
    for item in items:
        if not isinstance(item, dict) or not {"reference", "canonical", "identifier"} & set(item):
            raise _context_fault()
        if "reference" in item:
            reference = _fits_reference(str(item["reference"]))
            if reference is None or (reference[1] in ("Patient", "Encounter") and not item.get("role")):
                raise _context_fault()
    return tuple(items)


def _context_fault() -> Fault:
    return Fault(
        Kind.BAD_REQUEST,
        "fhirContext is a list of objects with a reference, canonical or identifier; a Patient or Encounter "
        "among them needs a role.",
        "fhirContext",
    )


def _id(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name, "")
    if value and not (isinstance(value, str) and _fits_id(value)):
        raise Fault(Kind.BAD_REQUEST, f"{name} is an id such as 42, without its type.", name)
    return str(value)


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name, "")
    if not (isinstance(value, str) and len(value) <= 256 and value.isprintable()):
        raise Fault(Kind.BAD_REQUEST, f"{name} is a short text.", name)
    return value


def _is_about(encounter: bytes, patient: str) -> bool:
    tree = msgspec.json.decode(encounter)
    return bool(tree.get("subject", {}).get("reference") == f"Patient/{patient}")
