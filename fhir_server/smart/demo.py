"""Accounts for the demo data: one for each role, two clients, a ready token. For invented data only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec
import pyotp

from fhir_server.access.actor import Actor
from fhir_server.faults import Fault
from fhir_server.interactions.request import Request
from fhir_server.smart.accounts import add_client, add_user
from fhir_server.smart.house import House
from fhir_server.smart.issuing import Wanted, issue
from fhir_server.smart.journal import COMMAND_LINE, Who, described
from fhir_server.smart.mint import new_secret
from fhir_server.smart.patients import Run
from fhir_server.smart.records import Client, User
from fhir_server.smart.users import ADMINISTRATORS

APP: Final = "demo-app"
SCRIPT: Final = "demo-script"
REDIRECTS: Final = ("http://127.0.0.1:8000/", "http://localhost:8000/")
TOKEN_SECONDS: Final = 24 * 3600
_SCOPES: Final = (
    "openid fhirUser launch launch/patient offline_access online_access patient/*.cruds user/*.cruds"
)


@dataclass(frozen=True, slots=True)
class Demo:
    """What a person needs to look around. ``accounts``: name, role, password, otpauth address ("" = none)."""

    accounts: tuple[tuple[str, str, str, str], ...]
    patient: str
    token: str


async def demonstrate(house: House, run: Run) -> Demo:
    """Make the demo accounts anew on a store that holds the demo data, and a token for a day.

    Passwords are new at each call and stand nowhere else. Those made before are replaced, so that a second
    start prints some that are good.
    """
    patient = await _first(run, "Patient", (("_sort", "_id"), ("organization:missing", "false")))
    role = await _first(run, "PractitionerRole", (("_sort", "_id"),))
    await _clients(house)
    accounts = [await _account(house, name, (name,)) for name in sorted(ADMINISTRATORS)]
    if role:
        doctor = role.get("practitioner", {}).get("reference", "")
        organization = await _hospital(run, role.get("organization", {}).get("reference", ""))
        staff = {"organization": organization, "practitioner_role": f"PractitionerRole/{role['id']}"}
        accounts.append(await _account(house, "doctor", ("practitioner",), fhir_user=doctor, **staff))
    if patient:
        accounts.append(await _account(house, "patient", ("patient",), fhir_user=f"Patient/{patient['id']}"))
    token = await issue(house, Wanted(SCRIPT, "system/*.cruds"), TOKEN_SECONDS)
    return Demo(tuple(accounts), patient["id"] if patient else "", token)


async def _clients(house: House) -> None:
    people = ("authorization_code", "refresh_token")
    app = Client(APP, "Demo app", "none", _SCOPES, people, house.clock(), REDIRECTS)
    script = Client(SCRIPT, "Demo script", "none", "system/*.cruds", (), house.clock(), purposes=("TREAT",))
    for client in (app, script):
        if await house.shelves.clients.get(client.id) is None:
            await add_client(house.shelves, client)
            details = (("scope", client.scope),)
            await house.journal.tell("client-add", Who(COMMAND_LINE), f"client {client.id}", details=details)


async def _account(
    house: House, name: str, roles: tuple[str, ...], **fields: Any
) -> tuple[str, str, str, str]:
    held = await house.shelves.users.get(name)
    if held is not None:
        await house.shelves.apply(house.shelves.users.to_remove(held))
    password = new_secret()[:16]
    user = User(id=name, name=name, subject="", created=house.clock(), roles=roles, **fields)
    user = await add_user(house.shelves, house.passwords, user, password)
    await house.journal.tell("account-add", Who(COMMAND_LINE), f"account {name}", details=described(user))
    secret = pyotp.TOTP(user.totp).provisioning_uri(name=name, issuer_name="FHIR demo") if user.totp else ""
    return name, roles[0], password, secret


async def _hospital(run: Run, reference: str) -> str:
    """Return the hospital of a department: accounts belong to organisations that manage records."""
    tree = await _read(run, reference)
    above = tree.get("partOf", {}).get("reference", "") if tree else ""
    return above or reference


async def _read(run: Run, reference: str) -> dict[str, Any] | None:
    type_, _, id_ = reference.partition("/")
    try:
        reply = await run(Request("read", type_, id_, actor=Actor.internal("demo")))
    except Fault:
        return None
    tree: dict[str, Any] = msgspec.json.decode(reply.body)
    return tree


async def _first(run: Run, type_: str, parameters: tuple[tuple[str, str], ...]) -> dict[str, Any] | None:
    request = Request(
        "search-type", type_, parameters=(*parameters, ("_count", "1")), actor=Actor.internal("demo")
    )
    bundle = msgspec.json.decode((await run(request)).body)
    found: list[dict[str, Any]] = [entry["resource"] for entry in bundle.get("entry", [])]
    return found[0] if found else None
