"""Clients: what may be registered, and what a registered one may do.

https://hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html#register-app-with-ehr, RFC 7591, RFC 8252
"""

from __future__ import annotations

import re
from typing import Any, Final, get_args
from urllib.parse import urlsplit

from authlib.oauth2.rfc6749 import ClientMixin
from authlib.oauth2.rfc6749.errors import InvalidScopeError
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from fhir_server.access.scopes import Rights, grantable, understand
from fhir_server.faults import Fault, Kind
from fhir_server.smart.granting import is_for_people, within
from fhir_server.smart.jwks import keys_of
from fhir_server.smart.mint import digest, same
from fhir_server.smart.records import AuthMethod, Client

GRANTS: Final = ("authorization_code", "refresh_token", "client_credentials")
METHODS: Final[tuple[AuthMethod, ...]] = get_args(AuthMethod)
_SECRET_METHODS: Final = frozenset({"client_secret_basic", "client_secret_post"})
_MOST_URIS: Final = 20

_fits_id = re.compile(r"[A-Za-z0-9._~\-]{1,128}").fullmatch
_fits_purpose = re.compile(r"[A-Za-z][A-Za-z0-9\-]{1,31}").fullmatch
_fits_organization = re.compile(r"Organization/[A-Za-z0-9\-.]{1,64}").fullmatch
_is_private_scheme = re.compile(r"[a-z][a-z0-9+\-]*(\.[a-z0-9+\-]+)+").fullmatch


class OAuthClient(ClientMixin):  # type: ignore[misc]  # Authlib has no types
    """A registered client in Authlib's words."""

    def __init__(self, client: Client) -> None:
        self.record = client

    def get_client_id(self) -> str:
        """Return the client's id."""
        return self.record.id

    def get_default_redirect_uri(self) -> None:
        """Return none: SMART asks for ``redirect_uri`` in every request."""

    def get_allowed_scope(self, scope: str | None) -> str | None:
        """Return the part of ``scope`` that may be granted to a person's app; None when nothing is left."""
        asked = asked_for(scope or "")
        granted = within(asked, understand(self.record.scope))
        return granted.granted if granted.granted and is_for_people(granted) else None

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Tell whether exactly this URI is registered."""
        return redirect_uri in self.record.redirect_uris

    def check_client_secret(self, client_secret: str) -> bool:
        """Tell whether this is the client's secret."""
        return bool(self.record.secret) and same(digest(client_secret), self.record.secret)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:  # noqa: ARG002 the same at each
        """Tell whether the client may show who it is in this way; a secret may come in either place."""
        if self.record.method in _SECRET_METHODS:
            return method in _SECRET_METHODS
        return method == self.record.method

    def check_response_type(self, response_type: str) -> bool:
        """Tell whether the client may ask for this."""
        return response_type == "code" and "authorization_code" in self.record.grants

    def check_grant_type(self, grant_type: str) -> bool:
        """Tell whether the client may use this grant."""
        return grant_type in self.record.grants


def asked_for(scope: str) -> Rights:
    """Read the scopes of a request; Authlib's InvalidScopeError when they may not be granted together."""
    try:
        return grantable(scope)
    except Fault as fault:
        raise InvalidScopeError(description=printable(fault.diagnostics)) from None


def printable(text: str) -> str:
    """Return a text as an OAuth ``error_description`` may hold it. RFC 6749 section 5.2."""
    return "".join(c if c in " !" or ("\x23" <= c <= "\x7e" and c != "\\") else "'" for c in text)


def checked(client: Client) -> Client:
    """Return ``client`` if it may be registered; Fault BAD_REQUEST says what has to be changed."""
    _demand(_fits_id(client.id), "A client id is 1 to 128 letters, digits and the signs . _ ~ -")
    _demand(client.method in METHODS, f"The way to authenticate is one of {', '.join(METHODS)}.")
    _demand(set(client.grants) <= set(GRANTS), f"The grants are {', '.join(GRANTS)}.")
    rights = understand(client.scope)
    _demand(client.scope.strip(), "Name the scopes that the client may be granted.")
    _demand(not rights.unknown, "A scope is unknown or malformed: patient/Observation.rs, launch/patient …")
    _demand(
        all(_fits_purpose(purpose) for purpose in client.purposes),
        "A purpose of use is a code of v3-ActReason such as TREAT, or cross-border.",
    )
    _demand(
        not client.organization or _fits_organization(client.organization),
        "The organization is a reference such as Organization/1.",
    )
    _check_redirects(client)
    _check_credentials(client)
    return client


def _check_redirects(client: Client) -> None:
    uris = client.redirect_uris
    _demand(len(uris) <= _MOST_URIS, f"A client has at most {_MOST_URIS} redirect URIs.")
    _demand(
        all(_fits_redirect(uri) for uri in uris),
        "A redirect URI is https://…, http://127.0.0.1… or an app's own scheme (org.example.app:/…), "
        "whole and without a fragment.",
    )
    if "authorization_code" in client.grants:
        _demand(uris, "A client that people log in through needs a redirect URI.")
    if "refresh_token" in client.grants:
        _demand("authorization_code" in client.grants, "Refresh tokens come with authorization codes only.")


def _check_credentials(client: Client) -> None:
    asymmetric = client.method == "private_key_jwt"
    _demand(
        asymmetric == bool(client.jwks or client.jwks_uri),
        "A client with private_key_jwt, and no other, has a JWKS or the URL of one.",
    )
    _demand(not (client.jwks and client.jwks_uri), "Give a JWKS or its URL, not both.")
    _demand(
        not client.jwks_uri or client.jwks_uri.startswith("https://"),
        "The URL of a JWKS begins with https://.",
    )
    if client.jwks:
        _check_keys(client.jwks)
    needs_secret = client.method in _SECRET_METHODS
    _demand(needs_secret == bool(client.secret), "A client with a secret authenticates with it.")
    if "client_credentials" in client.grants:
        _demand(asymmetric, "Backend Services authenticate with private_key_jwt: register a JWKS or its URL.")


def _check_keys(jwks: dict[str, Any]) -> None:
    keys = keys_of(jwks)
    _demand(keys, 'A JWKS is {"keys": […]} with at least one key.')
    for key in keys:
        _demand(isinstance(key.get("kid"), str) and key["kid"], "Every key of a JWKS has a kid.")
        _demand("d" not in key and "k" not in key, "The JWKS holds a private key: register the public ones.")
        try:
            (RSAKey if key["kty"] == "RSA" else ECKey).import_key(key)
        except (JoseError, ValueError, KeyError, TypeError):
            raise Fault(
                Kind.BAD_REQUEST, "A key of the JWKS cannot be read; RSA and EC keys are used."
            ) from None
    names = [(key["kid"], key["kty"]) for key in keys]
    _demand(len(set(names)) == len(names), "Two keys of the JWKS have the same kid.")


def _fits_redirect(uri: str) -> bool:
    if not uri.isascii() or not uri.isprintable() or any(sign in uri for sign in ' #"<>\\^`{|}'):
        return False
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError:
        return False
    if parts.username is not None or parts.password is not None:
        return False
    if parts.scheme == "https":
        return bool(parts.hostname)
    if parts.scheme == "http":
        return parts.hostname in {"127.0.0.1", "::1", "localhost"}
    return bool(_is_private_scheme(parts.scheme))


def _demand(holds: object, sentence: str) -> None:
    if not holds:
        raise Fault(Kind.BAD_REQUEST, sentence)
