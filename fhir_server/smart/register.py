"""Dynamic client registration (RFC 7591), off by default: an app registers itself, for little.

https://www.rfc-editor.org/rfc/rfc7591
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fhir_server.access.scopes import understand
from fhir_server.faults import Fault
from fhir_server.smart.accounts import add_client
from fhir_server.smart.clients import METHODS, printable
from fhir_server.smart.granting import is_for_people, within
from fhir_server.smart.mint import new_id
from fhir_server.smart.records import Client
from fhir_server.smart.shelf import Shelves

ALLOWED: Final = "openid fhirUser launch launch/patient offline_access online_access patient/*.rs"
"""The most that an app which nobody vouches for is registered for: to read what its user allows it."""

_GRANTS: Final = frozenset({"authorization_code", "refresh_token"})


async def register(shelves: Shelves, metadata: Mapping[str, Any], now: int) -> tuple[int, dict[str, Any]]:
    """Register the client that ``metadata`` describes; return status and body of the response.

    https://www.rfc-editor.org/rfc/rfc7591#section-3.2
    """
    method = metadata.get("token_endpoint_auth_method", "client_secret_basic")
    grants = metadata.get("grant_types", ["authorization_code"])
    redirects = metadata.get("redirect_uris", [])
    scope = metadata.get("scope", ALLOWED)
    name = metadata.get("client_name", "")
    if not (_are_texts(grants) and _are_texts(redirects) and _are_texts([method, scope, name])):
        return _error("invalid_client_metadata", "A member has the wrong type.")
    usual = metadata.get("response_types", ["code"]) == ["code"]
    if method not in METHODS or not set(grants) <= _GRANTS or not usual:
        return _error("invalid_client_metadata", "Use authorization_code, refresh_token and code.")
    granted = within(understand(scope), understand(ALLOWED))
    if not granted.granted or not is_for_people(granted):
        return _error("invalid_client_metadata", f"A scope beyond these is not registered: {ALLOWED}")
    client = Client(
        id=new_id(),
        name=name[:100] if name.isprintable() and name else "App",
        method=method,
        scope=granted.granted,
        grants=tuple(grants),
        created=now,
        redirect_uris=tuple(redirects),
        jwks=metadata["jwks"] if isinstance(metadata.get("jwks"), dict) else None,
        jwks_uri=str(metadata.get("jwks_uri", "")),
        dynamic=True,
    )
    try:
        secret = await add_client(shelves, client, with_secret=method.startswith("client_secret"))
    except Fault as fault:
        wrong = "invalid_redirect_uri" if "redirect" in fault.diagnostics else "invalid_client_metadata"
        return _error(wrong, fault.diagnostics)
    body = {
        "client_id": client.id,
        "client_id_issued_at": now // 1000,
        "client_name": client.name,
        "redirect_uris": redirects,
        "grant_types": grants,
        "response_types": ["code"],
        "token_endpoint_auth_method": method,
        "scope": client.scope,
    }
    if secret:
        body |= {"client_secret": secret, "client_secret_expires_at": 0}
    return 201, body


def _are_texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _error(code: str, sentence: str) -> tuple[int, dict[str, Any]]:
    return 400, {"error": code, "error_description": printable(sentence)}
