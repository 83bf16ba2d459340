"""Access tokens of external issuers: a hospital's own identity provider may open this server.

https://www.rfc-editor.org/rfc/rfc9068#section-4 and OpenID Connect Discovery 1.0
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from fhir_server.access.actor import Actor
from fhir_server.access.bearer import actor_of
from fhir_server.access.scopes import understand
from fhir_server.faults import Fault
from fhir_server.smart.assertions import peek_parts
from fhir_server.smart.granting import within
from fhir_server.smart.jwks import KeySets, keys_of
from fhir_server.smart.records import Issuer
from fhir_server.smart.shelf import Shelves

ALGORITHMS: Final = ("RS256", "RS384", "PS256", "PS384", "ES256", "ES384")
_DISCOVERY: Final = "/.well-known/openid-configuration"
_LEEWAY: Final = 30
_KEPT: Final = ("exp", "nbf", "fhirUser", "patient", "encounter")
_KTY: Final = {"RS": "RSA", "PS": "RSA", "ES": "EC"}


class Issuers:
    """Turns tokens of the issuers that an administrator has registered into actors."""

    def __init__(self, shelves: Shelves, key_sets: KeySets, clock: Callable[[], int], base: str) -> None:
        self._shelves = shelves
        self._base = base
        self._key_sets = key_sets
        self._clock = clock

    async def actor(self, token: str) -> Actor | None:
        """Return who a token is of; None unless a registered issuer signed it for this server.

        An external issuer says who somebody is and what they may do at most; roles of this house, and the
        organization, are given by this house's administrators alone.
        """
        header, claims = peek_parts(token)
        issuer = await self._issuer(claims.get("iss"))
        if issuer is None:
            return None
        try:
            verified = await verified_claims(
                self._key_sets, issuer.issuer, token, header, audience=issuer.audience, now=self._clock()
            )
        except (Fault, JoseError, ValueError, TypeError):
            return None
        return None if verified is None else actor_of(_ours(verified, issuer, token), self._base)

    async def _issuer(self, url: Any) -> Issuer | None:
        if not isinstance(url, str):
            return None
        found = await self._shelves.issuers.find(f"issuer {url}")
        return next((held.value for held in found if held.value.audience), None)


async def provider(key_sets: KeySets, issuer: str) -> dict[str, Any]:
    """Return a provider's metadata; Fault UNAVAILABLE, ValueError when it is another one's."""
    metadata = await key_sets.at(issuer.rstrip("/") + _DISCOVERY)
    if metadata.get("issuer") != issuer:
        raise ValueError("issuer")
    return metadata


async def verified_claims(
    key_sets: KeySets, issuer: str, token: str, header: dict[str, Any], *, audience: str, now: int
) -> dict[str, Any] | None:
    """Verify a JWT of an issuer: signature, iss, aud, exp, nbf; None when its key is not published.

    Raises what joserfc raises for a signature or a claim that is wrong.
    """
    metadata = await provider(key_sets, issuer)
    kid, algorithm = header.get("kid"), str(header.get("alg"))
    if algorithm not in ALGORITHMS:
        return None
    jwks = await key_sets.at(str(metadata.get("jwks_uri")), kid if isinstance(kid, str) else None)
    kty = _KTY[algorithm[:2]]
    fit = [key for key in keys_of(jwks) if key.get("kty") == kty and key.get("use", "sig") == "sig"]
    if kid is not None:
        fit = [key for key in fit if key.get("kid") == kid]
    if len(fit) != 1:
        return None
    keys = KeySet.import_key_set({"keys": fit})
    decoded = jwt.decode(token, keys, algorithms=[algorithm])
    registry = jwt.JWTClaimsRegistry(
        now=now // 1000,
        leeway=_LEEWAY,
        iss={"essential": True, "value": issuer},
        aud={"essential": True, "value": audience},
        exp={"essential": True},
    )
    registry.validate(decoded.claims)
    return decoded.claims


def _ours(claims: dict[str, Any], issuer: Issuer, token: str) -> dict[str, Any]:
    """Return the claims as this server's tokens have them, with nothing more than the issuer may say."""
    scope = claims.get("scope", "")
    asked = understand(scope if isinstance(scope, str) else " ".join(map(str, scope)))
    kept: dict[str, Any] = {name: claims[name] for name in _KEPT if name in claims}
    client = claims.get("client_id") or claims.get("azp") or "unknown"
    return {
        **kept,
        "client_id": f"{issuer.id}:{client}",
        "scope": within(asked, understand(issuer.scope)).granted,
        "jti": str(claims.get("jti") or hashlib.sha256(token.encode()).hexdigest()),
        "purposes": [purpose for purpose in _list(claims.get("purposes")) if purpose in issuer.purposes],
        **({"organization": issuer.organization} if issuer.organization else {}),
    }


def _list(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []
