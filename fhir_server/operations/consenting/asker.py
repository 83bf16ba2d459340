"""Who is supposed to ask: read from an operation's arguments, with what such an asker reaches by right."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fhir_server.access.actor import Actor
from fhir_server.access.agreements import Agreement, agreements
from fhir_server.access.consented import asking_of, own_records
from fhir_server.access.standing import Standing, standing
from fhir_server.audit.trail import unnoted
from fhir_server.config import Settings
from fhir_server.consent.asking import Asking
from fhir_server.consent.policy import purposes_above
from fhir_server.faults import Fault, Kind
from fhir_server.resources.reference import parse
from fhir_server.search.predicate import Predicate, any_of
from fhir_server.store.api import Store

ARGUMENTS: Final = frozenset({"organization", "practitioner", "role", "client", "purpose"})
_PEOPLE: Final = ("Practitioner", "PractitionerRole", "RelatedPerson")


@dataclass(frozen=True, slots=True)
class Asker:
    """One who asks. ``own``: of a type, the records whose custodian it is; ``agreements``: those in force."""

    asking: Asking
    own: Callable[[str], Predicate]
    agreements: tuple[Agreement, ...]

    def shared(self, type_: str) -> Predicate:
        """Return what of ``type_`` others share with it by agreement."""
        return any_of(each.shared(type_) for each in self.agreements)


def supposed(given: Mapping[str, str], base: str) -> Actor:
    """Read who asks from arguments by name.

    ``organization``, ``practitioner`` (also a RelatedPerson): literal references; ``role``: a code;
    ``client``: a client's id; ``purpose``: a purpose of use. Fault BAD_PARAMETER for what is none.
    """
    organization = _reference(given, "organization", ("Organization",), base)
    user = _reference(given, "practitioner", _PEOPLE, base)
    purpose = given.get("purpose")
    if purpose is not None and not purposes_above(purpose):
        raise Fault(Kind.BAD_PARAMETER, "purpose is a code of v3-ActReason such as TREAT, or cross-border.")
    if organization is None and user is None:
        raise Fault(Kind.BAD_PARAMETER, "Say who asks: organization, practitioner, or both.")
    return Actor.supposed(
        client=given.get("client", "supposed"),
        user=user,
        organization=organization,
        roles=frozenset(filter(None, (given.get("role"),))),
        purpose=purpose,
    )


@dataclass(frozen=True, slots=True)
class Known:
    """What was looked up of an organisation and a person, whatever they ask for."""

    stands: Standing
    signed: Sequence[Agreement]

    def asker(self, actor: Actor, when: int) -> Asker:
        """Return a supposed ``actor`` who is these, with the agreements in force at ``when`` (ms)."""
        in_force = tuple(each for each in self.signed if each.refusal(when, actor.purpose) is None)
        return Asker(asking_of(actor, self.stands), own_records(actor), in_force)


async def known(store: Store, settings: Settings, user: str | None, organization: str | None) -> Known:
    """Look up what a person is at an organisation, and what others share with that by agreement."""
    with unnoted():
        stands = await standing(store, user, organization)
        signed: Sequence[Agreement] = ()
        if organization is not None:
            signed = await agreements(store, organization, settings.zone)
    return Known(stands, signed)


def _reference(given: Mapping[str, str], name: str, types: tuple[str, ...], base: str) -> str | None:
    if name not in given:
        return None
    found = parse(given[name], base)
    if found.local is None or found.type not in types:
        raise Fault(Kind.BAD_PARAMETER, f"{name} is a reference such as {types[0]}/1.")
    return found.local
