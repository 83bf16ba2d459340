"""Access tokens issued by the house itself, without a browser: for scripts, demonstrations and tests."""

from __future__ import annotations

from typing import NamedTuple

from fhir_server.access.scopes import grantable, understand
from fhir_server.faults import Fault, Kind
from fhir_server.smart.granting import covers, needs_patient
from fhir_server.smart.house import House
from fhir_server.smart.journal import COMMAND_LINE, Who
from fhir_server.smart.records import Client, User
from fhir_server.smart.tokens import jti_of


class Wanted(NamedTuple):
    """What a token is to say: ids of client, patient and account; a purpose, "" = all of the client's."""

    client: str
    scope: str
    patient: str = ""
    user: str = ""
    purpose: str = ""


async def issue(house: House, wanted: Wanted, seconds: int) -> str:
    """Return an access token. Faults: NOT_FOUND for a client or account, BAD_REQUEST for what they may not.

    The limits of a client hold here too: nothing beyond its registered scopes and purposes.
    """
    client = await house.shelves.clients.value(wanted.client)
    if client is None:
        raise Fault(Kind.NOT_FOUND, "No client with this id is registered; see `fhir-server client add`.")
    user = await house.shelves.users.value(wanted.user) if wanted.user else None
    if wanted.user and (user is None or user.disabled):
        raise Fault(Kind.NOT_FOUND, "No account has this name, or it is disabled.")
    _check(wanted, client, user)
    await house.keys.refresh()
    purposes = (wanted.purpose,) if wanted.purpose else None
    token = house.tokens.access(
        client, wanted.scope, seconds, user=user, purposes=purposes, patient=wanted.patient
    )
    details = (
        ("scope", wanted.scope),
        ("for", f"{client.id} {wanted.user}".strip()),
        ("seconds", str(seconds)),
    )
    await house.journal.tell("token-issue", Who(COMMAND_LINE), f"token {jti_of(token)}", details=details)
    return token


def _check(wanted: Wanted, client: Client, user: User | None) -> None:
    asked = grantable(wanted.scope)
    if asked.unknown:
        raise Fault(Kind.BAD_REQUEST, "A scope is unknown or malformed: system/Patient.rs, patient/*.rs …")
    if not covers(understand(client.scope), asked):
        raise Fault(Kind.BAD_REQUEST, "The client is not registered for all of these scopes.")
    if needs_patient(asked) and not wanted.patient:
        raise Fault(
            Kind.BAD_REQUEST, "Scopes that begin with patient/ need a patient in context: --patient ID."
        )
    if any(scope.level == "user" for scope in asked.scopes) and user is None:
        raise Fault(Kind.BAD_REQUEST, "Scopes that begin with user/ need an account: --user ID.")
    if wanted.purpose and wanted.purpose not in client.purposes:
        raise Fault(Kind.BAD_REQUEST, "The client is not registered for this purpose of use.")
