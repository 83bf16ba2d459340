"""A whole server with its authorization server, in this process: accounts, clients, records, and a browser.

Calls go over ASGI by httpx. Time can be moved; other servers are played by a transport that tests fill.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import html
import json
import re
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import httpx
import pyotp
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from fhir_server.access.actor import Actor
from fhir_server.app import App, Service, create_app, open_service
from fhir_server.clock import now_ms
from fhir_server.config import Settings
from fhir_server.interactions.request import Request
from fhir_server.smart import accounts
from fhir_server.smart.fetch import Guarded
from fhir_server.smart.house import House
from fhir_server.smart.records import Client, Issuer, User
from fhir_server.smart.users import Passwords
from tests import engines
from tests.smart.asking import APP, BASE, HOST, VERIFIER, asked

T = TypeVar("T")
PASSWORD = "correct horse battery"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

_RSA = RSAKey.generate_key(2048, {"kid": "rsa", "alg": "RS384"})
_EC = ECKey.generate_key("P-384", {"kid": "ec", "alg": "ES384"})
KEYS: dict[str, Any] = {"RS384": _RSA, "ES384": _EC}
JWKS: dict[str, Any] = {"keys": [_RSA.as_dict(private=False), _EC.as_dict(private=False)]}

RECORDS: list[dict[str, Any]] = [
    {"resourceType": "Organization", "id": "north", "name": "Northern Hospital"},
    {"resourceType": "Practitioner", "id": "wang", "name": [{"family": "王", "given": ["医生"]}]},
    *(
        {
            "resourceType": "Patient",
            "id": id_,
            "name": [{"family": family, "given": [given], "text": family + given}],
            "birthDate": born,
            "gender": "female",
            "managingOrganization": {"reference": "Organization/north"},
        }
        for id_, family, given, born in (
            ("li", "李", "芳", "1961-03-04"),
            ("zhao", "赵", "敏", "1988-11-30"),
            ("sun", "孙", "静", "2016-05-06"),
        )
    ),
    {
        "resourceType": "RelatedPerson",
        "id": "sun-mother",
        "patient": {"reference": "Patient/sun"},
        "period": {"start": "2016-05-06", "end": "2034-05-06"},
    },
    {
        "resourceType": "RelatedPerson",
        "id": "li-once",
        "patient": {"reference": "Patient/li"},
        "period": {"start": "2016-05-06", "end": "2020-01-01"},
    },
    *(
        {
            "resourceType": "Coverage",
            "id": f"coverage-{id_}",
            "status": "active",
            "beneficiary": {"reference": f"Patient/{id_}"},
            "payor": [{"reference": "Organization/north"}],
        }
        for id_ in ("li", "zhao", "sun")
    ),
    {
        "resourceType": "Encounter",
        "id": "visit-li",
        "status": "finished",
        "class": {"code": "AMB"},
        "subject": {"reference": "Patient/li"},
        "serviceProvider": {"reference": "Organization/north"},
    },
]


class Clock:
    """The real time, and what a test adds to it, in ms."""

    def __init__(self) -> None:
        self.ahead = 0

    def __call__(self) -> int:
        return now_ms() + self.ahead

    def forward(self, seconds: float) -> None:
        self.ahead += int(seconds * 1000)


class Internet(httpx.AsyncBaseTransport):
    """Other servers, by host: what is asked of each is answered by a function."""

    def __init__(self) -> None:
        self.hosts: dict[str, Callable[[httpx.Request], httpx.Response]] = {}
        self.asked: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        name = request.headers["host"]
        self.asked.append(f"{request.method} {name}{request.url.path}")
        return self.hosts[name](request)

    async def resolve(self, host: str, _port: int) -> list[str]:
        if host not in self.hosts:
            raise OSError
        return ["203.0.114.7"]


class World:
    """The server; calls are synchronous."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.engine = engines.current()
        self.settings = engines.settings(folder, **{"base_url": BASE, "login_rate": 0, **changes})
        self.clock = Clock()
        self.internet = Internet()
        self.runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self.service: Service
        self.house: House

    def start(self) -> None:
        self.app: App = create_app(self.settings, self._parts)
        self.runner.run(self.app.start())
        for record in RECORDS:
            self.seed(record)

    async def _parts(self, settings: Settings) -> Service:
        service = await open_service(settings)
        service.store.state._clock = self.clock  # type: ignore[attr-defined]
        guarded = Guarded(self.internet, self.internet.resolve)
        house = House(
            settings,
            service.store.state,  # type: ignore[attr-defined]
            service.run,
            clock=self.clock,
            fetching=guarded,
            passwords=Passwords(cheap=True),
            record=service.audit.recorder.record if service.audit else None,
        )
        self.house = house
        self.service = replace(service, house=house, authenticate=house.bearer.actor)
        return self.service

    def close(self) -> None:
        self.runner.run(self.app.stop())
        self.runner.close()

    def run(self, work: Coroutine[Any, Any, T] | Awaitable[T]) -> T:
        # A fixture that did not ask for the engine would answer for one that it does not run on.
        assert self.engine == engines.current()

        async def awaited() -> T:
            return await work

        return self.runner.run(awaited())

    def seed(self, record: dict[str, Any]) -> None:
        request = Request(
            "update", record["resourceType"], record["id"], "PUT", body=record, actor=Actor.internal("test")
        )
        reply = self.run(self.service.run(replace(request, version=None, method="PUT")))
        assert reply.status in (200, 201), reply.body

    def browser(self, **headers: str) -> Browser:
        return Browser(self, headers)

    def client(self, id_: str, **changes: Any) -> str:
        """Register a client; return its secret."""
        with_secret = changes.get("method", "none").startswith("client_secret")
        return self.run(accounts.add_client(self.house.shelves, app(id_, **changes), with_secret=with_secret))

    def backend(self, id_: str, scope: str = "system/*.rs", **changes: Any) -> None:
        """Register a Backend Services client whose keys are :data:`KEYS`."""
        keys = {} if "jwks_uri" in changes else {"jwks": JWKS}
        self.client(
            id_,
            method="private_key_jwt",
            grants=("client_credentials",),
            scope=scope,
            redirect_uris=(),
            **{**keys, **changes},
        )

    def user(self, id_: str, **changes: Any) -> User:
        record = User(id=id_, name=id_, subject="", created=self.clock(), **changes)
        return self.run(accounts.add_user(self.house.shelves, self.house.passwords, record, PASSWORD))

    def issuer(self, **changes: Any) -> Issuer:
        issuer = Issuer(**changes)
        self.run(accounts.add_issuer(self.house.shelves, issuer))
        return issuer

    def post(self, path: str, form: dict[str, str], **headers: str) -> httpx.Response:
        """POST a form to the authorization server."""
        return self.browser(**headers).send("POST", f"{BASE}/auth/{path}", data=form)

    def get(self, path: str, token: str = "", **headers: str) -> httpx.Response:
        """GET from the FHIR interface."""
        if token:
            headers["authorization"] = f"Bearer {token}"
        return self.browser(**headers).send("GET", f"{BASE}/{path}")

    def assertion(self, client: str, algorithm: str = "RS384", **changes: Any) -> str:
        """Sign a client assertion; keywords replace claims, ``header`` replaces members of the header."""
        header = {"alg": algorithm, "typ": "JWT", "kid": "rsa" if algorithm.startswith("RS") else "ec"}
        header |= changes.pop("header", {})
        key = changes.pop("key", KEYS.get(algorithm))
        now = self.clock() // 1000
        claims = {"iss": client, "sub": client, "aud": f"{BASE}/auth/token", "exp": now + 200}
        claims |= {"jti": base64.b64encode(hashlib.sha256(str(id(changes)).encode()).digest()).decode()[:20]}
        claims["jti"] += str(now_ms()) + str(len(self.internet.asked))
        claims |= changes
        claims = {name: value for name, value in claims.items() if value is not None}
        header = {name: value for name, value in header.items() if value is not None}
        return jwt.encode(header, claims, key, algorithms=[algorithm])

    def backend_token(self, client: str, scope: str = "system/*.rs", **changes: Any) -> httpx.Response:
        form = {
            "grant_type": "client_credentials",
            "scope": scope,
            "client_assertion_type": ASSERTION,
            "client_assertion": changes.pop("assertion", None) or self.assertion(client, **changes),
        }
        return self.post("token", form)

    def launch(self, client: str, user: str, **changes: str) -> dict[str, Any]:
        """Walk through a standalone launch; return the token response, which must be one."""
        response = self.redeem(client, self.browser().through(client, user, **changes))
        assert response.status_code == 200, response.text
        tree: dict[str, Any] = response.json()
        return tree

    def redeem(self, client: str, code: str, /, **changes: Any) -> httpx.Response:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": APP,
            "client_id": client,
            "code_verifier": VERIFIER,
        }
        headers = changes.pop("headers", {})
        form = {name: value for name, value in {**form, **changes}.items() if value is not None}
        return self.post("token", form, **headers)

    def refresh(self, client: str, token: str, /, **changes: str) -> httpx.Response:
        form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": client}
        return self.post("token", {**form, **changes})


