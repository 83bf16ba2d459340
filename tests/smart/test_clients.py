"""Clients: what may be registered, by whom, and what of the scopes that are asked for is left."""

from __future__ import annotations

import base64
import string
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.access.scopes import understand
from fhir_server.faults import Fault
from fhir_server.smart.assertions import peek
from fhir_server.smart.clients import checked, printable
from fhir_server.smart.granting import covers, within
from fhir_server.smart.texts import LANGUAGES, TEXTS, preferred
from tests.smart.asking import APP, BASE
from tests.smart.world import JWKS, KEYS, World, app

PRIVATE = {"keys": [KEYS["ES384"].as_dict(private=True)]}


@pytest.mark.parametrize(
    "changes",
    [
        {"id": ""},
        {"id": "a b"},
        {"scope": ""},
        {"scope": "patient/*.sdurc"},
        {"scope": "everything"},
        {"redirect_uris": ()},
        {"redirect_uris": ("http://app.example.test/",)},
        {"redirect_uris": ("https://app.example.test/#part",)},
        {"redirect_uris": ("https://user:word@app.example.test/",)},
        {"redirect_uris": ("javascript:alert(1)",)},
        {"redirect_uris": ("data:text/html,x",)},
        {"redirect_uris": ("https://",)},
        {"redirect_uris": ("/callback",)},
        {"redirect_uris": ("https://äpp.example.test/",)},
        {"redirect_uris": tuple(f"https://a{n}.example.test/" for n in range(21))},
        {"grants": ("implicit",)},
        {"grants": ("refresh_token",)},
        {"grants": ("client_credentials",)},
        {"method": "magic"},
        {"method": "private_key_jwt"},
        {"jwks": JWKS},
        {"method": "private_key_jwt", "jwks": PRIVATE},
        {"method": "private_key_jwt", "jwks": {"keys": []}},
        {"method": "private_key_jwt", "jwks": {"keys": [{"kty": "RSA", "kid": "x"}]}},
        {"method": "private_key_jwt", "jwks": {"keys": [JWKS["keys"][0]] * 2}},
        {"method": "private_key_jwt", "jwks_uri": "http://keys.example.test/"},
        {"method": "private_key_jwt", "jwks": JWKS, "jwks_uri": "https://keys.example.test/"},
        {"method": "client_secret_basic"},
        {"organization": "north"},
        {"purposes": ("to treat",)},
    ],
)
def test_clients_that_must_not_be_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(Fault):
        checked(app("x", **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uris": ("https://app.example.test/a?b=c",)},
        {"redirect_uris": ("http://127.0.0.1:8000/callback", "http://localhost/", "http://[::1]:1/")},
        {"redirect_uris": ("org.example.app:/callback",)},
        {"redirect_uris": (), "grants": ()},
        {"method": "private_key_jwt", "jwks": JWKS, "purposes": ("TREAT", "HPAYMT")},
        {
            "method": "private_key_jwt",
            "jwks_uri": "https://keys.example.test/",
            "organization": "Organization/1",
        },
    ],
)
def test_clients_that_may_be_are_not(changes: dict[str, Any]) -> None:
    assert checked(app("x", **changes)).id == "x"


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_a_secret_authenticates_in_the_header_and_in_the_form(world: World, method: str) -> None:
    name = f"secretive-{method}"
    secret = world.client(name, method=method)
    header = "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()
    wrong = "Basic " + base64.b64encode(f"{name}:wrong".encode()).decode()
    codes = [world.browser().through(name, "li") for _ in range(4)]

    in_header = world.redeem(name, codes[0], client_id=None, headers={"authorization": header})
    in_form = world.redeem(name, codes[1], client_secret=secret)
    assert (in_header.status_code, in_form.status_code) == (200, 200)
    for refused in (
        world.redeem(name, codes[2]),
        world.redeem(name, codes[2], client_secret="wrong"),
        world.redeem(name, codes[3], headers={"authorization": wrong}),
        world.redeem(name, codes[3], headers={"authorization": "Basic !"}),
        world.redeem(name, codes[3], client_secret=secret, headers={"authorization": header}),
    ):
        assert refused.status_code in {400, 401}
        assert refused.json()["error"] in {"invalid_client", "invalid_request"}


def test_no_secret_lies_in_the_store(world: World) -> None:
    secret = world.client("hashed", method="client_secret_basic")
    held = world.run(world.house.shelves.clients.get("hashed"))

    assert held is not None
    assert secret not in str(msgspec.to_builtins(held.value))


def test_nobody_registers_itself_unless_the_house_lets_it(world: World) -> None:
    body = {"redirect_uris": [APP], "token_endpoint_auth_method": "none"}

    assert world.browser().send("POST", f"{BASE}/auth/register", json=body).status_code == 404


