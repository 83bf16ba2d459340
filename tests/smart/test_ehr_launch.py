"""EHR launch: what the EHR registers reaches the app; nobody gets a patient by it whom they may not see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.faults import Fault, Kind
from fhir_server.smart.launch import context_of
from tests.smart.asking import BASE
from tests.smart.world import World

LAUNCH = "launch openid fhirUser patient/*.rs"


@pytest.fixture(scope="module", autouse=True)
def _ehr(world: World) -> None:
    world.backend("ehr", "launch system/*.rs")


def register(world: World, token: str = "", **body: Any) -> httpx.Response:
    token = token or world.backend_token("ehr", "launch system/*.rs").json()["access_token"]
    headers = {"authorization": f"Bearer {token}"}
    return world.browser(**headers).send("POST", f"{BASE}/auth/launch", json=body)


def test_the_registered_context_arrives_with_the_token(world: World) -> None:
    contexts = [{"reference": "ImagingStudy/1"}, {"reference": "Encounter/visit-li", "role": "http://x/y"}]
    value = register(
        world,
        patient="li",
        encounter="visit-li",
        intent="reconcile",
        fhirContext=contexts,
        need_patient_banner=False,
    ).json()["launch"]
    browser = world.browser()
    browser.authorize("app", scope=LAUNCH, launch=value)
    page = browser.login("wang").text

    assert "李芳" in page
    tokens = world.redeem("app", browser.arrived(browser.allow())["code"]).json()
    assert (tokens["patient"], tokens["encounter"], tokens["intent"]) == ("li", "visit-li", "reconcile")
    assert tokens["fhirContext"] == contexts
    assert tokens["need_patient_banner"] is False
    assert world.get(tokens["smart_style_url"].removeprefix(f"{BASE}/")).json()["color_background"]
    assert world.get("Encounter/visit-li", tokens["access_token"]).status_code == 200


def test_a_launch_is_used_once(world: World) -> None:
    value = register(world, patient="li").json()["launch"]
    world.browser().through("app", "wang", scope=LAUNCH, launch=value)

    browser = world.browser()
    assert browser.arrived(browser.authorize("app", scope=LAUNCH, launch=value))["error"] == "invalid_request"


def test_a_launch_that_two_windows_hold_reaches_one_app(world: World) -> None:
    value = register(world, patient="li").json()["launch"]
    first, second = world.browser(), world.browser()
    for browser in (first, second):
        browser.authorize("app", scope=LAUNCH, launch=value)
        browser.login("wang")

    assert "code" in first.arrived(first.allow())
    assert "code" not in second.arrived(second.allow())


def test_a_launch_for_a_patient_whom_the_account_may_not_see_is_denied(world: World) -> None:
    value = register(world, patient="zhao").json()["launch"]
    browser = world.browser()
    browser.authorize("app", scope=LAUNCH, launch=value)

    assert browser.arrived(browser.login("li"))["error"] == "access_denied"


def test_a_launch_for_an_account_is_for_no_other(world: World) -> None:
    value = register(world, patient="li", user="wang").json()["launch"]
    browser = world.browser()
    browser.authorize("app", scope=LAUNCH, launch=value)

    assert "another account" in browser.login("li").text
    assert "Allow access" in browser.login("wang").text


def test_a_launch_for_an_app_is_for_no_other(world: World) -> None:
    value = register(world, patient="li", client_id="app").json()["launch"]
    world.client("another-app")
    browser = world.browser()

    refused = browser.authorize("another-app", scope=LAUNCH, launch=value)

    assert browser.arrived(refused)["error"] == "invalid_request"
    assert browser.authorize("app", scope=LAUNCH, launch=value).status_code == 200


def test_a_launch_waits_five_minutes(worlds: Callable[..., World]) -> None:
    world = worlds()
    world.backend("ehr", "launch system/*.rs")
    value = register(world, patient="li").json()["launch"]
    world.clock.forward(301)
    browser = world.browser()

    assert browser.arrived(browser.authorize("app", scope=LAUNCH, launch=value))["error"] == "invalid_request"


def test_an_ehr_registers_no_patient_whom_it_may_not_see(world: World) -> None:
    world.backend("small-ehr", "launch system/Encounter.rs")
    token = world.backend_token("small-ehr", "launch system/Encounter.rs").json()["access_token"]

    assert register(world, token, patient="li").status_code == 403
    assert register(world, patient="nobody").status_code == 404
    assert register(world, patient="li").status_code == 201


def test_without_the_scope_no_launch_is_registered(world: World) -> None:
    world.backend("no-ehr")
    token = world.backend_token("no-ehr").json()["access_token"]

    assert register(world, token, patient="li").status_code == 403
    assert register(world, "made-up", patient="li").status_code == 401
    assert world.browser().send("POST", f"{BASE}/auth/launch", json={}).status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        {"patient": "li", "encounter": "visit-li", "unknown": 1},
        {"encounter": "visit-li"},
        {"patient": "zhao", "encounter": "visit-li"},
        {"patient": "Patient/li"},
        {"patient": "li", "need_patient_banner": "yes"},
        {"patient": "li", "fhirContext": [{"reference": "Patient/li"}]},
        {"patient": "li", "fhirContext": [{}]},
        {"patient": "li", "fhirContext": "ImagingStudy/1"},
        {"patient": "li", "intent": "x" * 300},
    ],
)
def test_a_launch_that_makes_no_sense_is_refused(world: World, body: dict[str, Any]) -> None:
    response = register(world, **body)

    assert response.status_code == 400
    assert response.json()["error_description"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    ["patient", "encounter", "fhirContext", "intent", "need_patient_banner", "tenant", "x"]
)


@given(st.dictionaries(NAMES, JSON, max_size=5))
def test_whatever_is_sent_is_read_or_refused(body: dict[str, Any]) -> None:
    try:
        context = context_of(body)
    except Fault as fault:
        refused = fault.kind
    else:
        refused = None
        assert "/" not in context.patient + context.encounter
    assert refused in (None, Kind.BAD_REQUEST)