def app(id_: str, **changes: Any) -> Client:
    """Return a public app; keywords change it."""
    given: dict[str, Any] = {
        "id": id_,
        "name": f"App {id_}",
        "method": "none",
        "scope": "openid fhirUser launch launch/patient offline_access online_access patient/*.cruds"
        " user/*.rs",
        "grants": ("authorization_code", "refresh_token"),
        "created": 0,
        "redirect_uris": (APP,),
    }
    return Client(**{**given, **changes})


class Browser:
    """A person's browser: cookies, pages, forms."""

    def __init__(self, world: World, headers: dict[str, str]) -> None:
        self.world = world
        self._headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.cookies = httpx.Cookies()
        self.page: httpx.Response

    def send(self, method: str, url: str, **more: Any) -> httpx.Response:
        async def sending() -> httpx.Response:
            transport = httpx.ASGITransport(self.world.app)
            async with httpx.AsyncClient(transport=transport, cookies=self.cookies) as client:
                headers = {**self._headers, **more.pop("headers", {})}
                response = await client.request(method, url, headers=headers, **more)
                self.cookies = client.cookies
                return response

        return self.world.run(sending())

    def authorize(self, client: str, method: str = "GET", **changes: str | None) -> httpx.Response:
        """Begin a flow and follow to its first page (unless it leads elsewhere)."""
        parameters = asked(client, **changes)
        url = f"{BASE}/auth/authorize"
        response = (
            self.send("GET", url, params=parameters)
            if method == "GET"
            else self.send("POST", url, data=parameters)
        )
        return self.follow(response)

    def follow(self, response: httpx.Response) -> httpx.Response:
        """Follow redirects that stay on this server."""
        while response.status_code == 303:
            to = response.headers["location"]
            if not to.startswith("/"):
                break
            response = self.send("GET", f"{HOST}{to}")
        self.page = response
        return response

    def submit(self, step: str, **fields: Any) -> httpx.Response:
        """Fill in and send the form of the present page that has this step."""
        form = self.form(step)
        return self.follow(self.send("POST", str(self.page.url), data={**form, **fields}))

    def form(self, step: str) -> dict[str, Any]:
        """Return the fields of a form as it stands on the page, ticks set."""
        for text in re.findall(r"<form.*?</form>", self.page.text, re.DOTALL):
            if f'name="step" value="{step}"' not in text:
                continue
            fields: dict[str, Any] = {}
            for tag in re.findall(r"<input[^>]*>", text):
                name = re.search(r'name="([^"]*)"', tag)
                value = re.search(r'value="([^"]*)"', tag)
                if name and value:
                    fields.setdefault(name[1], []).append(html.unescape(value[1]))
            return {name: values if name == "scope" else values[0] for name, values in fields.items()}
        raise AssertionError(f"no form {step!r} on {self.page.text}")

    def login(self, user: str, password: str = PASSWORD) -> httpx.Response:
        return self.submit("login", name=user, password=password)

    def one_time(self, user: User) -> httpx.Response:
        code = pyotp.TOTP(user.totp).generate_otp(self.world.clock() // 30_000)
        return self.submit("totp", code=code)

    def allow(self, **fields: Any) -> httpx.Response:
        return self.submit("consent", **fields)

    def through(self, client: str, user: str, patient: str = "", **changes: str | None) -> str:
        """Walk through all pages; return the code that the app gets."""
        self.authorize(client, **changes)
        if 'value="login"' in self.page.text:
            self.login(user)
        if patient:
            self.submit("patient", patient=patient)
        return str(self.arrived(self.allow())["code"])

    def arrived(self, response: httpx.Response) -> dict[str, str]:
        """Return what the app got: the parameters of its redirect URI."""
        assert response.status_code == 303, response.text
        url = response.headers["location"]
        assert url.startswith(f"{APP}?"), url
        return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def claims_of(token: str) -> dict[str, Any]:
    """Read the claims of a JWT without verifying it."""
    part = token.split(".")[1]
    tree: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return tree


def header_of(token: str) -> dict[str, Any]:
    part = token.split(".", maxsplit=1)[0]
    tree: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return tree