def test_who_registers_itself_may_read_what_its_user_allows(worlds: Callable[..., World]) -> None:
    world = worlds(registration=True)
    address = f"{BASE}/auth/register"
    body = {
        "redirect_uris": [APP],
        "client_name": "New app",
        "grant_types": ["authorization_code", "refresh_token"],
    }

    public = world.browser().send("POST", address, json={**body, "token_endpoint_auth_method": "none"})
    secretive = world.browser().send(
        "POST", address, json={**body, "scope": "openid patient/*.cruds system/*.rs"}
    )

    assert (public.status_code, secretive.status_code) == (201, 201)
    assert world.launch(public.json()["client_id"], "li")["patient"] == "li"
    assert secretive.json()["client_secret"]
    assert secretive.json()["scope"] == "openid patient/*.rs"
    assert world.get(".well-known/smart-configuration").json()["registration_endpoint"] == address
    for changes in (
        {"redirect_uris": ["http://evil.example.test/"]},
        {"redirect_uris": "x"},
        {"grant_types": ["client_credentials"]},
        {"token_endpoint_auth_method": "magic"},
        {"scope": "system/*.rs"},
        {"response_types": ["token"]},
        {"client_name": 7},
    ):
        refused = world.browser().send("POST", address, json={**body, **changes})
        assert refused.status_code == 400
        assert refused.json()["error"].startswith("invalid_")
    assert world.browser().send("POST", address, content=b"no json").status_code == 400


TYPES = st.sampled_from(["*", "Patient", "Observation", "Coverage"])
LETTERS = st.sampled_from(["c", "r", "rs", "cu", "cruds", "u", "d", "s"])
LEVELS = st.sampled_from(["patient", "user", "system"])
QUERIES = st.sampled_from(["", "", "?_tag=a", "?_tag=a&_id=1"])
SCOPES = st.lists(st.builds("{}/{}.{}{}".format, LEVELS, TYPES, LETTERS, QUERIES), max_size=4).map(" ".join)


@given(SCOPES, SCOPES)
def test_what_is_granted_was_asked_for_and_is_allowed(asked: str, allowed: str) -> None:
    granted = within(understand(asked), understand(allowed))

    assert covers(understand(allowed), granted)
    assert covers(understand(asked), granted)


@given(SCOPES)
def test_asking_for_what_is_allowed_brings_all_of_it(scope: str) -> None:
    rights = understand(scope)

    assert covers(rights, rights)
    assert {each.text for each in within(rights, rights).scopes} == {each.text for each in rights.scopes}


def test_a_wildcard_is_narrowed_to_the_types_that_are_allowed() -> None:
    granted = within(understand("patient/*.cruds"), understand("patient/Patient.rs patient/Coverage.r"))

    assert granted.granted == "patient/Coverage.r patient/Patient.rs"


def test_a_condition_of_the_registration_is_not_left_out() -> None:
    allowed = understand("patient/Observation.rs?category=laboratory")

    assert within(understand("patient/Observation.rs"), allowed).granted == ""
    assert within(understand("patient/Observation.r?category=laboratory&status=final"), allowed).granted


@given(st.text(max_size=60) | st.from_regex(r"[A-Za-z0-9_\-]{0,20}\.[A-Za-z0-9_\-]{0,30}\.[A-Za-z0-9_\-]*"))
def test_whatever_is_sent_as_an_assertion_is_read_or_not(text: str) -> None:
    seen = peek(text)

    assert seen is None or (seen.client and seen.kid and seen.jti)


@given(st.text())
def test_an_error_description_has_only_the_signs_that_oauth_allows(text: str) -> None:
    assert all(c in " !" or ("\x23" <= c <= "\x7e" and c != "\\") for c in printable(text))


@given(st.text())
def test_whatever_accept_language_says_there_is_a_language(header: str) -> None:
    assert preferred(header) in LANGUAGES


@pytest.mark.parametrize(
    ("header", "cookie", "language"),
    [
        ("", "", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "", "zh"),
        ("en;q=0.5, zh;q=0.9", "", "zh"),
        ("de, en;q=0.7, zh;q=0.3", "", "en"),
        ("zh-CN", "en", "en"),
        ("zh;q=0", "", "en"),
        ("zh", "xx", "zh"),
    ],
)
def test_the_language_is_the_chosen_or_the_preferred_one(header: str, cookie: str, language: str) -> None:
    assert preferred(header, cookie) == language


def test_both_languages_say_the_same_things() -> None:

    assert TEXTS["en"].keys() == TEXTS["zh"].keys()
    for key, text in TEXTS["en"].items():
        fields = [
            {name for _, name, _, _ in string.Formatter().parse(t) if name} for t in (text, TEXTS["zh"][key])
        ]
        assert fields[0] == fields[1], key


def test_pages_speak_the_browsers_language_and_keep_the_one_that_was_chosen(world: World) -> None:
    browser = world.browser(accept_language="zh-CN")
    page = browser.authorize("app")
    assert "<h1>登录</h1>" in page.text
    assert page.headers["content-language"] == "zh"

    chosen = browser.send("GET", f"{page.url}?lang=en")

    assert "<h1>Log in</h1>" in chosen.text
    assert "<h1>Log in</h1>" in browser.authorize("app").text


def test_pages_run_no_script_and_load_nothing_from_elsewhere(world: World) -> None:
    browser = world.browser()
    page = browser.authorize("app")
    policy = page.headers["content-security-policy"]

    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self' https://app.example.test" in policy
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["cache-control"] == "no-store"
    for word in ("<script", "onclick", "style=", "http://"):
        assert word not in page.text
    assert world.get("auth/style.css").headers["content-type"].startswith("text/css")


def test_a_name_with_markup_is_shown_as_text(world: World) -> None:
    world.client("marked", name="<b>App</b>")

    page = world.browser().authorize("marked")

    assert "<b>App" not in page.text
    assert "&lt;b&gt;App" in page.text
