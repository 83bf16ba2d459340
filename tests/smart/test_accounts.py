"""Accounts: passwords, one-time codes, waits, sessions, roles that no account holds together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.access.actor import AUDIT_ADMINISTRATOR, SECURITY_ADMINISTRATOR, SYSTEM_ADMINISTRATOR
from fhir_server.faults import Fault
from fhir_server.smart.users import FREE_ATTEMPTS, wait_ms
from tests.smart.asking import BASE, HOST
from tests.smart.world import PASSWORD, World

WRONG = "not the password at all"


def test_wrong_names_and_wrong_passwords_are_told_alike(world: World) -> None:
    pages = []
    for name in ("li", "nobody-of-that-name"):
        browser = world.browser()
        browser.authorize("app")
        pages.append(browser.login(name, WRONG))

    assert [page.status_code for page in pages] == [200, 200]
    assert all("User name or password is wrong." in page.text for page in pages)
    assert "nobody-of-that-name" not in pages[1].text


@pytest.mark.parametrize("name", ["li", "nobody"])
def test_after_a_few_failures_even_the_right_password_has_to_wait(
    worlds: Callable[..., World], name: str
) -> None:
    world = worlds()
    browser = world.browser()
    browser.authorize("app")
    for _ in range(FREE_ATTEMPTS):
        browser.login(name, WRONG)

    assert "Too many attempts" in browser.login(name).text
    world.clock.forward(16)
    if name == "li":
        assert "Allow access" in browser.login(name).text


def test_the_right_password_forgives_the_failures(worlds: Callable[..., World]) -> None:
    world = worlds()
    for _ in range(2):
        browser = world.browser()
        browser.authorize("app")
        for _ in range(FREE_ATTEMPTS - 1):
            browser.login("li", WRONG)
        assert "Allow access" in browser.login("li").text


@given(st.integers(0, 200))
def test_waits_grow_and_are_bounded(count: int) -> None:
    assert 0 <= wait_ms(count, 5) <= wait_ms(count + 1, 5) <= 15 * 60_000
    assert (wait_ms(count, 5) == 0) == (count < 5)


def test_an_administrator_needs_a_code_that_counts_once(worlds: Callable[..., World]) -> None:
    world = worlds()
    chief = world.user("chief", roles=(SECURITY_ADMINISTRATOR,))
    browser = world.browser()
    browser.authorize("app", scope="openid fhirUser")

    assert "One-time code" in browser.login("chief").text
    assert "The code is wrong" in browser.submit("totp", code="000000").text
    code = pyotp.TOTP(chief.totp).generate_otp(world.clock() // 30_000)
    assert "Allow access" in browser.submit("totp", code=code).text

    again = world.browser()
    again.authorize("app", scope="openid fhirUser")
    again.login("chief")
    assert "The code is wrong" in again.submit("totp", code=code).text


def test_wrong_codes_make_wait_too(worlds: Callable[..., World]) -> None:
    world = worlds()
    world.user("chief", roles=(SYSTEM_ADMINISTRATOR,))
    browser = world.browser()
    browser.authorize("app", scope="openid")
    browser.login("chief")
    for _ in range(FREE_ATTEMPTS):
        browser.submit("totp", code="000000")

    assert "Too many attempts" in browser.page.text


def test_an_administrator_grants_no_rights_on_records(world: World) -> None:
    chief = world.user("auditor", roles=(AUDIT_ADMINISTRATOR,))
    browser = world.browser()
    browser.authorize("app", scope="openid launch/patient patient/*.rs")
    browser.login("auditor")
    browser.one_time(chief)

    assert "Patient" not in browser.page.text


def test_an_audit_administrator_grants_reading_the_audit_and_nothing_else(world: World) -> None:
    asked = "openid user/*.cruds user/Patient.rs user/AuditEvent.cruds"
    world.client("audit-app", scope=asked)
    browser = world.browser()
    for name, role, granted in (
        ("auditor-2", AUDIT_ADMINISTRATOR, {"openid", "user/AuditEvent.rs"}),
        ("chief-2", SYSTEM_ADMINISTRATOR, {"openid"}),
    ):
        account = world.user(name, roles=(role,))
        browser = world.browser()
        browser.authorize("audit-app", scope=asked)
        browser.login(name)
        browser.one_time(account)
        code = str(browser.arrived(browser.allow())["code"])
        assert set(world.redeem("audit-app", code).json()["scope"].split()) == granted


@pytest.mark.parametrize(
    "changes",
    [
        {"roles": (SYSTEM_ADMINISTRATOR, SECURITY_ADMINISTRATOR)},
        {"roles": (SECURITY_ADMINISTRATOR, AUDIT_ADMINISTRATOR)},
        {"roles": (SYSTEM_ADMINISTRATOR, "practitioner"), "fhir_user": "Practitioner/wang"},
        {"roles": (SYSTEM_ADMINISTRATOR,), "fhir_user": "Practitioner/wang"},
        {"roles": ("king",)},
        {"roles": ("practitioner",), "fhir_user": "Patient/li"},
        {"roles": ("practitioner",)},
        {"roles": ("patient",), "fhir_user": "li"},
        {"organization": "north"},
        {"proxies": ("Patient/li",)},
        {"external": ("only-one-word",)},
    ],
)
def test_accounts_that_must_not_be_are_refused(world: World, changes: dict[str, Any]) -> None:
    with pytest.raises(Fault):
        world.user("impossible", **changes)

    assert world.run(world.house.shelves.users.get("impossible")) is None


def test_two_accounts_have_two_names(world: World) -> None:
    with pytest.raises(Fault, match="exists"):
        world.user("li", roles=("patient",), fhir_user="Patient/li")


def test_a_session_ends_when_idle_and_at_the_latest_after_its_time(worlds: Callable[..., World]) -> None:
    world = worlds(session_seconds=7200)
    browser = world.browser()
    browser.through("app", "li")
    for _ in range(3):
        world.clock.forward(29 * 60)
        assert "Allow access" in browser.authorize("app").text
    world.clock.forward(31 * 60)
    assert "Log in" in browser.authorize("app").text
    browser.login("li")
    for _ in range(4):
        world.clock.forward(29 * 60)
        browser.authorize("app")
    world.clock.forward(5 * 60)

    assert "Log in" in browser.authorize("app").text


def test_logging_out_ends_the_session(world: World) -> None:
    browser = world.browser()
    browser.through("app", "li")
    browser.page = browser.send("GET", f"{BASE}/auth/logout")

    assert "You are logged in as li" in browser.page.text
    assert "You are logged out" in browser.submit("logout").text
    assert "Log in" in browser.authorize("app").text


def test_logging_out_needs_the_form_of_the_page(world: World) -> None:
    browser = world.browser()
    browser.through("app", "li")

    assert browser.send("POST", f"{BASE}/auth/logout", data={"step": "logout"}).status_code == 403
    assert "Allow access" in browser.authorize("app").text


def test_a_session_is_new_after_each_login_and_its_cookie_is_kept_from_scripts(world: World) -> None:
    browser = world.browser()
    browser.authorize("app")
    form = {**browser.form("login"), "name": "li", "password": PASSWORD}
    browser.cookies.set("fhir_session", "planted", domain="fhir.example.test", path="/fhir/auth")

    response = browser.send("POST", str(browser.page.url), data=form)

    cookie = response.headers["set-cookie"]
    assert "planted" not in cookie
    for attribute in ("HttpOnly", "Secure", "SameSite=lax", "Path=/fhir/auth"):
        assert attribute in cookie


def test_a_person_sees_which_apps_have_access_and_ends_it(world: World) -> None:
    browser = world.browser()
    world.client("nosy", name="Nosy app")
    tokens = world.redeem("nosy", browser.through("nosy", "li")).json()
    browser.page = browser.send("GET", f"{BASE}/auth/apps")
    assert "Nosy app" in browser.page.text
    grants = world.run(world.house.shelves.grants.find("client nosy"))

    browser.submit("end", grant=grants[0].key)

    assert "Nosy app" not in browser.page.text
    assert world.get("Patient/li", tokens["access_token"]).status_code == 401
    assert world.refresh("nosy", tokens["refresh_token"]).status_code == 400


def test_nobody_ends_what_somebody_else_allowed(world: World) -> None:
    tokens = world.launch("app", "li")
    grant = world.run(world.house.shelves.grants.find("user li"))[0].key
    browser = world.browser()
    browser.through("app", "zhao", patient="zhao")
    browser.page = browser.send("GET", f"{BASE}/auth/apps")

    assert browser.submit("end", grant=grant).status_code == 403
    assert world.get("Patient/li", tokens["access_token"]).status_code == 200
    assert world.browser().send("GET", f"{BASE}/auth/apps").status_code == 401


def administrator(world: World, name: str, role: str) -> dict[str, str]:
    """Log an administrator in; return the headers of a token."""
    user = world.user(name, roles=(role,))
    browser = world.browser()
    browser.authorize("app", scope="openid")
    browser.login(name)
    browser.one_time(user)
    token = world.redeem("app", browser.arrived(browser.allow())["code"]).json()["access_token"]
    return {"authorization": f"Bearer {token}"}


def test_a_security_administrator_manages_clients_and_accounts(world: World) -> None:
    admin = world.browser(**administrator(world, "guard", SECURITY_ADMINISTRATOR))
    address = f"{BASE}/auth/admin"
    new = {
        "id": "made",
        "scope": "openid",
        "method": "client_secret_basic",
        "redirect_uris": ["https://a.example.test/"],
    }

    made = admin.send("POST", f"{address}/clients", json=new)
    assert made.status_code == 201, made.text
    assert made.json()["client_secret"]
    assert admin.send("POST", f"{address}/clients", json=new).status_code == 409
    listed = admin.send("GET", f"{address}/clients")
    assert "made" in {client["id"] for client in listed.json()}
    assert all("secret" not in client for client in listed.json())
    assert made.json()["client_secret"] not in listed.text
    assert admin.send("DELETE", f"{address}/clients/made").status_code == 204
    assert admin.send("DELETE", f"{address}/clients/made").status_code == 404

    person = {
        "id": "new-li",
        "name": "L",
        "password": PASSWORD,
        "roles": ["patient"],
        "fhir_user": "Patient/li",
    }
    assert admin.send("POST", f"{address}/users", json=person).status_code == 201
    assert "argon2" not in admin.send("GET", f"{address}/users").text
    assert world.launch("app", "new-li")["patient"] == "li"
    assert admin.send("PATCH", f"{address}/users/new-li", json={"disabled": True}).json()["disabled"] is True
    browser = world.browser()
    browser.authorize("app")
    assert "wrong" in browser.login("new-li").text
    assert admin.send("DELETE", f"{address}/users/new-li").status_code == 204
    for bad in ({"id": "x"}, {"id": "x", "scope": "openid", "unknown": 1}, ["x"]):
        assert admin.send("POST", f"{address}/clients", json=bad).status_code == 400


def test_nobody_else_does(world: World) -> None:
    system = administrator(world, "operator", SYSTEM_ADMINISTRATOR)
    doctor = {"authorization": f"Bearer {world.launch('app', 'wang', patient='li')['access_token']}"}
    for headers in (system, doctor):
        assert world.browser(**headers).send("GET", f"{BASE}/auth/admin/clients").status_code == 403
        assert world.browser(**headers).send("POST", f"{BASE}/auth/admin/users", json={}).status_code == 403
    assert world.browser().send("GET", f"{BASE}/auth/admin/users").status_code == 401


def test_what_is_not_there_is_said_so_without_a_page_of_the_machine(world: World) -> None:
    assert world.browser().send("GET", f"{BASE}/auth/nothing").status_code == 404
    assert world.browser().send("GET", f"{BASE}/auth/token").status_code == 405
    assert world.browser().send("POST", f"{HOST}/fhir/auth/token", content=b"x" * 100_000).status_code == 413
