"""External providers: people log in with them, and their tokens are accepted, as far as this house says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import pytest
import respx
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import RSAKey

from fhir_server.faults import Fault
from fhir_server.smart.fetch import Fetcher, Guarded, age_of, is_public
from tests.smart.asking import BASE, challenge
from tests.smart.world import World

IDP = "https://idp.example.test"
KEY = RSAKey.generate_key(2048, {"kid": "idp", "use": "sig", "alg": "RS256"})


class Provider:
    """A hospital's identity provider: discovery, keys, token endpoint."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.changes: dict[str, Any] = {}
        self.key = KEY
        self.forms: list[dict[str, str]] = []
        self.nonce = ""
        self.issuer = IDP

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/.well-known/openid-configuration":
            tree = {
                "issuer": self.issuer,
                "authorization_endpoint": f"{IDP}/authorize",
                "token_endpoint": f"{IDP}/token",
                "jwks_uri": f"{IDP}/jwks",
            }
            return httpx.Response(200, json=tree, headers={"cache-control": "no-store"})
        if path == "/jwks":
            return httpx.Response(200, json={"keys": [KEY.as_dict(private=False)]})
        self.forms.append(dict(parse_qsl(request.content.decode())))
        return httpx.Response(
            200, json={"access_token": "x", "token_type": "Bearer", "id_token": self.id_token()}
        )

    def id_token(self) -> str:
        return self.sign({"aud": "house", "sub": "1234", "nonce": self.nonce, **self.changes})

    def sign(self, claims: dict[str, Any]) -> str:
        now = self.world.clock() // 1000
        whole = {"iss": IDP, "iat": now, "exp": now + 300, **claims}
        whole = {name: value for name, value in whole.items() if value is not None}
        return jwt.encode({"alg": "RS256", "kid": "idp"}, whole, self.key, algorithms=["RS256"])


@pytest.fixture(scope="module")
def registered(world: World) -> Provider:
    provider = Provider(world)
    world.internet.hosts["idp.example.test"] = provider.answer
    world.issuer(
        id="hospital",
        issuer=IDP,
        name="North",
        client_id="house",
        secret="s3cret",
        login=True,
        audience=BASE,
        scope="patient/*.rs system/Coverage.rs",
        organization="Organization/north",
        purposes=("TREAT",),
    )
    world.user("li-outside", roles=("patient",), fhir_user="Patient/li", external=("hospital 1234",))
    return provider


@pytest.fixture
def provider(registered: Provider) -> Iterator[Provider]:
    yield registered
    registered.changes, registered.key, registered.issuer = {}, KEY, IDP


def go_there_and_back(world: World, provider: Provider, **changes: str) -> tuple[Any, httpx.Response]:
    """Log in at the provider as far as its answer; keywords change what comes back to the house."""
    browser = world.browser()
    browser.authorize("app")
    there = browser.submit("external", issuer="hospital")
    query = {name: values[0] for name, values in parse_qs(urlsplit(there.headers["location"]).query).items()}
    provider.nonce = query["nonce"]
    back = {"code": "idp-code", "state": query["state"], **changes}
    return query, browser.follow(browser.send("GET", f"{BASE}/auth/external", params=back))


def test_a_person_logs_in_at_the_provider(world: World, provider: Provider) -> None:
    query, page = go_there_and_back(world, provider)

    assert "Allow access" in page.text
    assert (query["response_type"], query["client_id"], query["scope"]) == ("code", "house", "openid")
    assert query["redirect_uri"] == f"{BASE}/auth/external"
    assert query["code_challenge_method"] == "S256"
    assert challenge(provider.forms[-1]["code_verifier"]) == query["code_challenge"]


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "somebody-else"},
        {"iss": "https://evil.example.test"},
        {"exp": 0},
        {"nonce": "another"},
        {"nonce": None},
        {"sub": "unknown"},
        {"sub": None},
        {"azp": "somebody-else"},
    ],
)
def test_an_id_token_that_is_wrong_in_one_point_logs_nobody_in(
    world: World, provider: Provider, changes: dict[str, Any]
) -> None:
    provider.changes = changes

    _, page = go_there_and_back(world, provider)

    assert page.status_code == 400
    assert "did not succeed" in page.text


def test_an_id_token_of_another_key_logs_nobody_in(world: World, provider: Provider) -> None:
    provider.key = RSAKey.generate_key(2048, {"kid": "idp"})

    assert "did not succeed" in go_there_and_back(world, provider)[1].text


@pytest.mark.parametrize(
    "changes", [{"state": "made-up"}, {"code": ""}, {"iss": "https://evil.example.test"}]
)
def test_what_comes_back_must_be_what_was_asked_for(
    world: World, provider: Provider, changes: dict[str, str]
) -> None:
    assert "did not succeed" in go_there_and_back(world, provider, **changes)[1].text


def test_another_browser_cannot_bring_the_answer_back(world: World, provider: Provider) -> None:
    browser = world.browser()
    browser.authorize("app")
    there = browser.submit("external", issuer="hospital")
    state = parse_qs(urlsplit(there.headers["location"]).query)["state"][0]
    other = world.browser()
    other.authorize("app")
    before = len(provider.forms)

    response = other.send("GET", f"{BASE}/auth/external", params={"code": "idp-code", "state": state})

    assert response.status_code == 400
    assert len(provider.forms) == before


