"""What the server publishes about itself: SMART configuration, OpenID configuration.

https://hl7.org/fhir/smart-app-launch/STU2.2/conformance.html and OpenID Connect Discovery 1.0
"""

from __future__ import annotations

from typing import Any, Final

from fhir_server.smart.assertions import ALGORITHMS
from fhir_server.smart.clients import GRANTS
from fhir_server.smart.keys import IDENTITY
from fhir_server.smart.tokens import Site

CAPABILITIES: Final = (
    "launch-ehr",
    "launch-standalone",
    "authorize-post",
    "client-public",
    "client-confidential-symmetric",
    "client-confidential-asymmetric",
    "sso-openid-connect",
    "context-banner",
    "context-style",
    "context-ehr-patient",
    "context-ehr-encounter",
    "context-standalone-patient",
    "context-standalone-encounter",
    "permission-offline",
    "permission-online",
    "permission-patient",
    "permission-user",
    "permission-v1",
    "permission-v2",
)
"""https://hl7.org/fhir/smart-app-launch/STU2.2/conformance.html#smart-on-fhir-oauth-authorization-endpoints-and-capabilities"""

SCOPES: Final = (
    "openid",
    "fhirUser",
    "launch",
    "launch/patient",
    "launch/encounter",
    "offline_access",
    "online_access",
    "patient/*.cruds",
    "user/*.cruds",
    "system/*.cruds",
)
_METHODS: Final = ("client_secret_basic", "client_secret_post", "private_key_jwt", "none")


def smart_configuration(site: Site, *, registration: bool) -> dict[str, Any]:
    """Return ``.well-known/smart-configuration``."""
    return {
        "issuer": site.issuer,
        "jwks_uri": site.at("jwks"),
        "authorization_endpoint": site.at("authorize"),
        "token_endpoint": site.at("token"),
        "grant_types_supported": list(GRANTS),
        "token_endpoint_auth_methods_supported": list(_METHODS),
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "scopes_supported": list(SCOPES),
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
        "introspection_endpoint": site.at("introspect"),
        "revocation_endpoint": site.at("revoke"),
        "management_endpoint": site.at("apps"),
        **({"registration_endpoint": site.at("register")} if registration else {}),
        "capabilities": list(CAPABILITIES),
    }


def openid_configuration(site: Site, *, registration: bool) -> dict[str, Any]:
    """Return ``.well-known/openid-configuration``."""
    shared = smart_configuration(site, registration=registration)
    del shared["capabilities"], shared["management_endpoint"]
    return {
        **shared,
        "response_modes_supported": ["query"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [IDENTITY],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "fhirUser"],
        "prompt_values_supported": ["none", "login", "consent"],
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }
