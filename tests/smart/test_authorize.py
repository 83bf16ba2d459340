"""The authorization endpoint: what is refused, where the refusal goes, and that nobody gets a code by it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.smart.asking import APP, BASE, asked
from tests.smart.world import PASSWORD, World

HOSTILE = "https://evil.example.test/callback"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "too-short"}, "invalid_request"),
        ({"aud": "https://other.example.test/fhir"}, "invalid_request"),
        ({"aud": None}, "invalid_request"),
        ({"state": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "system/*.rs"}, "invalid_scope"),
        ({"scope": "patient/*.rs user/*.rs"}, "invalid_scope"),
        ({"scope": "patient/Observation.dus"}, "invalid_scope"),
        ({"scope": "patient/observation.rs"}, "invalid_scope"),
        ({"scope": "email"}, "invalid_scope"),
        ({"scope": None}, "invalid_scope"),
        ({"scope": "launch patient/*.rs"}, "invalid_request"),
        ({"scope": "launch patient/*.rs", "launch": "made-up"}, "invalid_request"),
        ({"max_age": "soon"}, "invalid_request"),
        ({"prompt": "none"}, "login_required"),
    ],
)
def test_what_cannot_be_granted_is_told_to_the_app_with_its_state(
    world: World, changes: dict[str, str | None], error: str
) -> None:
    browser = world.browser()

    got = browser.arrived(browser.authorize("app", **changes))

    assert got["error"] == error
    assert "code" not in got
    assert got.get("state") == ("state-1" if "state" not in changes else None)


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "nobody"},
        {"client_id": None},
        {"redirect_uri": HOSTILE},
        {"redirect_uri": None},
        {"redirect_uri": f"{APP}/"},
        {"redirect_uri": f"{APP}?more=1"},
        {"redirect_uri": APP.upper()},
        {"redirect_uri": "https://app.example.test/callbäck"},
        {"redirect_uri": "javascript:alert(1)"},
    ],
)
def test_an_unknown_client_or_address_is_told_to_the_person_and_to_nobody_else(
    world: World, changes: dict[str, str | None]
) -> None:
    response = world.browser().authorize("app", **changes)

    assert response.status_code == 400
    assert "location" not in response.headers
    assert "<h1>This did not work</h1>" in response.text
    assert "evil" not in response.text


def test_a_parameter_that_occurs_twice_is_refused(world: World) -> None:
    query = [*asked("app").items(), ("scope", "patient/*.cruds")]

    response = world.browser().send("GET", f"{BASE}/auth/authorize", params=query)

    assert response.status_code == 400


def test_a_request_by_post_is_answered_like_one_by_get(world: World) -> None:
    browser = world.browser()

    assert "Log in" in browser.authorize("app", method="POST").text
    browser.login("li")
    assert "code" in browser.arrived(browser.allow())


def test_another_browser_cannot_go_on_with_a_flow(world: World) -> None:
    first, second = world.browser(), world.browser()
    page = first.authorize("app")

    assert second.send("GET", str(page.url)).status_code == 400
    form = {**first.form("login"), "name": "li", "password": PASSWORD}
    assert second.send("POST", str(page.url), data=form).status_code == 403


def test_a_form_without_its_token_is_refused_and_with_it_accepted(world: World) -> None:
    browser = world.browser()
    browser.authorize("app")

    assert (
        browser.submit("login", name="li", password="correct horse battery", csrf="0" * 64).status_code == 403
    )
    browser.authorize("app")
    assert browser.login("li").status_code == 200


def test_a_code_is_given_once_though_the_button_is_pressed_twice(world: World) -> None:
    browser = world.browser()
    browser.authorize("app")
    page = browser.login("li")
    form = browser.form("consent")

    first = browser.send("POST", str(page.url), data=form)
    second = browser.send("POST", str(page.url), data=form)

    assert "code" in browser.arrived(first)
    assert second.status_code in {400, 403, 409}


def test_denying_is_told_to_the_app(world: World) -> None:
    browser = world.browser()
    browser.authorize("app")
    browser.login("li")

    got = browser.arrived(browser.submit("cancel"))

    assert got == {"error": "access_denied", "state": "state-1"}


def test_scopes_that_a_person_deselects_are_not_granted(world: World) -> None:
    browser = world.browser()
    browser.authorize(
        "app", scope="openid launch/patient patient/Patient.rs patient/Coverage.rs offline_access"
    )
    browser.login("li")
    kept = ["launch/patient", "patient/Patient.rs"]
    code = browser.arrived(browser.allow(scope=kept))["code"]

    tokens = world.redeem("app", code).json()

    assert set(tokens["scope"].split()) == set(kept)
    assert "refresh_token" not in tokens
    assert "id_token" not in tokens
    assert world.get("Patient/li", tokens["access_token"]).status_code == 200
    assert world.get("Coverage/coverage-li", tokens["access_token"]).status_code == 403


def test_a_scope_that_was_not_asked_for_cannot_be_added_on_the_page(world: World) -> None:
    browser = world.browser()
    browser.authorize("app", scope="launch/patient patient/Patient.rs")
    browser.login("li")
    code = browser.arrived(browser.allow(scope=["launch/patient", "patient/Patient.rs", "patient/*.cruds"]))[
        "code"
    ]

    assert world.redeem("app", code).json()["scope"] == "launch/patient patient/Patient.rs"


def test_deselecting_everything_is_denying(world: World) -> None:
    browser = world.browser()
    browser.authorize("app", scope="launch/patient patient/Patient.rs")
    browser.login("li")

    assert browser.arrived(browser.allow(scope=["launch/patient"]))["error"] == "access_denied"


def test_an_app_gets_no_more_than_it_is_registered_for(world: World) -> None:
    world.client("narrow", scope="launch/patient patient/Patient.rs patient/Coverage.r")

    tokens = world.launch("narrow", "li", scope="launch/patient patient/*.cruds offline_access")

    assert set(tokens["scope"].split()) == {"launch/patient", "patient/Patient.rs", "patient/Coverage.r"}


def test_scopes_of_version_one_are_granted_as_they_were_asked_for(world: World) -> None:
    tokens = world.launch("app", "li", scope="launch/patient patient/*.read")

    assert "patient/*.read" in tokens["scope"].split()
    assert world.get("Coverage?patient=li", tokens["access_token"]).json()["entry"]


def test_a_proxy_chooses_between_the_own_record_and_the_childs(world: World) -> None:
    browser = world.browser()
    browser.authorize("app")
    page = browser.login("zhao").text

    assert "赵敏" in page
    assert "孙静" in page
    browser.submit("patient", patient="sun")
    tokens = world.redeem("app", browser.arrived(browser.allow())["code"]).json()
    assert tokens["patient"] == "sun"
    assert world.get("Patient/sun", tokens["access_token"]).status_code == 200
    assert world.get("Patient/zhao", tokens["access_token"]).status_code == 404


def test_a_proxy_whose_period_is_over_chooses_nothing_by_it(world: World) -> None:
    world.user("former", roles=("proxy",), fhir_user="RelatedPerson/li-once")
    browser = world.browser()
    browser.authorize("app")

    page = browser.login("former").text

    assert "李芳" not in page
    assert browser.submit("cancel").status_code == 303


def test_a_patient_cannot_choose_somebody_elses_record(world: World) -> None:
    browser = world.browser()
    browser.authorize("app")
    browser.login("zhao")
    csrf = browser.form("patient")

    browser.follow(browser.send("POST", str(browser.page.url), data={**csrf, "patient": "li"}))

    assert "Choose a patient" in browser.page.text
    assert "李芳" not in browser.page.text


def test_a_practitioner_finds_a_patient_of_the_own_organisation_by_name(world: World) -> None:
    browser = world.browser()
    browser.authorize("app")
    browser.login("wang")

    page = browser.submit("search", text="李").text

    assert "李芳" in page
    assert "赵敏" not in page
    browser.submit("patient", patient="li")
    tokens = world.redeem("app", browser.arrived(browser.allow())["code"]).json()
    assert tokens["patient"] == "li"


def test_another_account_in_the_same_browser_does_not_inherit_the_chosen_patient(world: World) -> None:
    browser = world.browser()
    browser.authorize("app")
    browser.login("wang")
    browser.submit("search", text="李")
    page = browser.submit("patient", patient="li")
    assert "Allow access" in page.text
    flow = str(page.url)
    browser.authorize("app", prompt="login")
    browser.login("zhao")

    assert "Allow access" not in browser.follow(browser.send("GET", flow)).text


def test_a_new_login_is_asked_for_when_the_app_wants_one(world: World) -> None:
    browser = world.browser()
    browser.through("app", "li")

    assert "Allow access" in browser.authorize("app").text
    assert 'value="login"' in browser.authorize("app", prompt="login").text
    world.clock.forward(100)
    assert 'value="login"' in browser.authorize("app", max_age="60").text
    assert "Allow access" in browser.authorize("app", max_age="1000").text


def test_a_flow_ends_after_a_quarter_of_an_hour(worlds: Callable[..., World]) -> None:
    world = worlds()
    browser = world.browser()
    page = browser.authorize("app")
    world.clock.forward(15 * 60 + 1)

    assert browser.send("GET", str(page.url)).status_code == 400
