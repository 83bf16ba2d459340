"""The real SMART client (npm fhirclient) in a real browser: a standalone launch with PKCE, on a phone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.smart.asking import asked
from tests.smart.world import PASSWORD, World

PHONE = {"width": 360, "height": 740}
WORDS: dict[str, Any] = {
    "en-GB": {"login": "Log in", "patient": "Choose a patient", "consent": "Allow access?", "allow": "Allow"},
    "zh-CN": {"login": "登录", "patient": "选择患者", "consent": "是否允许访问？", "allow": "允许"},
}


@pytest.fixture
def page(chromium: Browser, request: pytest.FixtureRequest) -> Any:
    context = chromium.new_context(viewport=PHONE, locale=getattr(request, "param", "en-GB"))
    yield context.new_page()
    context.close()


def picture(page: Page, folder: Path, name: str) -> None:
    """Take a picture, and see that nothing sticks out on a phone's screen and every field has its label."""
    page.screenshot(path=folder / f"{name}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert page.evaluate(
        "[...document.querySelectorAll('input:not([type=hidden])')].every((field) => field.labels.length > 0)"
    )
    small = (
        "[...document.querySelectorAll('button')].filter((b) => b.getBoundingClientRect().height < 40).length"
    )
    assert page.evaluate(small) == 0


@pytest.mark.parametrize("page", ["en-GB", "zh-CN"], indirect=True)
def test_a_patient_logs_in_allows_and_the_app_reads_that_record_alone(
    app: str, page: Page, pictures: Path
) -> None:
    lang = page.evaluate("navigator.language")
    words = WORDS[lang]
    page.goto(f"{app}/launch.html")
    expect(page.locator("h1")).to_have_text(words["login"])
    picture(page, pictures, f"login-{lang}")
    page.locator("#name").fill("li")
    page.locator("#password").fill(PASSWORD)
    page.locator("button.main").click()
    expect(page.locator("h1")).to_have_text(words["consent"])
    picture(page, pictures, f"consent-{lang}")
    page.get_by_role("button", name=words["allow"], exact=True).click()

    told = _told(page)
    assert "error" not in told
    assert (told["patient"], told["name"], told["refused"]) == ("li", "李芳", 404)
    assert (told["coverage"], told["benefit"]) == (["coverage-li"], ["benefit-li"])
    assert told["user"] == "Patient/li"
    assert told["refreshed"] is True


def test_what_a_person_deselects_the_app_does_not_get(app: str, page: Page) -> None:
    page.goto(f"{app}/launch.html")
    _log_in(page, "li")
    page.get_by_label("ExplanationOfBenefit").uncheck()
    page.get_by_role("button", name="Allow", exact=True).click()

    # Its search for benefits is refused, and the page shows that.
    assert "403" in _told(page)["error"] or "Forbidden" in _told(page)["error"]


@pytest.mark.parametrize("page", ["en-GB", "zh-CN"], indirect=True)
def test_a_practitioner_looks_for_a_patient_by_name(app: str, page: Page, pictures: Path) -> None:
    lang = page.evaluate("navigator.language")
    page.goto(f"{app}/launch.html")
    _log_in(page, "wang")
    expect(page.locator("h1")).to_have_text(WORDS[lang]["patient"])
    page.locator("#text").fill("李")
    page.keyboard.press("Enter")
    expect(page.locator(".choices button")).to_have_count(1)
    picture(page, pictures, f"patient-{lang}")
    page.locator(".choices button").click()

    expect(page.locator(".patient")).to_contain_text("李芳")
    page.locator("button.main").click()
    assert _told(page)["patient"] == "li"


