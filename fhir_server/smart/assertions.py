"""private_key_jwt: a client shows who it is with a signed assertion (RS384 or ES384).

https://hl7.org/fhir/smart-app-launch/STU2.2/client-confidential-asymmetric.html and RFC 7523
"""

from __future__ import annotations

import binascii
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec
from authlib.oauth2.rfc6749.errors import InvalidClientError
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from joserfc.util import urlsafe_b64decode

from fhir_server.smart.jwks import keys_of

ALGORITHMS: Final = ("RS384", "ES384")
"""What SMART asks for; Authlib's default set has neither."""

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
MAX_SECONDS: Final = 300
"""An assertion is good for at most five minutes; Authlib sets no limit."""
_LEEWAY: Final = 30
_MAX_BYTES: Final = 16 * 1024
_KTY: Final = {"RS384": "RSA", "ES384": "EC"}


class Peek(NamedTuple):
    """What an assertion says of itself before anything was verified."""

    client: str
    kid: str
    algorithm: str
    jku: str
    jti: str


def peek(assertion: str) -> Peek | None:
    """Read an assertion without verifying it; None when it is no JWT with the members that are needed."""
    header, claims = peek_parts(assertion)
    found = Peek(
        _text(claims, "sub"),
        _text(header, "kid"),
        _text(header, "alg"),
        _text(header, "jku"),
        _text(claims, "jti"),
    )
    return found if found.client and found.kid and found.jti else None


def peek_parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims of a JWT, nothing verified; both empty when it is none."""
    parts = token.split(".")
    if len(token) > _MAX_BYTES or len(parts) != 3:
        return {}, {}
    return _object(parts[0]), _object(parts[1])


def key_for(jwks: dict[str, Any], seen: Peek) -> RSAKey | ECKey | None:
    """Return the one key with the assertion's kid and its algorithm's key type; None for none or several."""
    kty = _KTY.get(seen.algorithm)
    fit = [key for key in keys_of(jwks) if key.get("kid") == seen.kid and key.get("kty") == kty]
    if len(fit) != 1:
        return None
    try:
        return RSAKey.import_key(fit[0]) if kty == "RSA" else ECKey.import_key(fit[0])
    except (JoseError, ValueError, TypeError, KeyError):
        return None


class ClientAssertion(JWTBearerClientAssertion):  # type: ignore[misc]  # Authlib has no types
    """Authlib's check with SMART's algorithms, five minutes at most, and one use only.

    ``key``: what :func:`key_for` found. ``use``: is told jti and expiry (s), says whether it was unused.
    """

    CLIENT_AUTH_METHOD = "private_key_jwt"

    def __init__(
        self, audience: str, key: RSAKey | ECKey | None, now: int, use: Callable[[str, int], bool]
    ) -> None:
        super().__init__()
        self._audience = audience
        self._key = key
        self._now = now // 1000
        self._use = use

    def resolve_client_public_key(self, client: Any) -> RSAKey | ECKey:  # noqa: ARG002 chosen before
        """Return the client's key; there must be exactly one that fits."""
        if self._key is None:
            raise InvalidClientError(description="Not exactly one key of the client fits kid and alg.")
        return self._key

    def process_assertion_claims(self, assertion: str, resolve_key: Any) -> Any:
        """Verify signature and claims."""
        try:
            token = jwt.decode(assertion, resolve_key, algorithms=list(ALGORITHMS))
        except (JoseError, ValueError) as error:
            raise InvalidClientError(description="The assertion cannot be verified.") from error
        self.verify_claims(token.claims)
        return token.claims

    def verify_claims(self, claims: Any) -> None:
        """Check iss = sub, aud, exp at most five minutes ahead, and that the jti is new."""
        registry = jwt.JWTClaimsRegistry(
            now=self._now,
            leeway=_LEEWAY,
            iss={"essential": True},
            sub={"essential": True},
            aud={"essential": True, "value": self._audience},
            exp={"essential": True},
            jti={"essential": True},
        )
        try:
            registry.validate(claims)
        except (JoseError, TypeError, ValueError) as error:
            raise InvalidClientError(description="A claim of the assertion is missing or wrong.") from error
        if claims["iss"] != claims["sub"]:
            raise InvalidClientError(description="iss and sub of the assertion are both the client's id.")
        if claims["exp"] > self._now + MAX_SECONDS + _LEEWAY:
            raise InvalidClientError(description="The assertion is good for longer than five minutes.")
        if not isinstance(claims["jti"], str) or not self._use(claims["jti"], int(claims["exp"])):
            raise InvalidClientError(description="The assertion was used before.")


def _object(part: str) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(urlsafe_b64decode(part.encode()))
    except (ValueError, binascii.Error):
        return {}
    return found if isinstance(found, dict) else {}


def _text(members: dict[str, Any], name: str) -> str:
    value = members.get(name)
    return value if isinstance(value, str) and len(value) <= 1024 else ""
