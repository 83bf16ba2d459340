"""The gate: which pages of other origins may read what, and how often anybody may ask."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.smart.rates import BURST_SECONDS, Rate
from tests.smart.asking import BASE
from tests.smart.world import World

ORIGIN = "https://app.example.test"
STRANGER = "https://stranger.example.test"


@pytest.mark.parametrize(
    "path", [".well-known/smart-configuration", ".well-known/openid-configuration", "metadata", "auth/jwks"]
)
def test_what_is_public_may_be_read_by_any_page(world: World, path: str) -> None:
    response = world.get(path, origin=STRANGER)

    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == "*"


def test_records_and_tokens_are_for_pages_of_registered_apps(world: World) -> None:
    tokens = world.launch("app", "li")
    known = world.get("Patient/li", tokens["access_token"], origin=ORIGIN)
    unknown = world.get("Patient/li", tokens["access_token"], origin=STRANGER)

    assert known.headers["access-control-allow-origin"] == ORIGIN
    assert "origin" in known.headers["vary"].lower()
    assert "accept" in known.headers["vary"].lower()
    assert "access-control-allow-origin" not in unknown.headers
    assert "origin" in unknown.headers["vary"].lower()
    token = world.post("token", {}, origin=ORIGIN)
    assert token.headers["access-control-allow-origin"] == ORIGIN
    assert "access-control-allow-credentials" not in token.headers


def test_a_preflight_is_answered_for_registered_origins_alone(world: World) -> None:
    asked = {"access_control_request_method": "POST", "access_control_request_headers": "authorization"}
    known = world.browser(origin=ORIGIN, **asked).send("OPTIONS", f"{BASE}/auth/token")
    unknown = world.browser(origin=STRANGER, **asked).send("OPTIONS", f"{BASE}/Patient/li")

    assert known.status_code == unknown.status_code == 204
    assert known.headers["access-control-allow-origin"] == ORIGIN
    assert "authorization" in known.headers["access-control-allow-headers"]
    assert "access-control-allow-origin" not in unknown.headers
    assert "access-control-allow-methods" not in unknown.headers


def test_no_page_of_another_origin_reads_the_pages(world: World) -> None:
    browser = world.browser(origin=ORIGIN)
    browser.authorize("app")

    assert "access-control-allow-origin" not in browser.page.headers


def test_a_client_that_asks_too_often_waits_and_others_do_not(worlds: Callable[..., World]) -> None:
    world = worlds(client_rate=1)
    world.client("other")
    busy, other = (world.launch(client, "li")["access_token"] for client in ("app", "other"))
    answers = [world.get("Patient/li", busy) for _ in range(int(BURST_SECONDS) + 2)]

    assert answers[0].status_code == 200
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert answers[-1].json()["issue"][0]["code"] == "throttled"
    assert world.get("Patient/li", other).status_code == 200


def test_an_address_that_asks_too_often_waits(worlds: Callable[..., World]) -> None:
    world = worlds(address_rate=1)
    answers = [world.get("metadata") for _ in range(int(BURST_SECONDS) + 2)]

    assert answers[-1].status_code == 429
    assert answers[-1].json()["resourceType"] == "OperationOutcome"


def test_the_login_pages_have_a_smaller_limit(worlds: Callable[..., World]) -> None:
    world = worlds(login_rate=1)
    answers = [world.post("token", {}) for _ in range(int(BURST_SECONDS) + 2)]

    assert answers[-1].status_code == 429
    assert world.get("metadata").status_code == 200


@given(st.lists(st.floats(0, 3), min_size=1, max_size=60), st.floats(0.5, 20))
def test_nobody_gets_more_than_the_rate_and_the_burst(pauses: list[float], per_second: float) -> None:
    now = 0.0
    rate = Rate(per_second, lambda: now)
    allowed = 0
    for pause in pauses:
        now += pause
        wait = rate.wait("key")
        allowed += wait == 0
        assert wait >= 0
    assert allowed <= max(1.0, per_second * BURST_SECONDS) + sum(pauses[1:]) * per_second + 1e-6


def test_who_waits_as_told_is_let_in() -> None:
    now = 0.0
    rate = Rate(0.25, lambda: now)
    while rate.wait("key") == 0:
        pass
    now += rate.wait("key")

    assert rate.wait("key") == 0


def test_without_a_rate_there_is_no_limit() -> None:
    rate = Rate(0)

    assert all(rate.wait("key") == 0 for _ in range(10_000))
