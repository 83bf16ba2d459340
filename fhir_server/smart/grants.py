"""The grants, as Authlib runs them on a desk: authorization code with PKCE, refresh token, Backend Services.

Five defaults of Authlib's break SMART App Launch; each is overridden here or in ``assertions``, and tested.
https://hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from authlib.oauth2.rfc6749 import AuthorizationServer, grants
from authlib.oauth2.rfc6749.errors import InvalidGrantError, InvalidRequestError, InvalidScopeError
from authlib.oauth2.rfc7636 import CodeChallenge

from fhir_server.access.scopes import understand
from fhir_server.smart.assertions import ClientAssertion
from fhir_server.smart.clients import OAuthClient, asked_for
from fhir_server.smart.desk import Desk, FormRequest
from fhir_server.smart.granting import OFFLINE, ONLINE, covers
from fhir_server.smart.mint import digest, new_secret
from fhir_server.smart.records import Code, Grant, Refresh
from fhir_server.smart.shelf import Held
from fhir_server.smart.tokens import context_members

METHODS: Final = ("private_key_jwt", "client_secret_basic", "client_secret_post", "none")
REFRESH_MS: Final = 100 * 24 * 3_600_000
"""Life of a refresh token that is not used, in ms: longer than the three months that apps may count on."""
NO_STORE: Final = (("Cache-Control", "no-store"), ("Pragma", "no-cache"))

Answer = tuple[int, Any, list[tuple[str, str]]]


class Lifetimes(msgspec.Struct, frozen=True):
    """Seconds that access tokens are good for: those of people's apps, those of Backend Services."""

    app: int
    backend: int


class Decider(AuthorizationServer):  # type: ignore[misc]  # Authlib has no types
    """Authlib's authorization server over one desk: made for a request, thrown away after it."""

    def __init__(self, desk: Desk, lifetimes: Lifetimes) -> None:
        super().__init__()
        self.desk = desk
        self.lifetimes = lifetimes
        self.register_grant(CodeGrant, [S256Only()])
        self.register_grant(RefreshGrant)
        self.register_grant(BackendGrant)
        self.register_token_generator("default", self._token)
        assertion = ClientAssertion(desk.tokens.site.at("token"), desk.key, desk.now, desk.use_jti)
        self.register_client_auth_method("private_key_jwt", assertion)

    def query_client(self, client_id: str) -> OAuthClient | None:
        """Return the client that was loaded, if it is this one."""
        client = self.desk.client
        return OAuthClient(client) if client and client.id == client_id else None

    def create_oauth2_request(self, request: FormRequest) -> FormRequest:
        """Return the request: it is in Authlib's words already."""
        return request

    def handle_response(self, status: int, body: Any, headers: list[tuple[str, str]]) -> Answer:
        """Return the answer as plain values."""
        return status, body, list(headers)

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Tell nobody: what happens is in the answer and in the changes."""

    def save_token(self, token: dict[str, Any], request: FormRequest) -> None:
        """Keep nothing: access tokens are signed, refresh tokens were written down when they were made."""

    def _token(
        self, *, client: OAuthClient, scope: str, grant_type: str, include_refresh_token: bool, **_: Any
    ) -> dict[str, Any]:
        """Make the token response. https://www.rfc-editor.org/rfc/rfc6749#section-5.1"""
        desk, record = self.desk, client.record
        if grant_type == "client_credentials":
            seconds = self.lifetimes.backend
            desk.issued = desk.tokens.access(record, scope, seconds)
            return _response(desk.issued, seconds, scope)
        assert desk.grant is not None
        assert desk.user is not None
        grant, seconds = desk.grant.value, self.lifetimes.app
        desk.issued = desk.tokens.access(record, scope, seconds, user=desk.user, grant=grant)
        response = _response(desk.issued, seconds, scope) | context_members(grant.context)
        if grant.context.need_patient_banner is not None:
            response["smart_style_url"] = desk.tokens.site.at("style.json")
        if "openid" in scope.split():
            nonce = desk.code.value.nonce if desk.code else ""
            response["id_token"] = desk.tokens.identity(record, desk.user, grant, scope, nonce)
        if include_refresh_token and not {OFFLINE, ONLINE}.isdisjoint(grant.scope.split()):
            response["refresh_token"] = self._refresh_token(desk.grant)
        return response

    def _refresh_token(self, held: Held[Grant]) -> str:
        desk, secret = self.desk, new_secret()
        refresh = Refresh(held.key, held.value.client)
        expires = desk.now + REFRESH_MS
        desk.written += [
            desk.shelves.refreshes.to_add(digest(secret), refresh, expires=expires),
            desk.shelves.grants.to_replace(held, held.value, expires=expires),
        ]
        return secret


