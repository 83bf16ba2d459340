"""Backend Services: who a client is, it shows with a fresh signature; five defaults of Authlib's do not hold.

https://hl7.org/fhir/smart-app-launch/STU2.2/backend-services.html
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from joserfc.jwk import RSAKey

from fhir_server.smart.accounts import remove_client
from tests.smart.asking import BASE
from tests.smart.world import ASSERTION, JWKS, KEYS, World, claims_of


@pytest.fixture(scope="module", autouse=True)
def _backend(world: World) -> None:
    world.backend("robot", "system/*.rs")


@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
def test_a_signed_assertion_brings_a_token_for_five_minutes(world: World, algorithm: str) -> None:
    response = world.backend_token("robot", algorithm=algorithm)

    tokens = response.json()
    assert response.status_code == 200, response.text
    assert (tokens["expires_in"], tokens["scope"], tokens["token_type"]) == (300, "system/*.rs", "Bearer")
    assert "refresh_token" not in tokens
    claims = claims_of(tokens["access_token"])
    assert claims["exp"] - claims["iat"] == 300
    assert claims["sub"] == "robot"
    assert world.get("Patient/zhao", tokens["access_token"]).status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 0},
        {"exp": None},
        {"aud": "https://other.example.test/token"},
        {"aud": BASE},
        {"aud": None},
        {"iss": "somebody"},
        {"iss": None},
        {"jti": None},
        {"jti": ""},
        {"nbf": 9_999_999_999},
        {"header": {"kid": "unknown"}},
        {"header": {"kid": None}},
        {"header": {"jku": "https://evil.example.test/jwks"}},
        {"key": RSAKey.generate_key(2048, {"kid": "rsa"})},
    ],
)
def test_an_assertion_that_is_wrong_in_one_point_is_refused(world: World, changes: dict[str, Any]) -> None:
    response = world.backend_token("robot", **changes)

    assert response.status_code in {400, 401}
    assert response.json()["error"] == "invalid_client"


def test_an_assertion_good_for_more_than_five_minutes_is_refused(world: World) -> None:
    now = world.clock() // 1000

    assert world.backend_token("robot", exp=now + 299).status_code == 200
    assert world.backend_token("robot", exp=now + 400).json()["error"] == "invalid_client"


def test_an_assertion_is_used_once(world: World) -> None:
    assertion = world.assertion("robot")

    assert world.backend_token("robot", assertion=assertion).status_code == 200
    assert world.backend_token("robot", assertion=assertion).json()["error"] == "invalid_client"


def test_an_assertion_whose_request_was_refused_is_used_too(world: World) -> None:
    assertion = world.assertion("robot")

    assert (
        world.backend_token("robot", "system/*.cruds", assertion=assertion).json()["error"] == "invalid_scope"
    )
    assert world.backend_token("robot", assertion=assertion).json()["error"] == "invalid_client"


def test_an_assertion_signed_with_what_smart_does_not_name_is_refused(world: World) -> None:
    key = RSAKey.import_key({**KEYS["RS384"].as_dict(private=True), "alg": "RS256"})

    assert world.backend_token("robot", algorithm="RS256", key=key).json()["error"] == "invalid_client"


@pytest.mark.parametrize(
    "scope",
    [
        "system/*.cruds",
        "system/*.rs patient/*.rs",
        "patient/*.rs",
        "user/*.rs",
        "",
        "system/Nothing.rs",
        "openid",
    ],
)
def test_asking_for_more_than_is_registered_brings_nothing(world: World, scope: str) -> None:
    response = world.backend_token("robot", scope)

    assert response.status_code == 400
    assert response.json()["error"] == "invalid_scope"


def test_asking_for_less_brings_less(world: World) -> None:
    token = world.backend_token("robot", "system/Coverage.rs").json()["access_token"]

    assert world.get("Coverage/coverage-li", token).status_code == 200
    assert world.get("Patient/li", token).status_code == 403


@pytest.mark.parametrize(
    "form",
    [
        {"client_assertion_type": "not-an-assertion-type"},
        {"client_assertion": "not.a.jwt"},
        {"client_assertion": "x"},
        {"grant_type": "not_a_grant_type"},
        {"client_id": "app"},
        {"client_secret": "another-way-as-well"},
    ],
)
def test_a_request_that_is_wrong_in_one_point_is_refused(world: World, form: dict[str, str]) -> None:
    right = {
        "grant_type": "client_credentials",
        "scope": "system/*.rs",
        "client_assertion_type": ASSERTION,
        "client_assertion": world.assertion("robot"),
    }

    response = world.post("token", {**right, **form})

    assert response.status_code in {400, 401}
    assert set(response.json()) >= {"error"}
    assert response.headers["cache-control"] == "no-store"


def test_a_body_that_is_no_form_is_refused(world: World) -> None:
    response = world.browser().send("POST", f"{BASE}/auth/token", json={"grant_type": "client_credentials"})

    assert response.status_code == 400


def test_keys_are_fetched_from_the_registered_address_and_kept_as_long_as_it_says(world: World) -> None:
    def published(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=JWKS, headers={"cache-control": "max-age=100"})

    world.internet.hosts["keys.example.test"] = published
    world.backend("by-url", jwks_uri="https://keys.example.test/jwks")
    before = len(world.internet.asked)

    assert world.backend_token("by-url").status_code == 200
    assert world.backend_token("by-url", algorithm="ES384").status_code == 200
    assert len(world.internet.asked) == before + 1
    world.clock.forward(101)
    assert world.backend_token("by-url").status_code == 200
    assert len(world.internet.asked) == before + 2


def test_keys_that_may_not_be_kept_are_fetched_each_time(world: World) -> None:
    def published(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=JWKS, headers={"cache-control": "no-store"})

    world.internet.hosts["fresh.example.test"] = published
    world.backend("fresh", jwks_uri="https://fresh.example.test/jwks")
    before = len(world.internet.asked)

    assert world.backend_token("fresh").status_code == 200
    assert world.backend_token("fresh").status_code == 200
    assert len(world.internet.asked) == before + 2


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(302, headers={"location": "https://keys.example.test/jwks"}),
        httpx.Response(500),
        httpx.Response(200, content=b"no json"),
        httpx.Response(200, json=["no object"]),
        httpx.Response(200, content=b" " * 300_000),
        httpx.Response(200, json={"keys": [JWKS["keys"][0], JWKS["keys"][0]]}),
        httpx.Response(200, json={"keys": "none"}),
    ],
)
def test_keys_that_cannot_be_had_from_there_open_nothing(world: World, answer: httpx.Response) -> None:
    world.internet.hosts["broken.example.test"] = lambda _request: answer
    name = f"broken-{len(world.internet.asked)}-{answer.status_code}-{len(answer.content)}"
    world.backend(name, jwks_uri=f"https://broken.example.test/{name}")

    assert world.backend_token(name).json()["error"] == "invalid_client"


def test_a_client_that_was_removed_and_came_back_gets_no_old_token_back(world: World) -> None:
    world.backend("gone")
    token = world.backend_token("gone").json()["access_token"]
    assert world.get("Patient/li", token).status_code == 200

    world.run(remove_client(world.house.shelves, "gone", world.clock()))
    assert world.get("Patient/li", token).status_code == 401
    world.backend("gone")

    assert world.get("Patient/li", token).status_code == 401
    assert world.get("Patient/li", world.backend_token("gone").json()["access_token"]).status_code == 200