def test_metadata_of_another_issuer_are_not_believed(world: World, provider: Provider) -> None:
    provider.issuer = "https://evil.example.test"
    browser = world.browser()
    browser.authorize("app")

    assert "did not succeed" in browser.submit("external", issuer="hospital").text
    assert "did not succeed" in browser.submit("external", issuer="unknown").text


def test_a_token_of_the_issuer_opens_what_the_house_lets_it(world: World, provider: Provider) -> None:
    claims = {"aud": BASE, "azp": "viewer", "scope": "patient/*.cruds openid", "patient": "li"}
    token = provider.sign(claims)

    assert world.get("Patient/li", token).status_code == 200
    assert world.get("Patient/zhao", token).status_code == 404
    deleted = world.browser(authorization=f"Bearer {token}").send("DELETE", f"{BASE}/Patient/li")
    assert deleted.status_code == 403


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "house"},
        {"aud": None},
        {"iss": "https://evil.example.test"},
        {"exp": 0},
        {"exp": None},
        {"nbf": 9_999_999_999},
        {"patient": "../li"},
    ],
)
def test_a_token_that_is_wrong_in_one_point_opens_nothing(
    world: World, provider: Provider, changes: dict[str, Any]
) -> None:
    claims = {"aud": BASE, "azp": "viewer", "scope": "patient/*.rs", "patient": "li"}

    assert world.get("Patient/li", provider.sign({**claims, **changes})).status_code == 401


def test_an_issuer_gives_no_role_of_this_house(world: World, provider: Provider) -> None:
    claims = {"aud": BASE, "azp": "viewer", "scope": "patient/*.rs", "roles": ["security-administrator"]}
    token = provider.sign(claims)

    assert (
        world.browser(authorization=f"Bearer {token}").send("GET", f"{BASE}/auth/admin/users").status_code
        == 403
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "http://plain.example.test"},
        {"issuer": "https://x.example.test/?q"},
        {"login": False, "audience": ""},
        {"client_id": ""},
        {"audience": "house"},
        {"scope": "patient/*.dus"},
        {"scope": ""},
    ],
)
def test_issuers_that_make_no_sense_are_refused(world: World, changes: dict[str, Any]) -> None:
    right = {"id": "n", "issuer": "https://n.example.test", "name": "N", "client_id": "house", "login": True}
    right |= {"audience": BASE, "scope": "patient/*.rs"}

    with pytest.raises(Fault):
        world.issuer(**{**right, **changes})


PRIVATE = (
    "127.0.0.1 10.1.2.3 192.168.0.1 172.16.0.1 169.254.169.254 100.64.0.1 0.0.0.0 224.0.0.1 ::1 fe80::1%eth0 "
    "fc00::1 ::ffff:127.0.0.1 64:ff9b::7f00:1 2002:7f00:1:: name"
)


@pytest.mark.parametrize("address", PRIVATE.split())
def test_private_addresses_are_not_fetched_from(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_public_ones_are(address: str) -> None:
    assert is_public(address)


@respx.mock
async def test_the_address_that_was_checked_is_the_one_that_is_asked() -> None:
    async def resolve(_host: str, _port: int) -> list[str]:
        return ["8.8.8.8"]

    route = respx.get("https://8.8.8.8/jwks").respond(
        json={"keys": []}, headers={"cache-control": "max-age=7"}
    )
    fetcher = Fetcher(Guarded(httpx.AsyncHTTPTransport(), resolve))

    assert await fetcher.json("https://keys.example.test/jwks") == ({"keys": []}, 7)
    request = route.calls[0].request
    assert request.headers["host"] == "keys.example.test"
    assert request.extensions["sni_hostname"] == "keys.example.test"
    await fetcher.close()


@respx.mock
@pytest.mark.parametrize(
    "url", ["http://keys.example.test/", "https://keys.example.test/", "file:///etc/passwd", "x"]
)
async def test_nothing_is_asked_where_one_address_is_private_or_not_https(url: str) -> None:
    async def resolve(_host: str, _port: int) -> list[str]:
        return ["8.8.8.8", "10.0.0.1"]

    fetcher = Fetcher(Guarded(httpx.AsyncHTTPTransport(), resolve))

    with pytest.raises(Fault):
        await fetcher.json(url)
    assert respx.calls.call_count == 0
    await fetcher.close()


@pytest.mark.parametrize(
    ("header", "age"),
    [
        ("", 60),
        ("max-age=10", 10),
        ("public, max-age=0", 0),
        ('private, MAX-AGE="30"', 30),
        ("no-store, max-age=100", 0),
        ("no-cache", 0),
        ("max-age=999999999", 86_400),
        ("s-maxage=5", 60),
    ],
)
def test_answers_are_kept_as_long_as_they_say(header: str, age: int) -> None:
    assert age_of(header) == age


@given(st.text())
def test_whatever_cache_control_says_there_is_a_bounded_age(header: str) -> None:
    assert 0 <= age_of(header) <= 86_400