class CodeGrant(grants.AuthorizationCodeGrant):  # type: ignore[misc]  # Authlib has no types
    """An authorization code, once and within a minute. https://www.rfc-editor.org/rfc/rfc6749#section-4.1"""

    TOKEN_ENDPOINT_AUTH_METHODS = METHODS

    def query_authorization_code(self, code: str, client: OAuthClient) -> _Redeemed | None:  # noqa: ARG002 loaded
        """Return the code that was loaded, if it is this client's and still good.

        One that comes a second time was stolen from somebody: what it brought is taken back (RFC 6749 4.1.2).
        """
        desk: Desk = self.server.desk
        held = desk.code
        if held is None or held.value.client != client.record.id:
            return None
        if held.value.used:
            desk.always += desk.revoke_grant(held.value.grant)
            desk.reused = "code"
            return None
        return _Redeemed(held.value) if desk.now < held.value.until and desk.grant else None

    def delete_authorization_code(self, authorization_code: _Redeemed) -> None:
        """Mark the code as used."""
        desk: Desk = self.server.desk
        assert desk.code is not None
        used = msgspec.structs.replace(authorization_code.record, used=True)
        desk.written.append(desk.shelves.codes.to_replace(desk.code, used))

    def authenticate_user(self, authorization_code: _Redeemed) -> Any:
        """Return the account that allowed this, unless it was disabled meanwhile."""
        return _user(self.server.desk, authorization_code.record.user)


class RefreshGrant(grants.RefreshTokenGrant):  # type: ignore[misc]  # Authlib has no types
    """A refresh token, once: each use brings the next one. https://www.rfc-editor.org/rfc/rfc9700#section-4.14"""

    TOKEN_ENDPOINT_AUTH_METHODS = METHODS
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> _Refreshed | None:  # noqa: ARG002 loaded
        """Return the refresh token that was loaded, if it is still good.

        One that was used before is in two hands, and nobody knows which is the thief's: the grant ends.
        """
        desk: Desk = self.server.desk
        held = desk.refresh
        if held is None or self.request.client is None or held.value.client != self.request.client.record.id:
            return None
        if held.value.used:
            desk.always += desk.revoke_grant(held.value.grant)
            desk.reused = "refresh token"
            return None
        if desk.grant is None or not desk.session_alive:
            return None
        return _Refreshed(desk.grant.value)

    def _validate_token_scope(self, token: _Refreshed) -> None:
        """Refuse what the first token did not grant; by meaning, not by spelling."""
        asked = self.request.payload.scope
        if asked and not covers(understand(token.grant.scope), asked_for(asked)):
            raise InvalidScopeError(description="A refreshed token grants no more than the first one.")

    def authenticate_user(self, refresh_token: _Refreshed) -> Any:
        """Return the account that allowed this, unless it was disabled meanwhile."""
        return _user(self.server.desk, refresh_token.grant.user)

    def revoke_old_credential(self, refresh_token: _Refreshed) -> None:  # noqa: ARG002 loaded
        """Mark the refresh token as used."""
        desk: Desk = self.server.desk
        assert desk.refresh is not None
        used = msgspec.structs.replace(desk.refresh.value, used=True)
        desk.written.append(desk.shelves.refreshes.to_replace(desk.refresh, used))


class BackendGrant(grants.ClientCredentialsGrant):  # type: ignore[misc]  # Authlib has no types
    """Backend Services. https://hl7.org/fhir/smart-app-launch/STU2.2/backend-services.html"""

    TOKEN_ENDPOINT_AUTH_METHODS = ("private_key_jwt",)

    def validate_requested_scope(self) -> None:
        """Refuse anything beyond what the client is registered for: no part of it is granted then."""
        asked = asked_for(self.request.payload.scope or "")
        allowed = understand(self.request.client.record.scope)
        if not asked.scopes or any(scope.level != "system" for scope in asked.scopes):
            raise InvalidScopeError(description="Ask for scopes that begin with system/.")
        if not covers(allowed, asked):
            raise InvalidScopeError(description="The client is not registered for all of these scopes.")


class S256Only(CodeChallenge):  # type: ignore[misc]  # Authlib has no types
    """PKCE for every client, with S256 and nothing else. https://www.rfc-editor.org/rfc/rfc7636"""

    DEFAULT_CODE_CHALLENGE_METHOD = "S256"
    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        """Refuse a request without a challenge, whatever the client."""
        data = grant.request.payload.data
        if not data.get("code_challenge"):
            raise InvalidRequestError("Missing 'code_challenge': PKCE is needed.")
        if data.get("code_challenge_method") != "S256":
            raise InvalidRequestError("The 'code_challenge_method' is S256.")
        super().validate_code_challenge(grant, redirect_uri)

    def validate_code_verifier(self, grant: Any, result: Any) -> None:
        """Refuse an exchange without a verifier, whatever the client."""
        if not grant.request.form.get("code_verifier"):
            raise InvalidRequestError("Missing 'code_verifier'")
        super().validate_code_verifier(grant, result)


class _Redeemed:
    """An authorization code in Authlib's words."""

    def __init__(self, record: Code) -> None:
        self.record = record
        self.code_challenge = record.challenge
        self.code_challenge_method = "S256"

    def get_redirect_uri(self) -> str:
        return self.record.redirect_uri

    def get_scope(self) -> str:
        return self.record.scope


class _Refreshed:
    """A refresh token in Authlib's words: what it stands for is its grant."""

    def __init__(self, grant: Grant) -> None:
        self.grant = grant

    def check_client(self, client: OAuthClient) -> bool:
        return self.grant.client == client.record.id

    def get_scope(self) -> str:
        return self.grant.scope


def _user(desk: Desk, id_: str) -> Any:
    user = desk.user
    if user is None or user.id != id_ or user.disabled:
        raise InvalidGrantError("The account that allowed this is gone.")
    return user


def _response(access: str, seconds: int, scope: str) -> dict[str, Any]:
    return {"access_token": access, "token_type": "Bearer", "expires_in": seconds, "scope": scope}
