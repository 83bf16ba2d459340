"""Standalone launch with an encounter: the person chooses one of the patient's, or goes on without."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest

from fhir_server.smart.encounters import Encounters
from tests.smart.asking import BASE
from tests.smart.world import Browser, World, claims_of

SCOPE = "launch/encounter launch/patient openid fhirUser patient/Patient.rs patient/Encounter.rs"


def visit(id_: str, patient: str, start: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Encounter",
        "id": id_,
        "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
        "subject": {"reference": f"Patient/{patient}"},
        "period": {"start": start},
        "serviceProvider": {"reference": "Organization/north", "display": "北方医院"},
        **more,
    }


@pytest.fixture(scope="module", autouse=True)
def _visits(world: World) -> None:
    world.client("visit-app", scope=f"{SCOPE} offline_access patient/*.cruds user/*.rs")
    world.seed(visit("stay-li", "li", "2026-03-01T20:30:00Z", type=[{"text": "急性胰腺炎"}]))
    world.seed(visit("old-li", "li", "2024-05"))
    world.seed(visit("stay-zhao", "zhao", "2026-01-02"))


@pytest.fixture
def browser(world: World) -> Browser:
    """Return a browser in which li is logged in, at the list of visits."""
    made = world.browser()
    made.authorize("visit-app", scope=SCOPE)
    made.login("li")
    return made


def test_the_list_shows_the_own_visits_newest_first_and_nobody_elses(browser: Browser) -> None:
    text = browser.page.text

    assert "Choose a visit" in text
    assert text.index("stay-li") < text.index("old-li")
    assert "visit-li" in text, "the one without a date too"
    assert "stay-zhao" not in text
    assert "2026-03-02 04:30</strong> inpatient" in text, "in the server's zone, Asia/Shanghai"
    assert "急性胰腺炎, 北方医院" in text
    assert "2024-05" in text


def test_the_visit_that_was_chosen_comes_with_the_token(world: World, browser: Browser) -> None:
    browser.submit("encounter", encounter="stay-li")
    assert "Visit: 2026-03-02 04:30 inpatient" in browser.page.text
    tokens = world.redeem("visit-app", str(browser.arrived(browser.allow())["code"])).json()

    assert (tokens["patient"], tokens["encounter"]) == ("li", "stay-li")
    assert claims_of(tokens["access_token"])["encounter"] == "stay-li"
    assert "launch/encounter" in tokens["scope"].split()


def test_who_goes_on_without_a_visit_grants_none(world: World, browser: Browser) -> None:
    browser.submit("encounter", encounter="")
    assert "Visit:" not in browser.page.text
    tokens = world.redeem("visit-app", str(browser.arrived(browser.allow())["code"])).json()

    assert "encounter" not in tokens
    assert "launch/encounter" not in tokens["scope"].split()
    assert tokens["patient"] == "li"


@pytest.mark.parametrize(
    "sent", ["stay-zhao", "absent", "../Patient/li", "a b", "Encounter/stay-li", "x" * 70]
)
def test_a_visit_that_is_not_the_patients_is_not_taken(browser: Browser, sent: str) -> None:
    browser.submit("encounter", encounter=sent)

    assert "Choose a visit" in browser.page.text


def test_an_app_that_does_not_ask_shows_no_list(world: World) -> None:
    browser = world.browser()
    browser.authorize("visit-app", scope="launch/patient patient/*.rs")
    browser.login("li")

    assert "Allow access?" in browser.page.text


def test_a_visit_alone_asks_for_its_patient_first(world: World) -> None:
    browser = world.browser()
    browser.authorize("visit-app", scope="launch/encounter user/Encounter.rs")
    browser.login("wang")
    assert "Choose a patient" in browser.page.text
    browser.submit("patient", patient="zhao")
    assert "stay-zhao" in browser.page.text
    assert "stay-li" not in browser.page.text
    browser.submit("encounter", encounter="stay-zhao")
    tokens = world.redeem("visit-app", str(browser.arrived(browser.allow())["code"])).json()

    assert (tokens["patient"], tokens["encounter"]) == ("zhao", "stay-zhao")


def test_another_account_in_the_same_browser_chooses_anew(world: World, browser: Browser) -> None:
    """What one person chose is not what the next one opens."""
    browser.submit("encounter", encounter="stay-li")
    first = str(browser.page.url)
    other = world.browser()
    other.cookies = browser.cookies
    other.authorize("visit-app", scope="launch/patient patient/*.rs", prompt="login")
    other.login("zhao")
    if "Choose a patient" in other.page.text:
        other.submit("patient", patient="zhao")
    browser.cookies = other.cookies
    browser.page = browser.send("GET", first)

    assert "stay-li" not in browser.page.text
    assert "Choose a patient" in browser.page.text


def test_a_patient_without_visits_goes_on(world: World) -> None:
    browser = world.browser()
    browser.authorize("visit-app", scope=SCOPE)
    browser.login("zhao")
    browser.submit("patient", patient="sun")
    assert "No visit was found." in browser.page.text

    assert "Allow access?" in browser.submit("encounter", encounter="").text


def test_the_page_speaks_chinese(world: World) -> None:
    browser = world.browser(accept_language="zh-CN")
    browser.authorize("visit-app", scope=SCOPE)
    browser.login("li")

    assert "选择就诊" in browser.page.text
    assert "住院" in browser.page.text


def test_it_is_published(world: World) -> None:
    told = world.browser().send("GET", f"{BASE}/.well-known/smart-configuration").json()

    assert "context-standalone-encounter" in told["capabilities"]
    assert "launch/encounter" in told["scopes_supported"]


@pytest.mark.parametrize(
    ("start", "shown"),
    [
        ("", ""),
        ("2026", "2026"),
        ("2026-03-01", "2026-03-01"),
        ("2026-03-01T10:00:00+08:00", "2026-03-01 02:00"),
        ("2026-03-01Tnonsense", "2026-03-01"),
    ],
)
def test_times_are_shown_as_precisely_as_they_are(start: str, shown: str) -> None:
    picker = Encounters(None, "", UTC)  # type: ignore[arg-type]  # nothing is looked up

    assert picker._moment(start) == shown
