"""What is published: configurations, keys, ID tokens that verify against them."""

from __future__ import annotations

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.smart.asking import BASE
from tests.smart.world import World, claims_of, header_of


@pytest.mark.parametrize("accept", ["*/*", "text/html", "application/fhir+xml"])
def test_the_smart_configuration_is_json_whatever_is_accepted(world: World, accept: str) -> None:
    response = world.get(".well-known/smart-configuration", accept=accept)

    tree = response.json()
    assert response.headers["content-type"] == "application/json"
    assert tree["code_challenge_methods_supported"] == ["S256"]
    assert {"launch-standalone", "launch-ehr", "permission-v2", "sso-openid-connect"} <= set(
        tree["capabilities"]
    )
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri", "introspection_endpoint", "issuer"):
        assert tree[name].startswith(BASE)
    assert set(tree["grant_types_supported"]) == {"authorization_code", "refresh_token", "client_credentials"}
    assert "registration_endpoint" not in tree


def test_the_openid_configuration_has_its_seven_members(world: World) -> None:
    tree = world.get(".well-known/openid-configuration").json()

    needed = {
        "issuer",
        "authorization_endpoint",
        "token_endpoint",
        "jwks_uri",
        "response_types_supported",
        "subject_types_supported",
        "id_token_signing_alg_values_supported",
    }
    assert needed <= set(tree)
    assert tree["id_token_signing_alg_values_supported"] == ["RS256"]


def test_an_id_token_verifies_against_the_published_keys(world: World) -> None:
    tokens = world.launch("app", "wang", patient="li", nonce="nonce-1")
    keys = world.get("auth/jwks").json()

    header = header_of(tokens["id_token"])
    decoded = jwt.decode(tokens["id_token"], KeySet.import_key_set(keys), algorithms=["RS256"])
    claims = decoded.claims
    assert header["alg"] == "RS256"
    assert header["kid"] in {key["kid"] for key in keys["keys"]}
    assert (claims["iss"], claims["aud"], claims["nonce"]) == (BASE, "app", "nonce-1")
    assert claims["fhirUser"] == f"{BASE}/Practitioner/wang"
    assert 0 < len(claims["sub"]) < 256
    assert claims["exp"] > claims["iat"]


def test_no_published_key_holds_a_secret(world: World) -> None:
    for key in world.get("auth/jwks").json()["keys"]:
        assert not {"d", "p", "q", "dp", "dq", "qi", "k"} & set(key)


def test_an_id_token_opens_no_record(world: World) -> None:
    tokens = world.launch("app", "li")

    assert world.get("Patient/li", tokens["id_token"]).status_code == 401


def test_without_openid_there_is_no_id_token(world: World) -> None:
    assert "id_token" not in world.launch("app", "li", scope="launch/patient patient/*.rs")


def test_rotated_keys_leave_old_tokens_good(world: World) -> None:
    before = world.launch("app", "li")

    world.run(world.house.keys.rotate())
    after = world.launch("app", "li")

    assert header_of(before["access_token"])["kid"] != header_of(after["access_token"])["kid"]
    assert world.get("Patient/li", before["access_token"]).status_code == 200
    assert world.get("Patient/li", after["access_token"]).status_code == 200


def test_the_capability_statement_is_public_and_names_smart(world: World) -> None:
    response = world.get("metadata")

    security = response.json()["rest"][0]["security"]
    assert response.status_code == 200
    assert security["service"][0]["coding"][0]["code"] == "SMART-on-FHIR"
    uris = {each["url"]: each["valueUri"] for each in security["extension"][0]["extension"]}
    assert uris["token"] == f"{BASE}/auth/token"
    assert world.post("token", {}).status_code == 400


def test_fhir_user_can_be_read_with_the_token(world: World) -> None:
    tokens = world.launch("app", "li")
    user = claims_of(tokens["id_token"])["fhirUser"].removeprefix(f"{BASE}/")

    assert world.get(user, tokens["access_token"]).json()["id"] == "li"
