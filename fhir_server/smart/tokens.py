"""The tokens that are issued: access tokens (JWT, RFC 9068) and ID tokens, and what each says.

https://www.rfc-editor.org/rfc/rfc9068 and https://openid.net/specs/openid-connect-core-1_0.html#IDToken
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from fhir_server.smart.keys import ACCESS, IDENTITY, Keys
from fhir_server.smart.mint import new_id
from fhir_server.smart.records import Client, Context, Grant, User

MAX_ACCESS_SECONDS: Final = 3600
"""Longest life of an access token. SMART App Launch: at most an hour."""
MAX_BACKEND_SECONDS: Final = 300
"""Longest life of a Backend Services token. SMART: at most five minutes."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where this server is: ``base`` is the FHIR base, which is the issuer and the audience too."""

    base: str

    @property
    def issuer(self) -> str:
        """The ``iss`` of all tokens."""
        return self.base

    def at(self, path: str) -> str:
        """Return the address of one of the authorization server's pages, such as ``token``."""
        return f"{self.base}/auth/{path}"


class Tokens:
    """Makes the tokens of one server; ``clock`` returns ms since the epoch."""

    def __init__(self, site: Site, keys: Keys, clock: Callable[[], int]) -> None:
        self.site = site
        self.keys = keys
        self.clock = clock

    def access(
        self,
        client: Client,
        scope: str,
        seconds: int,
        *,
        user: User | None = None,
        grant: Grant | None = None,
        purposes: tuple[str, ...] | None = None,
        patient: str = "",
    ) -> str:
        """Sign an access token that ``access.bearer`` understands, good for ``seconds``.

        Its jti begins with the id of its grant or client's registration: one entry revokes them all.
        """
        now = self.clock()
        claims: dict[str, Any] = {
            "iss": self.site.issuer,
            "aud": self.site.base,
            "sub": user.subject if user else client.id,
            "client_id": client.id,
            "iat": now // 1000,
            "exp": now // 1000 + seconds,
            "jti": f"{grant.id if grant else client.registration}.{new_id()}",
            "scope": scope,
        }
        context = grant.context if grant else Context()
        optional = {
            "patient": context.patient or patient,
            "encounter": context.encounter,
            "fhirUser": grant.fhir_user if grant else user.fhir_user if user else "",
            "organization": client.organization or (user.organization if user else ""),
            "roles": list(user.roles) if user else [],
            "purposes": list(client.purposes if purposes is None else purposes),
        }
        claims |= {name: value for name, value in optional.items() if value}
        key = self.keys.signing(ACCESS)
        header = {"alg": ACCESS, "typ": "at+jwt", "kid": key.kid}
        return jwt.encode(header, claims, ECKey.import_key(key.jwk), algorithms=[ACCESS])

    def identity(self, client: Client, user: User, grant: Grant, scope: str, nonce: str) -> str:
        """Sign an ID token for ``client``. ``fhirUser`` is an address, and needs the scope of that name."""
        now = self.clock()
        claims: dict[str, Any] = {
            "iss": self.site.issuer,
            "sub": user.subject,
            "aud": client.id,
            "iat": now // 1000,
            "exp": now // 1000 + MAX_ACCESS_SECONDS,
            "auth_time": grant.authenticated // 1000,
        }
        if nonce:
            claims["nonce"] = nonce
        if grant.fhir_user and not {"fhirUser", "profile"}.isdisjoint(scope.split()):
            claims["fhirUser"] = f"{self.site.base}/{grant.fhir_user}"
        key = self.keys.signing(IDENTITY)
        header = {"alg": IDENTITY, "typ": "JWT", "kid": key.kid}
        return jwt.encode(header, claims, RSAKey.import_key(key.jwk), algorithms=[IDENTITY])

    def read(self, token: str) -> dict[str, Any] | None:
        """Return the claims of an access token of this server, expired or not; None for any other text."""
        try:
            decoded = jwt.decode(token, self.keys.verification(), algorithms=[ACCESS])
        except (JoseError, ValueError):
            return None
        if decoded.header.get("typ") != "at+jwt" or decoded.claims.get("iss") != self.site.issuer:
            return None
        return decoded.claims


def jti_of(token: str) -> str:
    """Return the jti of an access token that was made here a moment ago; nothing is verified."""
    payload = token.split(".")[1]
    claims = msgspec.json.decode(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return str(claims["jti"])


def context_members(context: Context) -> dict[str, Any]:
    """Return the members of a token response that tell the launch context."""
    members = {
        "patient": context.patient,
        "encounter": context.encounter,
        "fhirContext": list(context.fhir_context),
        "intent": context.intent,
        "tenant": context.tenant,
    }
    told: dict[str, Any] = {name: value for name, value in members.items() if value}
    if context.need_patient_banner is not None:
        told["need_patient_banner"] = context.need_patient_banner
    return told


def revocation_keys(jti: str) -> tuple[str, ...]:
    """Return the keys under which a token may have been revoked: its jti, its grant or registration."""
    return (jti, jti.partition(".")[0])
