"""What an app asks of the authorization server."""

from __future__ import annotations

import base64
import hashlib

HOST = "https://fhir.example.test"
APP = "https://app.example.test/callback"
BASE = f"{HOST}/fhir"
SCOPE = "openid fhirUser launch/patient patient/*.rs offline_access"
VERIFIER = "a-verifier-of-forty-three-characters-or-more-0123"


def challenge(verifier: str = VERIFIER) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def asked(client: str, **changes: str | None) -> dict[str, str]:
    """Return the parameters of an authorization request; None leaves one out."""
    given: dict[str, str | None] = {
        "response_type": "code",
        "client_id": client,
        "redirect_uri": APP,
        "scope": SCOPE,
        "state": "state-1",
        "aud": BASE,
        "code_challenge": challenge(),
        "code_challenge_method": "S256",
        **changes,
    }
    return {name: value for name, value in given.items() if value is not None}
