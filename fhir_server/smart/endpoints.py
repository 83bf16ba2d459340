"""Introspection and revocation, as Authlib runs them on a desk.

https://hl7.org/fhir/smart-app-launch/STU2.2/token-introspection.html and RFC 7009
"""

from __future__ import annotations

from typing import Any, Final

from authlib.oauth2.rfc6749.errors import InvalidGrantError
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint

from fhir_server.smart.clients import OAuthClient
from fhir_server.smart.desk import Desk, FormRequest
from fhir_server.smart.grants import METHODS
from fhir_server.smart.tokens import context_members

_TOLD: Final = ("client_id", "scope", "sub", "exp", "iat", "iss", "aud", "jti", "patient", "encounter")


class Token:
    """The token that a request is about: a refresh token, or the claims of an access token."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.client = desk.refresh.value.client if desk.refresh else str((desk.claims or {}).get("client_id"))

    def check_client(self, client: OAuthClient) -> bool:
        """Tell whether it was issued to ``client``."""
        return self.client == client.record.id

    def is_expired(self) -> bool:
        """Tell whether it is over: an access token's exp; a refresh token that is over is not loaded."""
        claims = self._desk.claims
        return claims is not None and int(claims["exp"]) * 1000 <= self._desk.now

    def is_revoked(self) -> bool:
        """Tell whether it was revoked or used; claims of a revoked access token are not loaded."""
        desk = self._desk
        return desk.refresh is not None and (desk.refresh.value.used or desk.grant is None)


def _found(desk: Desk) -> Token | None:
    return Token(desk) if desk.refresh or desk.claims else None


class Introspection(IntrospectionEndpoint):  # type: ignore[misc]  # Authlib has no types
    """Tells a resource server what a token is good for; any other caller learns nothing of others' tokens."""

    CLIENT_AUTH_METHODS = METHODS

    def authenticate_endpoint_client(self, request: FormRequest) -> Any:
        """Return the client that asks; None when a bearer token showed already that it may."""
        desk: Desk = self.server.desk
        return None if desk.may_introspect else super().authenticate_endpoint_client(request)

    def query_token(self, token_string: str, token_type_hint: str | None) -> Token | None:  # noqa: ARG002 loaded
        """Return the token that was loaded."""
        return _found(self.server.desk)

    def check_permission(self, token: Token, client: OAuthClient | None, request: FormRequest) -> bool:  # noqa: ARG002
        """Tell whether the caller may know: a resource server, or the (confidential) client itself."""
        if client is None:
            return True
        record = client.record
        return record.introspects or (record.method != "none" and token.check_client(client))

    def introspect_token(self, token: Token) -> dict[str, Any]:  # noqa: ARG002 loaded
        """Return what is told of an active token, its launch context included."""
        desk: Desk = self.server.desk
        if desk.claims:
            told: dict[str, Any] = {name: desk.claims[name] for name in _TOLD if name in desk.claims}
            told["token_type"] = "Bearer"  # noqa: S105 the type's name
            if "fhirUser" in desk.claims:
                told["fhirUser"] = f"{desk.tokens.site.base}/{desk.claims['fhirUser']}"
        else:
            assert desk.refresh is not None
            assert desk.refresh.expires is not None
            assert desk.grant is not None
            told = {"client_id": desk.refresh.value.client, "scope": desk.grant.value.scope}
            told |= {"exp": desk.refresh.expires // 1000, "iss": desk.tokens.site.issuer}
        return (context_members(desk.grant.value.context) if desk.grant else {}) | told


class Revocation(RevocationEndpoint):  # type: ignore[misc]  # Authlib has no types
    """Ends a token: an access token by itself, a refresh token with its whole grant."""

    CLIENT_AUTH_METHODS = METHODS

    def query_token(self, token_string: str, token_type_hint: str | None) -> Token | None:  # noqa: ARG002 loaded
        """Return the token that was loaded; one of another client's is none of this client's business."""
        found = _found(self.server.desk)
        if found and self.server.desk.client.id != found.client:
            raise InvalidGrantError("The token was issued to another client.")
        return found

    def revoke_token(self, token: Token, request: FormRequest) -> None:  # noqa: ARG002 loaded
        """Note what is revoked."""
        desk: Desk = self.server.desk
        if desk.refresh:
            desk.written += desk.revoke_grant(desk.refresh.value.grant)
        elif desk.claims:
            desk.written.append(desk.revoke(str(desk.claims["jti"])))