@pytest.mark.parametrize("page", ["en-GB", "zh-CN"], indirect=True)
def test_wrong_words_and_errors_are_told_on_the_page(
    app: str, page: Page, pictures: Path, served: World
) -> None:
    lang = page.evaluate("navigator.language")
    page.goto(f"{app}/launch.html")
    _log_in(page, "li", "the wrong password")
    expect(page.locator("[role=alert]")).to_be_visible()
    picture(page, pictures, f"wrong-{lang}")
    page.goto(f"{served.settings.public_base}/auth/authorize?response_type=code&client_id=nobody")
    picture(page, pictures, f"error-{lang}")
    expect(page.locator("main")).to_contain_text("invalid_client")


@pytest.mark.parametrize("page", ["en-GB", "zh-CN"], indirect=True)
def test_a_patient_chooses_a_visit(served: World, app_port: int, page: Page, pictures: Path) -> None:
    lang = page.evaluate("navigator.language")
    page.goto(_asking(served, app_port, "launch/patient launch/encounter patient/Encounter.rs"))
    _log_in(page, "li")
    expect(page.locator("h1")).to_have_text({"en-GB": "Choose a visit", "zh-CN": "选择就诊"}[lang])
    expect(page.locator(".choices button")).to_have_count(2)
    picture(page, pictures, f"visit-{lang}")
    page.locator(".choices button").first.click()

    expect(page.locator(".patient")).to_contain_text("2026-03-02 04:30")
    picture(page, pictures, f"visit-consent-{lang}")


@pytest.mark.parametrize("page", ["en-GB", "zh-CN"], indirect=True)
def test_a_person_changes_the_password(served: World, app_port: int, page: Page, pictures: Path) -> None:
    lang = page.evaluate("navigator.language")
    page.goto(_asking(served, app_port, "launch/patient patient/Patient.rs"))
    _log_in(page, f"changes-{lang.lower()}")
    expect(page.locator("h1")).to_have_text(WORDS[lang]["consent"])
    page.goto(f"{served.settings.public_base}/auth/apps")
    page.locator("a[href$='/password']").click()
    page.locator("#old").fill("not the password at all")
    page.locator("#new").fill("another battery staple")
    page.locator("#again").fill("another battery staple")
    page.locator("button.main").click()
    expect(page.locator("[role=alert]")).to_be_visible()
    picture(page, pictures, f"password-{lang}")
    page.locator("#old").fill(PASSWORD)
    page.locator("#new").fill("another battery staple")
    page.locator("#again").fill("another battery staple")
    page.locator("button.main").click()

    expect(page.locator("h1")).to_have_text({"en-GB": "Password changed", "zh-CN": "密码已修改"}[lang])
    picture(page, pictures, f"password-done-{lang}")


def _asking(world: World, app_port: int, scope: str) -> str:
    """Return the address of an authorization request."""
    parameters = asked(
        "browser-app",
        scope=scope,
        redirect_uri=f"http://127.0.0.1:{app_port}/index.html",
        aud=world.settings.public_base,
    )
    return f"{world.settings.public_base}/auth/authorize?{urlencode(parameters)}"


def test_the_language_is_changed_on_the_page(app: str, page: Page) -> None:
    page.goto(f"{app}/launch.html")
    page.get_by_role("link", name="中文").click()
    expect(page.locator("h1")).to_have_text("登录")
    page.goto(f"{app}/launch.html")

    expect(page.locator("h1")).to_have_text("登录")


def test_denying_brings_the_person_back_to_the_app(app: str, page: Page) -> None:
    page.goto(f"{app}/launch.html")
    _log_in(page, "li")
    page.get_by_role("button", name="Do not allow").click()

    assert "access_denied" in _told(page)["error"]
    assert page.url.startswith(app)


def _log_in(page: Page, user: str, password: str = PASSWORD) -> None:
    page.locator("#name").fill(user)
    page.locator("#password").fill(password)
    page.locator("button.main").click()


def _told(page: Page) -> dict[str, Any]:
    expect(page.locator("#told")).not_to_be_empty()
    tree: dict[str, Any] = json.loads(page.locator("#told").inner_text())
    return tree
