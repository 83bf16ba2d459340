"""Changing the own password: the old one is needed, a weak one refused, and whoever was logged in is out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from fhir_server.access.actor import SECURITY_ADMINISTRATOR
from fhir_server.audit.entry import MINOR, SUCCESS
from fhir_server.audit.security import EVENTS
from fhir_server.smart.users import FREE_ATTEMPTS
from tests.audit.world import written
from tests.smart.asking import BASE, HOST
from tests.smart.world import PASSWORD, Browser, World

PAGE = f"{HOST}/fhir/auth/password"
NEW = "another battery staple"


def logged_in(world: World, user: str = "li") -> Browser:
    browser = world.browser()
    browser.authorize("app")
    browser.login(user)
    browser.page = browser.send("GET", PAGE)
    return browser


def change(browser: Browser, old: str = PASSWORD, new: str = NEW, again: str | None = None) -> httpx.Response:
    fields: dict[str, Any] = {"old": old, "new": new, "again": new if again is None else again}
    return browser.submit("password", **fields)


def events(world: World) -> list[tuple[str, int, str]]:
    found = [each for each in written(world.settings.data) if each.interaction in EVENTS]
    return [(each.interaction, each.outcome, each.target) for each in found]


def test_the_new_password_holds_and_the_old_one_does_not(worlds: Callable[..., World]) -> None:
    world = worlds()
    answer = change(logged_in(world))

    assert answer.status_code == 200
    assert "Password changed" in answer.text
    again = world.browser()
    again.authorize("app")
    assert "User name or password is wrong." in again.login("li").text
    assert "Allow access?" in again.login("li", NEW).text
    assert ("password-change", SUCCESS, "account li") in events(world)


def test_it_ends_every_session_and_what_was_allowed(worlds: Callable[..., World]) -> None:
    world = worlds()
    tokens = world.launch("app", "li")
    elsewhere = logged_in(world)
    browser = logged_in(world)
    change(browser)

    assert elsewhere.send("GET", PAGE).status_code == 401
    assert browser.send("GET", PAGE).status_code == 401
    assert world.get("Patient/li", tokens["access_token"]).status_code == 401
    assert world.refresh("app", tokens["refresh_token"]).status_code == 400
    assert world.launch("app", "zhao", patient="zhao")["access_token"], "nobody else is concerned"


def test_nobody_changes_a_password_without_the_present_one(world: World) -> None:
    browser = logged_in(world, "wang")
    answer = change(browser, old="not the password at all")

    assert "The present password is wrong." in answer.text
    assert events(world)[-1] == ("password-change", MINOR, "account wang")
    assert browser.send("GET", PAGE).status_code == 200, "still logged in"
    again = world.browser()
    again.authorize("app")
    assert "Choose a patient" in again.login("wang").text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"again": "yet another one"}, "differently the second time"),
        ({"new": "short"}, "12 to 256 characters"),
        ({"new": "x" * 257}, "12 to 256 characters"),
        ({"new": PASSWORD}, "same as the present one"),
    ],
)
def test_a_password_that_will_not_do_is_told_and_nothing_changes(
    world: World, fields: dict[str, str], words: str
) -> None:
    browser = logged_in(world, "zhao")
    before = len(events(world))

    assert words in change(browser, **fields).text
    assert len(events(world)) == before
    assert browser.send("GET", PAGE).status_code == 200


def test_guessing_the_present_password_is_locked_as_logging_in_is(worlds: Callable[..., World]) -> None:
    world = worlds()
    browser = logged_in(world)
    for _ in range(FREE_ATTEMPTS):
        change(browser, old="not the password at all")

    assert "Too many attempts" in change(browser).text
    assert events(world)[-1][0] == "lockout"
    world.clock.forward(16)
    assert "Password changed" in change(browser).text


def test_without_a_session_there_is_no_page(world: World) -> None:
    assert world.browser().send("GET", PAGE).status_code == 401
    assert world.browser().send("POST", PAGE, data={"old": PASSWORD}).status_code == 401


def test_another_sites_form_changes_nothing(world: World) -> None:
    browser = logged_in(world, "zhao")
    for csrf in ("", "made-up"):
        fields = {"csrf": csrf, "old": PASSWORD, "new": NEW, "again": NEW}
        assert browser.send("POST", PAGE, data=fields).status_code == 403


def test_an_account_without_a_password_is_told_where_to_go(worlds: Callable[..., World]) -> None:
    world = worlds()
    browser = logged_in(world)
    held = world.run(world.house.shelves.users.get("li"))
    assert held is not None
    shelf = world.house.shelves
    world.run(
        shelf.apply(shelf.users.to_replace(held, type(held.value)(**{**_fields(held), "password": ""})))
    )
    page = browser.send("GET", PAGE)

    assert "another provider" in page.text
    assert 'name="old"' not in page.text


def _fields(held: Any) -> dict[str, Any]:
    return {name: getattr(held.value, name) for name in held.value.__struct_fields__}


def test_an_administrator_changes_it_too_and_still_needs_the_code(worlds: Callable[..., World]) -> None:
    world = worlds()
    chief = world.user("chief", roles=(SECURITY_ADMINISTRATOR,))
    browser = world.browser()
    browser.authorize("app", scope="openid")
    browser.login("chief")
    browser.one_time(chief)
    browser.page = browser.send("GET", PAGE)
    assert "Password changed" in change(browser).text
    again = world.browser()
    again.authorize("app", scope="openid")

    assert "One-time code" in again.login("chief", NEW).text


def test_the_page_is_reached_from_the_apps_and_speaks_chinese(world: World) -> None:
    browser = world.browser(accept_language="zh-CN")
    browser.authorize("app")
    browser.login("zhao")

    assert "/auth/password" in browser.send("GET", f"{BASE}/auth/apps").text
    assert "修改密码" in browser.send("GET", PAGE).text
