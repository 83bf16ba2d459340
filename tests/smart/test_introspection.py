"""Introspection and revocation. RFC 7662 and RFC 7009"""

from __future__ import annotations

import base64

import pytest

from tests.smart.asking import BASE
from tests.smart.world import World


@pytest.fixture(scope="module")
def basic(world: World) -> str:
    """Register a resource server; return its Authorization header."""
    secret = world.client("resource-server", method="client_secret_basic", introspects=True)
    return "Basic " + base64.b64encode(f"resource-server:{secret}".encode()).decode()


def test_an_active_token_is_told_with_its_context(world: World, basic: str) -> None:
    tokens = world.launch("app", "li")

    told = world.post("introspect", {"token": tokens["access_token"]}, authorization=basic).json()

    assert told["active"] is True
    assert told["client_id"] == "app"
    assert set(told["scope"].split()) == set(tokens["scope"].split())
    assert (told["patient"], told["iss"]) == ("li", BASE)
    assert told["fhirUser"] == f"{BASE}/Patient/li"
    assert isinstance(told["exp"], int)
    assert told["sub"]


def test_a_refresh_token_is_told_until_it_is_used(world: World, basic: str) -> None:
    token = world.launch("app", "li")["refresh_token"]
    assert world.post("introspect", {"token": token}, authorization=basic).json()["active"] is True

    world.refresh("app", token)

    assert world.post("introspect", {"token": token}, authorization=basic).json() == {"active": False}


@pytest.mark.parametrize("token", ["made-up", "a.b.c", "x" * 3000])
def test_of_any_other_token_nothing_is_told(world: World, basic: str, token: str) -> None:
    response = world.post("introspect", {"token": token}, authorization=basic)

    assert (response.status_code, response.json()) == (200, {"active": False})


def test_a_client_learns_nothing_of_anothers_token(world: World) -> None:
    token = world.launch("app", "li")["access_token"]
    secret = world.client("curious", method="client_secret_post")
    own = {"client_id": "curious", "client_secret": secret}

    assert world.post("introspect", {"token": token, **own}).json() == {"active": False}


def test_nobody_asks_without_showing_who_it_is(world: World) -> None:
    token = world.launch("app", "li")["access_token"]

    assert world.post("introspect", {"token": token}).status_code in {400, 401}
    assert world.post("introspect", {"token": token, "client_id": "app"}).json() == {"active": False}
    assert world.post("introspect", {"token": token}, authorization=f"Bearer {token}").status_code == 403
    assert world.post("introspect", {"token": token}, authorization="Bearer made-up").status_code == 401


def test_a_resource_server_may_ask_with_a_bearer_token(world: World) -> None:
    world.backend("asking", introspects=True)
    bearer = world.backend_token("asking").json()["access_token"]
    token = world.launch("app", "li")["access_token"]

    told = world.post("introspect", {"token": token}, authorization=f"Bearer {bearer}").json()

    assert told["active"] is True


def test_a_revoked_access_token_opens_nothing_and_its_neighbours_stay_good(world: World, basic: str) -> None:
    tokens = world.launch("app", "li")
    other = world.launch("app", "li")["access_token"]
    assert world.get("Patient/li", tokens["access_token"]).status_code == 200

    response = world.post("revoke", {"token": tokens["access_token"], "client_id": "app"})

    assert response.status_code == 200
    assert world.get("Patient/li", tokens["access_token"]).status_code == 401
    told = world.post("introspect", {"token": tokens["access_token"]}, authorization=basic).json()
    assert told == {"active": False}
    assert world.get("Patient/li", other).status_code == 200
    assert world.refresh("app", tokens["refresh_token"]).status_code == 200


def test_a_revoked_refresh_token_takes_its_access_tokens_with_it(world: World) -> None:
    tokens = world.launch("app", "li")

    world.post("revoke", {"token": tokens["refresh_token"], "client_id": "app"})

    assert world.refresh("app", tokens["refresh_token"]).json()["error"] == "invalid_grant"
    assert world.get("Patient/li", tokens["access_token"]).status_code == 401


def test_nobody_revokes_anothers_token(world: World) -> None:
    tokens = world.launch("app", "li")
    world.client("vandal")

    response = world.post("revoke", {"token": tokens["refresh_token"], "client_id": "vandal"})

    assert response.status_code == 400
    assert world.refresh("app", tokens["refresh_token"]).status_code == 200


def test_revoking_what_is_unknown_is_no_error(world: World) -> None:
    assert world.post("revoke", {"token": "made-up", "client_id": "app"}).status_code == 200
    assert world.post("revoke", {"client_id": "app"}).status_code == 400
