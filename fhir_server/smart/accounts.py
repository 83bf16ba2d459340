"""Clients, accounts and issuers: added, changed and removed, by the command line and by the API alike.

Whoever is removed or disabled loses what was granted before, at once.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

import msgspec
import pyotp

from fhir_server.access.scopes import understand
from fhir_server.faults import Fault, Kind
from fhir_server.smart.clients import checked
from fhir_server.smart.mint import digest, new_id, new_secret
from fhir_server.smart.records import Client, Issuer, Mark, User
from fhir_server.smart.shelf import Held, Shelves
from fhir_server.smart.tokens import MAX_ACCESS_SECONDS
from fhir_server.smart.users import Passwords, check_roles, is_administrator
from fhir_server.store.api import Stale
from fhir_server.store.state import StateChange

_fits_name = re.compile(r"[A-Za-z0-9._@\-]{1,128}").fullmatch
_fits_person = re.compile(r"(Practitioner|Patient|RelatedPerson|Person)/[A-Za-z0-9\-.]{1,64}").fullmatch
_fits_proxy = re.compile(r"RelatedPerson/[A-Za-z0-9\-.]{1,64}").fullmatch
_fits_organization = re.compile(r"Organization/[A-Za-z0-9\-.]{1,64}").fullmatch
_fits_role = re.compile(r"PractitionerRole/[A-Za-z0-9\-.]{1,64}").fullmatch
_PERSON_OF_ROLE: Final = {
    "practitioner": ("Practitioner/",),
    "patient": ("Patient/",),
    "proxy": ("RelatedPerson/", "Patient/"),
}


async def add_client(shelves: Shelves, client: Client, *, with_secret: bool = False) -> str:
    """Register a client; return its new secret, "" when it has none. Faults: BAD_REQUEST, CONFLICT."""
    secret = new_secret() if with_secret else ""
    # Each registration has an id of its own, by which its tokens are revoked: a client that is removed and
    # registered again gets none of its old tokens back.
    client = msgspec.structs.replace(client, secret=digest(secret) if secret else "", registration=new_id())
    checked(client)
    try:
        await shelves.apply(
            shelves.clients.to_add(client.id, client, tags=origin_tags(client)),
        )
    except Stale:
        raise Fault(Kind.CONFLICT, "A client with this id is registered; remove it first.") from None
    return secret


async def remove_client(shelves: Shelves, id_: str, now: int) -> None:
    """Remove a client; its tokens are good for nothing from now on. Fault NOT_FOUND."""
    held = await shelves.clients.get(id_)
    if held is None:
        raise Fault(Kind.NOT_FOUND, "No client with this id is registered.")
    until = now + (MAX_ACCESS_SECONDS + 60) * 1000
    await shelves.apply(
        shelves.clients.to_remove(held),
        shelves.revoked.to_set(held.value.registration, Mark(), expires=until),
        *await _without_grants(shelves, f"client {id_}", now),
    )


def origin_tags(client: Client) -> tuple[str, ...]:
    """Return the tags by which the origins of a client's pages are found (CORS)."""
    origins = {origin_of(uri) for uri in client.redirect_uris}
    return tuple(sorted(f"origin {origin}" for origin in origins if origin))


def origin_of(uri: str) -> str:
    """Return the origin of a web address as browsers write it; "" for an app's own scheme."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}".lower() if parts.scheme in ("http", "https") else ""


async def add_user(shelves: Shelves, passwords: Passwords, user: User, password: str = "") -> User:
    """Add an account; return it as stored, an administrator's with a TOTP secret. Faults as add_client."""
    user = msgspec.structs.replace(
        user,
        subject=user.subject or new_id(),
        password=passwords.hashed(password) if password else "",
        totp=user.totp or (pyotp.random_base32() if is_administrator(user) else ""),
    )
    _check_user(user)
    try:
        await shelves.apply(shelves.users.to_add(user.id, user, tags=user_tags(user)))
    except Stale:
        raise Fault(Kind.CONFLICT, "An account with this name exists; remove it first.") from None
    return user


async def change_user(shelves: Shelves, held: Held[User], user: User, now: int) -> None:
    """Write an account down anew; one that was disabled or whose rights changed is logged out."""
    _check_user(user)
    before = held.value
    changes: list[StateChange] = [shelves.users.to_replace(held, user, tags=user_tags(user))]
    rights = ("roles", "fhir_user", "organization", "proxies", "disabled", "password")
    if any(getattr(before, name) != getattr(user, name) for name in rights):
        changes += await _logged_out(shelves, user.id, now)
    await shelves.apply(*changes)


