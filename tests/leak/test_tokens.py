"""No token, no answer; what a token does not prove it does not give; the token itself is told to nobody."""

from __future__ import annotations

import base64
import json
from time import time
from uuid import uuid4

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from tests.http.server import refused
from tests.leak.house import REVOKED, Guarded, token

pytestmark = pytest.mark.every_engine

SCOPE = "patient/*.rs"
MINE = {"patient": "mine"}
_OTHER = ECKey.generate_key("P-256", {"kid": "test"})


def unsigned() -> str:
    """Return a token with alg none."""
    head, body, _ = token(SCOPE, **MINE).split(".")
    head = (
        base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "at+jwt"}).encode()).decode().rstrip("=")
    )
    return f"{head}.{body}."


def changed() -> str:
    """Return a token whose claims were changed after it was signed."""
    head, _, signature = token(SCOPE, patient="absent").split(".")
    return f"{head}.{token(SCOPE, **MINE).split('.')[1]}.{signature}"


def by_secret() -> str:
    """Return a token signed with HMAC."""
    key = OctKey.import_key(b"k" * 32, {"kid": "test"})
    now = int(time())
    claims = {"iss": "x", "client_id": "x", "jti": "x", "scope": SCOPE, "exp": now + 60}
    return jwt.encode({"alg": "HS256", "kid": "test", "typ": "at+jwt"}, claims, key, algorithms=["HS256"])


BAD = {
    "expired": lambda: token(SCOPE, exp=int(time()) - 1, **MINE),
    "not yet valid": lambda: token(SCOPE, nbf=int(time()) + 100, **MINE),
    "without an expiry": lambda: token(SCOPE, exp=None, **MINE),
    "without a client": lambda: token(SCOPE, client_id=None, **MINE),
    "without an id": lambda: token(SCOPE, jti=None, **MINE),
    "of another issuer": lambda: token(SCOPE, iss="https://elsewhere.example.org", **MINE),
    "for another audience": lambda: token(SCOPE, aud="https://elsewhere.example.org", **MINE),
    "without an audience": lambda: token(SCOPE, aud=None, **MINE),
    "signed by another key": lambda: token(SCOPE, key=_OTHER, **MINE),
    "an ID token": lambda: token(SCOPE, typ="JWT", **MINE),
    "with an odd patient": lambda: token(SCOPE, patient="mine/../hidden"),
    "with an odd user": lambda: token("user/*.rs", fhirUser="https://elsewhere.example.org/Patient/mine"),
    "with an odd organisation": lambda: token("system/*.rs", organization={"reference": "Organization/here"}),
    "with odd roles": lambda: token(SCOPE, roles="system-administrator", **MINE),
    "with odd scopes": lambda: token(["patient/*.rs"], **MINE),  # type: ignore[arg-type]
    "unsigned": unsigned,
    "changed": changed,
    "signed with a secret": by_secret,
    "no JWT": lambda: "abc.def",
}


@pytest.mark.parametrize("kind", BAD)
def test_a_token_that_proves_nothing_is_401_and_not_repeated(house: Guarded, kind: str) -> None:
    bearer = BAD[kind]()
    for path in ("Patient/mine", "Observation", "_history", "Patient/mine/$everything"):
        with house.as_(bearer):
            response = house.get(path)
        refused(response, 401, "login")
        assert response.headers["www-authenticate"] == 'Bearer realm="fhir", error="invalid_token"'
        assert bearer not in response.text
        assert "mine" not in response.text


def test_a_good_token_is_answered_again_and_again(house: Guarded) -> None:
    with house.as_(token(SCOPE, **MINE)):
        assert [house.get("Patient/mine").status_code for _ in range(3)] == [200] * 3


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "Patient/mine"),
        ("GET", "Patient"),
        ("GET", ""),
        ("POST", "Patient"),
        ("PUT", "Patient/mine"),
        ("PATCH", "Patient/mine"),
        ("DELETE", "Patient/mine"),
        ("POST", ""),
        ("GET", "_history"),
        ("GET", "Patient/mine/$everything"),
        ("POST", "$reindex"),
    ],
)
def test_without_a_token_every_door_is_401(house: Guarded, method: str, path: str) -> None:
    for header in ({}, {"authorization": "Basic dXNlcjpwYXNz"}, {"authorization": "Bearer"}):
        response = house(method, path, **header)
        refused(response, 401, "login")
        assert response.headers["www-authenticate"].startswith('Bearer realm="fhir"')


def test_the_capabilities_are_public_and_the_same_for_all(house: Guarded) -> None:
    public = house.get("metadata")
    with house.as_(token(SCOPE, **MINE)):
        assert house.get("metadata").text == public.text
    assert public.status_code == 200


def test_a_revoked_token_ends_with_the_next_request(house: Guarded) -> None:
    jti = uuid4().hex
    bearer = token(SCOPE, jti=jti, **MINE)
    with house.as_(bearer):
        assert house.get("Patient/mine").status_code == 200
        REVOKED.add(jti)
        refused(house.get("Patient/mine"), 401, "login")


def test_a_remembered_token_ends_when_it_expires(house: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    bearer = token(SCOPE, **MINE)
    with house.as_(bearer):
        assert house.get("Patient/mine").status_code == 200
        monkeypatch.setattr("fhir_server.access.bearer.now_ms", lambda: int((time() + 4000) * 1000))
        refused(house.get("Patient/mine"), 401, "login")


def test_the_purpose_of_use_is_one_that_the_client_registered(house: Guarded) -> None:
    with house.as_(token(SCOPE, purposes=["TREAT", "HPAYMT"], **MINE)):
        assert house.get("Patient/mine", x_purpose_of_use="TREAT").status_code == 200
        assert house.get("Patient/mine").status_code == 200
        refused(house.get("Patient/mine", x_purpose_of_use="HRESCH"), 403, "forbidden")
    with house.as_(token(SCOPE, **MINE)):
        refused(house.get("Patient/mine", x_purpose_of_use="TREAT"), 403, "forbidden")
