"""The exchange of codes and refresh tokens: once, by whom they were given to, with the right verifier."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from fhir_server.smart.accounts import change_user
from tests.smart.asking import BASE, VERIFIER, challenge
from tests.smart.world import World, claims_of, header_of

pytestmark = pytest.mark.every_engine


@pytest.mark.parametrize(
    "verifier", [None, "", "wrong-verifier-wrong-verifier-wrong-verifier-wrong", challenge(), "short"]
)
def test_a_code_without_its_verifier_is_worth_nothing(world: World, verifier: str | None) -> None:
    code = world.browser().through("app", "li")

    response = world.redeem("app", code, code_verifier=verifier)

    assert response.status_code == 400
    assert response.json()["error"] in {"invalid_request", "invalid_grant"}
    assert "access_token" not in response.text


def test_a_confidential_client_needs_a_verifier_too(world: World) -> None:
    secret = world.client("confidential", method="client_secret_basic")
    code = world.browser().through("confidential", "li")
    basic = {"client_secret": secret}

    assert world.redeem("confidential", code, code_verifier=None, **basic).status_code == 400
    assert world.redeem("confidential", code, **basic).status_code == 200


def test_a_code_is_used_once_and_a_second_use_takes_back_what_the_first_brought(world: World) -> None:
    code = world.browser().through("app", "li")
    tokens = world.redeem("app", code).json()
    assert world.get("Patient/li", tokens["access_token"]).status_code == 200

    again = world.redeem("app", code)

    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert world.get("Patient/li", tokens["access_token"]).status_code == 401
    assert world.refresh("app", tokens["refresh_token"]).status_code == 400


def test_a_code_is_good_for_a_minute(worlds: Callable[..., World]) -> None:
    world = worlds()
    early, late = world.browser().through("app", "li"), world.browser().through("app", "li")
    world.clock.forward(55)
    assert world.redeem("app", early).status_code == 200
    world.clock.forward(10)

    assert world.redeem("app", late).json()["error"] == "invalid_grant"


def test_a_code_is_good_for_its_client_and_address_only(world: World) -> None:
    world.client("thief")
    code = world.browser().through("app", "li")

    assert world.redeem("thief", code).json()["error"] == "invalid_grant"
    assert (
        world.redeem("app", code, redirect_uri="https://app.example.test/other").json()["error"]
        == "invalid_grant"
    )
    assert world.redeem("app", code, redirect_uri=None).json()["error"] == "invalid_grant"
    assert world.redeem("app", code).status_code == 200


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code": "made-up"}, "invalid_grant"),
        ({"code": None}, "invalid_request"),
        ({"client_id": "nobody"}, "invalid_client"),
        ({"client_id": None}, "invalid_client"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": None}, "unsupported_grant_type"),
        ({"grant_type": "ä"}, "invalid_request"),
    ],
)
def test_an_exchange_that_lacks_something_is_refused(
    world: World, changes: dict[str, str | None], error: str
) -> None:
    response = world.redeem("app", world.browser().through("app", "li"), **changes)

    assert response.status_code in {400, 401}
    assert response.json()["error"] == error
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["pragma"] == "no-cache"


def test_the_token_response_says_what_smart_asks_for(world: World) -> None:
    response = world.redeem("app", world.browser().through("app", "li"))
    tokens = response.json()

    assert response.headers["cache-control"] == "no-store"
    assert response.headers["pragma"] == "no-cache"
    assert tokens["token_type"] == "Bearer"
    assert tokens["expires_in"] == 3600
    assert set(tokens["scope"].split()) == {
        "openid",
        "fhirUser",
        "launch/patient",
        "patient/*.rs",
        "offline_access",
    }
    claims = claims_of(tokens["access_token"])
    assert header_of(tokens["access_token"])["typ"] == "at+jwt"
    assert claims["exp"] - claims["iat"] == 3600
    assert (claims["iss"], claims["aud"], claims["client_id"]) == (BASE, BASE, "app")
    assert (claims["patient"], claims["fhirUser"]) == ("li", "Patient/li")
    assert claims["sub"] != "li"


def test_a_refresh_brings_a_new_pair(world: World) -> None:
    first = world.launch("app", "li")

    response = world.refresh("app", first["refresh_token"])

    second = response.json()
    assert response.status_code == 200
    assert second["refresh_token"] != first["refresh_token"]
    assert second["scope"] == first["scope"]
    assert second["patient"] == "li"
    assert world.get("Patient/li", second["access_token"]).status_code == 200
    assert response.headers["cache-control"] == "no-store"


def test_a_public_client_need_not_name_itself_and_a_confidential_one_must_show_who_it_is(
    world: World,
) -> None:
    form = {"grant_type": "refresh_token"}
    token = world.launch("app", "li")["refresh_token"]
    assert world.post("token", {**form, "refresh_token": token}).status_code == 200

    secret = world.client("keeps-a-secret", method="client_secret_post")
    code = world.browser().through("keeps-a-secret", "li")
    held = world.redeem("keeps-a-secret", code, client_secret=secret).json()["refresh_token"]

    assert world.post("token", {**form, "refresh_token": held}).json()["error"] == "invalid_client"
    assert world.refresh("keeps-a-secret", held, client_secret=secret).status_code == 200


def test_a_refresh_token_that_comes_back_ends_the_whole_family(world: World) -> None:
    first = world.launch("app", "li")
    second = world.refresh("app", first["refresh_token"]).json()

    assert world.refresh("app", first["refresh_token"]).json()["error"] == "invalid_grant"

    assert world.refresh("app", second["refresh_token"]).status_code == 400
    assert world.get("Patient/li", second["access_token"]).status_code == 401


def test_another_clients_refresh_token_is_refused_and_stays_good(world: World) -> None:
    world.client("other")
    tokens = world.launch("app", "li")

    assert world.refresh("other", tokens["refresh_token"]).json()["error"] == "invalid_grant"
    assert world.refresh("app", tokens["refresh_token"]).status_code == 200


def test_a_refreshed_token_may_have_less_and_never_more(world: World) -> None:
    tokens = world.launch(
        "app", "li", scope="launch/patient patient/Patient.rs patient/Coverage.rs offline_access"
    )

    more = world.refresh("app", tokens["refresh_token"], scope="patient/*.rs")
    assert more.json()["error"] == "invalid_scope"
    less = world.refresh("app", tokens["refresh_token"], scope="patient/Patient.r").json()

    assert less["scope"] == "patient/Patient.r"
    assert world.get("Patient/li", less["access_token"]).status_code == 200
    assert world.get("Coverage/coverage-li", less["access_token"]).status_code == 403
    whole = world.refresh("app", less["refresh_token"]).json()
    assert "patient/Coverage.rs" in whole["scope"]


def test_no_refresh_token_without_asking_for_it(world: World) -> None:
    tokens = world.launch("app", "li", scope="launch/patient patient/*.rs")

    assert "refresh_token" not in tokens


def test_offline_access_outlives_three_months_of_silence_and_not_more(worlds: Callable[..., World]) -> None:
    world = worlds()
    tokens = world.launch("app", "li")
    world.clock.forward(93 * 24 * 3600)
    tokens = world.refresh("app", tokens["refresh_token"]).json()
    world.clock.forward(101 * 24 * 3600)

    assert world.refresh("app", tokens["refresh_token"]).json()["error"] == "invalid_grant"


def test_online_access_ends_with_the_session_and_offline_does_not(
    worlds: Callable[..., World],
) -> None:
    world = worlds()
    online = world.launch("app", "li", scope="launch/patient patient/*.rs online_access")
    offline = world.launch("app", "li")
    online = world.refresh("app", online["refresh_token"]).json()
    world.clock.forward(31 * 60)

    assert world.refresh("app", online["refresh_token"]).json()["error"] == "invalid_grant"
    assert world.refresh("app", offline["refresh_token"]).status_code == 200


def test_an_account_that_was_disabled_gets_no_further_token(worlds: Callable[..., World]) -> None:

    world = worlds()
    tokens = world.launch("app", "li")
    code = world.browser().through("app", "li")
    held = world.run(world.house.shelves.users.get("li"))
    assert held is not None
    disabled = msgspec.structs.replace(held.value, disabled=True)
    world.run(change_user(world.house.shelves, held, disabled, world.clock()))

    assert world.redeem("app", code).json()["error"] == "invalid_grant"
    assert world.refresh("app", tokens["refresh_token"]).json()["error"] == "invalid_grant"
    assert world.get("Patient/li", tokens["access_token"]).status_code == 401


def test_a_code_reaches_one_of_many_who_send_it_at_once(world: World) -> None:

    code = world.browser().through("app", "li")
    pairs = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", "https://app.example.test/callback"),
        ("client_id", "app"),
        ("code_verifier", VERIFIER),
    ]

    async def at_once() -> list[int]:
        answers = await asyncio.gather(*(world.house.server.token(pairs, "") for _ in range(8)))
        return [status for status, _, _ in answers]

    assert world.run(at_once()).count(200) == 1
