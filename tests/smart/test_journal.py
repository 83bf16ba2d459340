"""What happens to accounts, clients and tokens is in the audit: who, what, how it ended, and no secret."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyotp
import pytest

from fhir_server.access.actor import AUDIT_ADMINISTRATOR, SECURITY_ADMINISTRATOR
from fhir_server.audit.entry import MINOR, SERIOUS, SUCCESS, Entry
from fhir_server.audit.security import EVENTS
from fhir_server.faults import Fault, Kind
from fhir_server.smart.journal import Journal, Who
from fhir_server.smart.users import FREE_ATTEMPTS
from tests.audit.world import written
from tests.smart.asking import BASE, HOST
from tests.smart.world import JWKS, PASSWORD, Browser, World, claims_of

WRONG = "not the password at all"


def told(world: World) -> list[Entry]:
    """Return the security events in the log, oldest first."""
    return [entry for entry in written(world.settings.data) if entry.interaction in EVENTS]


def last(world: World) -> Entry:
    return told(world)[-1]


def since(world: World, before: int) -> list[str]:
    return [entry.interaction for entry in told(world)[before:]]


def logged_in(world: World, user: str = "li") -> Browser:
    browser = world.browser()
    browser.authorize("app")
    browser.login(user)
    return browser


def administrator(
    world: World, id_: str = "chief", role: str = SECURITY_ADMINISTRATOR, scope: str = ""
) -> str:
    """Log an administrator in, through all pages; return a bearer token."""
    user = world.user(id_, roles=(role,))
    browser = world.browser()
    browser.authorize("app", scope=scope or "openid fhirUser")
    browser.login(id_)
    browser.one_time(user)
    code = str(browser.arrived(browser.allow())["code"])
    return str(world.redeem("app", code).json()["access_token"])


def as_administrator(world: World, bearer: str, method: str, path: str, **more: Any) -> Any:
    headers = {"authorization": f"Bearer {bearer}"}
    return world.browser().send(method, f"{BASE}/auth/admin/{path}", headers=headers, **more)


def test_a_log_in_names_account_app_and_address(world: World) -> None:
    logged_in(world)

    found = last(world)
    assert (found.interaction, found.outcome, found.text) == ("login", SUCCESS, "")
    assert (found.agent.client, found.agent.account, found.agent.user) == ("app", "li", "Patient/li")
    assert found.agent.address == "127.0.0.1"
    assert found.details == (("methods", "pwd"),)


def test_a_wrong_password_is_a_failure_of_that_account(world: World) -> None:
    browser = world.browser()
    browser.authorize("app")
    browser.login("zhao", WRONG)

    found = last(world)
    assert (found.interaction, found.outcome, found.agent.account) == ("login", MINOR, "zhao")


def test_a_name_that_no_account_has_is_not_written_down(world: World) -> None:
    """People type their password into the wrong field."""
    browser = world.browser()
    browser.authorize("app")
    browser.login(PASSWORD.replace(" ", "-"), WRONG)

    found = last(world)
    assert (found.interaction, found.outcome, found.agent.account) == ("login", MINOR, "")
    assert PASSWORD.replace(" ", "-") not in str(found)


def test_a_lockout_is_an_alert(worlds: Callable[..., World]) -> None:
    world = worlds()
    browser = world.browser()
    browser.authorize("app")
    for _ in range(FREE_ATTEMPTS + 1):
        browser.login("li", WRONG)

    found = told(world)
    assert [entry.interaction for entry in found] == ["login"] * FREE_ATTEMPTS + ["lockout"]
    assert (found[-1].outcome, found[-1].agent.account) == (SERIOUS, "li")


def test_a_second_factor_is_told_when_it_is_wrong_and_when_it_is_right(worlds: Callable[..., World]) -> None:
    world = worlds()
    chief = world.user("chief", roles=(SECURITY_ADMINISTRATOR,))
    browser = world.browser()
    browser.authorize("app", scope="openid fhirUser")
    browser.login("chief")
    assert told(world) == []
    right = pyotp.TOTP(chief.totp).generate_otp(world.clock() // 30_000)
    browser.submit("totp", code="0000000" if right == "000000" else "000000")
    browser.submit("totp", code=right)

    wrong, entered = told(world)
    assert (wrong.interaction, wrong.outcome, wrong.text) == ("login", MINOR, "Wrong one-time code.")
    assert (entered.outcome, entered.agent.roles) == (SUCCESS, (SECURITY_ADMINISTRATOR,))
    assert entered.details == (("methods", "pwd otp"),)
    assert right not in str(told(world))


def test_a_log_out_is_told(world: World) -> None:
    browser = logged_in(world)
    page = browser.send("GET", f"{BASE}/auth/logout")
    browser.page = page
    csrf = page.text.partition('name="csrf" value="')[2].partition('"')[0]
    browser.send("POST", f"{BASE}/auth/logout", data={"csrf": csrf})

    assert (last(world).interaction, last(world).agent.account) == ("logout", "li")


def test_what_a_person_allows_and_the_token_that_comes_of_it_belong_together(world: World) -> None:
    tokens = world.launch("app", "li")

    granted, issued = told(world)[-2:]
    claims = claims_of(tokens["access_token"])
    grant = claims["jti"].partition(".")[0]
    assert (granted.interaction, granted.target) == ("grant", f"grant {grant}")
    assert dict(granted.details)["scope"].split() == tokens["scope"].split()
    assert (issued.interaction, issued.target) == ("token-issue", f"token {claims['jti']}")
    assert (issued.agent.client, issued.agent.account) == ("app", "li")
    assert dict(issued.details)["grant"] == grant


def test_what_a_person_does_not_allow_is_told_too(world: World) -> None:
    browser = logged_in(world)
    browser.submit("cancel")

    assert (last(world).interaction, last(world).outcome) == ("grant", MINOR)


def test_a_refresh_is_told_and_a_token_that_comes_back_is_an_alert(world: World) -> None:
    first = world.launch("app", "li", scope="launch/patient patient/*.rs offline_access")["refresh_token"]
    before = len(told(world))
    assert world.refresh("app", first).status_code == 200
    assert world.refresh("app", first).status_code == 400

    assert since(world, before) == ["token-refresh", "token-reuse", "token-refused"]
    alert = told(world)[-2]
    assert (alert.outcome, alert.agent.account) == (SERIOUS, "")
    assert alert.target == f"grant {dict(told(world)[-1].details)['grant']}"


def test_a_code_that_comes_back_is_an_alert(world: World) -> None:
    code = world.browser().through("app", "li")
    world.redeem("app", code)
    before = len(told(world))
    world.redeem("app", code)

    assert since(world, before) == ["token-reuse", "token-refused"]


def test_backend_services_are_told_and_so_is_what_they_are_refused(world: World) -> None:
    world.backend("robot")
    assert world.backend_token("robot").status_code == 200
    issued = last(world)
    assert (issued.interaction, issued.agent.client, issued.agent.account) == ("token-issue", "robot", "")
    assert dict(issued.details) == {"scope": "system/*.rs", "grant-type": "client_credentials"}

    assert world.backend_token("robot", assertion="made.up.assertion").status_code >= 400
    assert (last(world).interaction, last(world).outcome, last(world).text) == (
        "token-refused",
        SERIOUS,
        "invalid_client",
    )


@pytest.mark.parametrize("form", [{}, {"grant_type": WRONG}, {"grant_type": "password", "password": WRONG}])
def test_a_request_that_is_nonsense_is_told_without_its_words(world: World, form: dict[str, str]) -> None:
    before = len(told(world))
    world.post("token", {**form, "client_id": "app"})

    assert since(world, before) == ["token-refused"]
    assert WRONG not in str(last(world))


def test_a_revocation_is_told_once(world: World) -> None:
    tokens = world.launch("app", "li")
    before = len(told(world))
    for token in (tokens["access_token"], tokens["access_token"], "no-token-at-all"):
        world.post("revoke", {"token": token, "client_id": "app"})

    assert since(world, before) == ["token-revoke"]
    assert last(world).target == f"token {claims_of(tokens['access_token'])['jti']}"


def test_administration_is_told_with_who_did_it(worlds: Callable[..., World]) -> None:
    world = worlds()
    bearer = administrator(world)
    new = {"id": "new", "scope": "system/*.rs", "method": "private_key_jwt", "grants": ["client_credentials"]}
    person = {
        "id": "ana",
        "name": "Ana",
        "password": PASSWORD,
        "roles": ["patient"],
        "fhir_user": "Patient/li",
    }
    before = len(told(world))
    for method, path, body, status in (
        ("POST", "clients", {**new, "jwks": JWKS}, 201),
        ("POST", "users", person, 201),
        ("PATCH", "users/ana", {"disabled": True}, 200),
        ("PATCH", "users/ana", {"disabled": False}, 200),
        ("DELETE", "users/ana", None, 204),
        ("DELETE", "clients/new", None, 204),
        ("GET", "clients", None, 200),
        ("DELETE", "clients/none", None, 404),
    ):
        more = {} if body is None else {"json": body}
        assert as_administrator(world, bearer, method, path, **more).status_code == status

    assert since(world, before) == [
        "client-add",
        "account-add",
        "account-disable",
        "account-enable",
        "account-remove",
        "client-remove",
    ]
    added = told(world)[before + 1]
    assert (added.agent.account, added.agent.client, added.target) == ("chief", "app", "account ana")
    assert added.agent.token == claims_of(bearer)["jti"]
    assert dict(added.details) == {"roles": "patient", "record": "Patient/li"}


def test_a_client_that_registers_itself_and_an_access_that_a_person_ends_are_told(
    worlds: Callable[..., World],
) -> None:
    world = worlds(registration=True)
    metadata = {"redirect_uris": ["https://app.example.test/back"], "token_endpoint_auth_method": "none"}
    answer = world.browser().send("POST", f"{BASE}/auth/register", json=metadata)
    assert answer.status_code == 201
    assert last(world).target == f"client {answer.json()['client_id']}"

    browser = world.browser()
    browser.through("app", "li")
    page = browser.send("GET", f"{BASE}/auth/apps").text
    fields = {
        name: page.partition(f'name="{name}" value="')[2].partition('"')[0] for name in ("csrf", "grant")
    }
    assert browser.send("POST", f"{HOST}/fhir/auth/apps", data=fields).status_code == 303
    assert (last(world).interaction, last(world).target) == ("grant-end", f"grant {fields['grant']}")


def test_nothing_that_opens_anything_is_ever_told(worlds: Callable[..., World]) -> None:
    """Walks through everything, and looks for each secret in all that the log holds."""
    world = worlds()
    secret = world.client("confidential", method="client_secret_basic")
    bearer = administrator(world)
    browser = world.browser()
    code = browser.through("confidential", "li")
    tokens = world.redeem("confidential", code, client_secret=secret).json()
    refreshed = world.refresh("confidential", tokens["refresh_token"], client_secret=secret).json()
    world.refresh("confidential", tokens["refresh_token"], client_secret=secret)
    world.backend("robot")
    assertion = world.assertion("robot")
    world.backend_token("robot", assertion=assertion)
    person = {"id": "bo", "name": "Bo", "password": "another good password", "roles": []}
    as_administrator(world, bearer, "POST", "users", json=person)
    chief = world.run(world.house.shelves.users.value("chief"))
    assert chief is not None

    text = str(written(world.settings.data))
    cookies = list(browser.cookies.values())
    assert len(told(world)) > 8
    assert cookies
    for one in (
        *(PASSWORD, person["password"], secret, code, assertion, bearer, chief.totp, chief.password),
        *(tokens["access_token"], tokens["refresh_token"], refreshed["refresh_token"], *cookies),
    ):
        assert str(one) not in text


def test_audit_administrators_find_all_events_and_a_patient_the_own(worlds: Callable[..., World]) -> None:
    world = worlds()
    scope = "openid fhirUser user/AuditEvent.rs"
    world.client("audit-app", scope=scope)
    auditor = world.user("auditor", roles=(AUDIT_ADMINISTRATOR,))
    browser = world.browser()
    browser.authorize("audit-app", scope=scope)
    browser.login("auditor")
    browser.one_time(auditor)
    bearer = world.redeem("audit-app", str(browser.arrived(browser.allow())["code"])).json()["access_token"]
    mine = world.launch("app", "li")["access_token"]
    service = world.service
    assert service.audit is not None
    world.run(service.audit.indexer.catch_up())

    def count(query: str, token: str) -> int:
        return int(world.get(f"{query}&_summary=count", token).json()["total"])

    found = world.get("AuditEvent?type=http://dicom.nema.org/resources/ontology/DCM|110114", bearer).json()
    codes = {each["resource"]["subtype"][-1]["code"] for each in found["entry"]}
    assert {"login", "grant", "token-issue"} <= codes
    assert count("AuditEvent?subtype=login", bearer) >= 2
    assert world.get("Patient/li", bearer).status_code == 403
    assert world.get("AuditEvent?subtype=login", mine).status_code == 403
    own = world.launch("audit-app", "li", scope="openid user/AuditEvent.rs")["access_token"]
    assert count("AuditEvent?subtype=read,search-type", own) >= 1
    seen = world.get("AuditEvent?subtype=login,grant,token-issue&_count=100", own)
    assert seen.json()["entry"]
    assert "Patient/li" in seen.text
    assert "auditor" not in seen.text, "only the own log-ins"


def test_who_cannot_be_recorded_is_not_logged_in(worlds: Callable[..., World]) -> None:
    world = worlds()

    async def full(_entries: Any) -> None:
        raise Fault(Kind.UNAVAILABLE, "The disk is full.")

    browser = world.browser()
    browser.authorize("app")
    code = world.browser().through("app", "li")
    world.house.journal._record = full

    assert browser.login("li").status_code == 503
    world.house.journal._record = None
    assert "login" in browser.send("GET", str(browser.page.url)).text
    world.house.journal._record = full
    refused = world.redeem("app", code)
    assert refused.status_code == 503
    assert "access_token" not in refused.text


async def test_a_server_that_keeps_no_audit_tells_nobody() -> None:
    await Journal(None, int).tell("login", Who())


async def test_an_event_without_a_name_is_a_mistake_of_ours() -> None:
    async def record(_entries: Any) -> None:
        raise AssertionError

    with pytest.raises(AssertionError):
        await Journal(record, int).tell("party", Who())
