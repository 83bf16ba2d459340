"""The REST surface over a runner that records what it is asked: no sockets, no store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from fhir_server.config import Settings
from fhir_server.interactions.request import Reply, Request
from fhir_server.rest.asgi import Rest

PATIENT = b'{"resourceType":"Patient","id":"1","extension":[{"url":"http://x","valueDecimal":1.10}]}'


@dataclass
class Response:
    """What the client saw."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def outcome(self) -> dict[str, Any]:
        """The first issue of the OperationOutcome that the body must be."""
        tree = json.loads(self.body)
        assert tree["resourceType"] == "OperationOutcome"
        assert self.headers["content-type"] == "application/fhir+json; charset=utf-8"
        return tree["issue"][0]


async def _found(_request: Request) -> Reply:
    return Reply(200, PATIENT, etag=3, modified=1_700_000_000_125, resource="Patient/1")


@dataclass
class Client:
    """Calls the application as a server would, one request at a time."""

    settings: Settings
    answer: Callable[[Request], Awaitable[Reply]] = _found
    asked: list[Request] = field(default_factory=list)
    is_ready: bool = True
    known_parameters: frozenset[str] = frozenset({"name", "birthdate", "_count"})

    def __post_init__(self) -> None:
        self.app = Rest(self.settings, self._run, self._ready, self.known_parameters)

    async def _run(self, request: Request) -> Reply:
        self.asked.append(request)
        return await self.answer(request)

    async def _ready(self) -> bool:
        return self.is_ready

    async def __call__(
        self, method: str, target: str, body: bytes | list[bytes] = b"", **headers: str
    ) -> Response:
        """Send one request; header names are keywords with underscores; a list is a body in chunks."""
        path, _, query = target.partition("?")
        named = {"host": "localhost:8080", **{name.replace("_", "-"): text for name, text in headers.items()}}
        scope = {
            "type": "http",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), text.encode("latin-1")) for name, text in named.items()],
        }
        return await self.send(scope, body)

    async def send(self, scope: dict[str, Any], body: bytes | list[bytes] = b"") -> Response:
        """Send a request as an ASGI scope."""
        chunks = [body] if isinstance(body, bytes) else list(body)
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            await asyncio.sleep(0)
            if not chunks:
                return {"type": "http.disconnect"}
            chunk = chunks.pop(0)
            return {"type": "http.request", "body": chunk, "more_body": bool(chunks)}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        start, end = sent
        headers = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
        assert len(headers) == len(start["headers"]), "no header is sent twice"
        return Response(start["status"], headers, end["body"])


def make_settings(**changes: Any) -> Settings:
    """Return settings for tests, independent of the environment's FHIR_BASE_URL."""
    return Settings.model_validate({"insecure_no_auth": True, "base_url": "", **changes})


@pytest.fixture
def settings() -> Callable[..., Settings]:
    return make_settings


@pytest.fixture
def client() -> Client:
    return Client(make_settings())


@pytest.fixture
def client_with() -> Callable[..., Client]:
    """Make a client whose server has other settings."""

    def make(**changes: Any) -> Client:
        return Client(make_settings(**changes))

    return make