async def remove_user(shelves: Shelves, id_: str, now: int) -> None:
    """Remove an account with its sessions and everything it allowed. Fault NOT_FOUND."""
    held = await shelves.users.get(id_)
    if held is None:
        raise Fault(Kind.NOT_FOUND, "No account has this name.")
    await shelves.apply(shelves.users.to_remove(held), *await _logged_out(shelves, id_, now))


async def end_grant(shelves: Shelves, id_: str, now: int) -> None:
    """End what a person allowed an app: no refresh, and the access tokens are revoked."""
    await shelves.apply(*_ended(shelves, id_, now))


async def add_issuer(shelves: Shelves, issuer: Issuer) -> None:
    """Register an external provider. Faults: BAD_REQUEST, CONFLICT."""
    _demand(_fits_name(issuer.id), "An issuer's id is letters, digits and the signs . _ @ -")
    parts = urlsplit(issuer.issuer)
    plain = parts.scheme == "https" and parts.netloc and not (parts.query or parts.fragment)
    _demand(plain, "The issuer is an https address without query.")
    _demand(issuer.login or issuer.audience, "An issuer is for logging in, or its tokens have an audience.")
    _demand(not issuer.login or issuer.client_id, "Logging in needs the client id that the provider gave.")
    _demand(issuer.audience != issuer.client_id or not issuer.audience, "ID tokens are no access tokens.")
    _demand(not understand(issuer.scope).unknown, "A scope is unknown or malformed.")
    _demand(not issuer.audience or issuer.scope, "Name the most that the issuer's tokens may grant.")
    try:
        tags = (f"issuer {issuer.issuer}",)
        await shelves.apply(shelves.issuers.to_add(issuer.id, issuer, tags=tags))
    except Stale:
        raise Fault(Kind.CONFLICT, "An issuer with this id is registered; remove it first.") from None


def user_tags(user: User) -> tuple[str, ...]:
    """Return the tags by which an account is found: who it is at external providers."""
    return tuple(f"external {identity}" for identity in user.external)


def _check_user(user: User) -> None:
    _demand(_fits_name(user.id), "An account's name is 1 to 128 letters, digits and the signs . _ @ -")
    check_roles(user.roles)
    _demand(not is_administrator(user) or user.totp, "An administrator's account needs one-time codes.")
    _demand(not user.fhir_user or _fits_person(user.fhir_user), "The person is e.g. Practitioner/1.")
    for role, kinds in _PERSON_OF_ROLE.items():
        fits = role not in user.roles or user.fhir_user.startswith(kinds)
        _demand(fits, f"An account with the role {role} is a {' or '.join(kinds)}… record.")
    _demand(not (is_administrator(user) and user.fhir_user), "An administrator's account is no clinical one.")
    _demand(
        not user.organization or _fits_organization(user.organization),
        "The organization is a reference such as Organization/1.",
    )
    _demand(
        not user.practitioner_role or _fits_role(user.practitioner_role),
        "The role is a reference such as PractitionerRole/1.",
    )
    _demand(all(map(_fits_proxy, user.proxies)), "Proxies are references such as RelatedPerson/1.")
    _demand(
        all(len(identity.split(" ")) == 2 for identity in user.external),
        "An external identity is an issuer's id, a space, and the subject there.",
    )


async def _logged_out(shelves: Shelves, id_: str, now: int) -> list[StateChange]:
    sessions = await shelves.sessions.find(f"user {id_}")
    ended = [shelves.sessions.to_clear(session.key) for session in sessions]
    return [*ended, *await _without_grants(shelves, f"user {id_}", now)]


async def _without_grants(shelves: Shelves, tag: str, now: int) -> list[StateChange]:
    return [change for held in await shelves.grants.find(tag) for change in _ended(shelves, held.key, now)]


def _ended(shelves: Shelves, grant: str, now: int) -> list[StateChange]:
    until = now + (MAX_ACCESS_SECONDS + 60) * 1000
    return [shelves.grants.to_clear(grant), shelves.revoked.to_set(grant, Mark(), expires=until)]


def _demand(holds: object, sentence: str) -> None:
    if not holds:
        raise Fault(Kind.BAD_REQUEST, sentence)
