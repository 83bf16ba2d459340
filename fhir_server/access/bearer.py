"""The Authorization header becomes an Actor: a token is verified once, then remembered until it expires.

https://www.rfc-editor.org/rfc/rfc6750 and https://www.rfc-editor.org/rfc/rfc9068
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from fhir_server.access.actor import Actor
from fhir_server.access.scopes import understand
from fhir_server.clock import now_ms
from fhir_server.faults import Fault, Kind

ALGORITHMS: Final = ("ES256", "ES384", "RS256", "RS384", "PS256", "PS384")
"""Signatures that are accepted on tokens; none that a public key could forge."""

PURPOSE_HEADER: Final = "X-Purpose-Of-Use"
"""Header by which a client says what it needs the data for: a code of v3-PurposeOfUse such as TREAT."""

MAX_TOKEN_BYTES: Final = 16 * 1024
REMEMBERED: Final = 10_000
"""How many verified tokens are kept; the longest unused is forgotten first and verified again."""

Revoked = Callable[[Actor], Awaitable[bool]]
"""Tells whether an actor's token was revoked; asked at every request."""

External = Callable[[str], Awaitable[Actor | None]]
"""Verifies a token that another issuer signed; None when it is not one of that issuer's."""

_fits_id = re.compile(r"[A-Za-z0-9\-.]{1,64}").fullmatch
_names = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}").fullmatch
_bearer = re.compile(rb"[Bb]earer +([A-Za-z0-9\-._~+/]+=*)").fullmatch


@dataclass(frozen=True, slots=True)
class Trust:
    """What this server's own tokens look like. ``keys``: called anew, so that keys may rotate."""

    issuer: str
    audience: str
    keys: Callable[[], KeySet]


async def never_revoked(_actor: Actor) -> bool:
    """Say of every token that it was not revoked."""
    return False


class Bearer:
    """Turns Authorization headers into actors; one for each process.

    ``external``: other issuers, asked in turn when a token is not this server's own.
    """

    def __init__(
        self, trust: Trust, revoked: Revoked = never_revoked, external: tuple[External, ...] = ()
    ) -> None:
        self._trust = trust
        self._revoked = revoked
        self._external = external
        self._known: OrderedDict[tuple[bytes, bytes | None], Actor] = OrderedDict()

    async def actor(self, authorization: bytes | None, purpose: bytes | None = None) -> Actor:
        """Return who sends this Authorization and X-Purpose-Of-Use header.

        Fault UNAUTHORIZED (401, with WWW-Authenticate) without a token or with one that is malformed,
        unknown, expired or revoked; FORBIDDEN for a purpose that the client did not register.
        """
        # By a digest, so that no token lies in memory; of the whole header, so that only a new one is read.
        key = sha256(authorization or b"").digest(), purpose
        actor = self._known.get(key)
        if actor is None:
            token = _token(authorization)
            # The same object for every request of a token and purpose: what is decided for it is found by it.
            actor = self._known[key] = with_purpose(await self._verified(token), purpose)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
        if actor.expires <= now_ms():
            self._known.pop(key, None)
            raise unauthorized("The access token has expired; ask for a new one.")
        if await self._revoked(actor):
            self._known.pop(key, None)
            raise unauthorized("The access token was revoked; ask for a new one.")
        return actor

    async def _verified(self, token: str) -> Actor:
        actor = self._own(token)
        for verify in self._external:
            actor = actor or await verify(token)
        if actor is None:
            raise unauthorized("The access token is not one that this server accepts; ask for a new one.")
        return actor

    def _own(self, token: str) -> Actor | None:
        """Return the actor of a token of this server's; None when signature, issuer or audience differ."""
        try:
            decoded = jwt.decode(token, self._trust.keys(), algorithms=list(ALGORITHMS))
        except (JoseError, ValueError):
            return None
        claims = decoded.claims
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        # An ID token is signed with the same keys; only what says that it is an access token is one.
        if decoded.header.get("typ") not in ("at+jwt", "application/at+jwt"):
            return None
        if claims.get("iss") != self._trust.issuer or self._trust.audience not in audiences:
            return None
        return actor_of(claims, self._trust.audience)


def actor_of(claims: Mapping[str, Any], base: str) -> Actor | None:
    """Return the actor that verified claims describe; None when one of them cannot be read.

    client_id, scope (a string), jti, exp; when there are any: nbf, fhirUser and organization
    (``Practitioner/1``, or its URL below ``base``: what another server calls so is somebody else), roles,
    purposes (lists), patient, encounter (ids).
    """
    client, scope, expires = claims.get("client_id"), claims.get("scope", ""), claims.get("exp")
    begins = claims.get("nbf", 0)
    lists = [claims.get(name, []) for name in ("roles", "purposes")]
    named = [claims.get(name) for name in ("fhirUser", "organization")]
    ids = [claims.get(name) for name in ("patient", "encounter")]
    token = claims.get("jti")
    if not (isinstance(client, str) and client and isinstance(scope, str) and isinstance(token, str)):
        return None
    if not all(_is_number(each) for each in (expires, begins)) or begins * 1000 > now_ms():
        return None
    if not all(isinstance(each, list) and all(isinstance(item, str) for item in each) for each in lists):
        return None
    if any(each is not None and not (isinstance(each, str) and _fits_id(each)) for each in ids):
        return None
    references = [None if each is None else _reference(each, base) for each in named]
    if any(given is not None and found is None for given, found in zip(named, references, strict=True)):
        return None
    purposes = frozenset(lists[1])
    return Actor(
        client=client,
        user=references[0],
        organization=references[1],
        roles=frozenset(lists[0]),
        rights=understand(scope),
        patient=ids[0],
        encounter=ids[1],
        purposes=purposes,
        purpose=next(iter(purposes)) if len(purposes) == 1 else None,
        token=token,
        expires=int(expires * 1000) if expires is not None else 0,
    )


def with_purpose(actor: Actor, header: bytes | None) -> Actor:
    """Return the actor with the purpose that the header names; 403 when its client did not register it."""
    if header is None:
        return actor
    purpose = header.decode("latin-1").strip()
    if purpose not in actor.purposes:
        raise Fault(
            Kind.FORBIDDEN,
            f"{PURPOSE_HEADER} names a purpose of use that this client is not registered for.",
        )
    return replace(actor, purpose=purpose)


def unauthorized(sentence: str, error: str = "invalid_token") -> Fault:
    """Return the 401 that asks for a token. https://www.rfc-editor.org/rfc/rfc6750#section-3"""
    challenge = f'Bearer realm="fhir", error="{error}"' if error else 'Bearer realm="fhir"'
    return Fault(Kind.UNAUTHORIZED, sentence, headers=(("WWW-Authenticate", challenge),))


def insufficient(sentence: str) -> Fault:
    """Return the 403 for a right that no scope of the token gives; the same for every resource and id."""
    challenge = 'Bearer realm="fhir", error="insufficient_scope"'
    return Fault(Kind.FORBIDDEN, sentence, headers=(("WWW-Authenticate", challenge),))


def _token(authorization: bytes | None) -> str:
    if authorization is None:
        # RFC 6750 3.1: no error code when the request lacks any authentication.
        raise unauthorized("Send an access token: Authorization: Bearer …", error="")
    match = _bearer(authorization.strip())
    if match is None or len(authorization) > MAX_TOKEN_BYTES:
        raise unauthorized("The Authorization header is not Bearer and a token.")
    return match[1].decode()


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e12


def _reference(value: Any, base: str) -> str | None:
    local = value.removeprefix(f"{base}/") if isinstance(value, str) else ""
    return local if _names(local) else None
