"""The composition root: refuses unsafe settings, opens at start, drains and closes at stop."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest
import uvicorn

from fhir_server.app import (
    App,
    RefusesToStart,
    Service,
    check_start,
    create_app,
    known_parameters,
    page_key,
    uvicorn_options,
)
from fhir_server.faults import Fault, Kind
from fhir_server.interactions.request import Reply, Request
from fhir_server.rest.protocol import MAX_HEAD_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from fhir_server.config import Settings
    from fhir_server.store.api import Store


@dataclass
class FakeParts:
    """Parts that note what happens to them, in order."""

    events: list[str] = field(default_factory=list)
    seconds: float = 0.0

    async def open(self, _settings: Settings) -> Service:
        self.events.append("open")
        return Service(self.run, self.ready, self.close, cast("Store", None))

    async def run(self, request: Request) -> Reply:
        self.events.append(request.name)
        await asyncio.sleep(self.seconds)
        self.events.append("done")
        return Reply(200, b'{"resourceType":"Patient"}')

    async def ready(self) -> bool:
        return True

    async def close(self) -> None:
        self.events.append("close")


@pytest.fixture(autouse=True)
def _logging_restored() -> Iterator[None]:
    """create_app() configures the process's logging; give it back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    flags = logging.logThreads, logging.logProcesses, logging.logMultiprocessing
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.logThreads, logging.logProcesses, logging.logMultiprocessing = flags


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost", "LOCALHOST"])
def test_starts_without_authentication_on_loopback_only(settings: Callable[..., Settings], host: str) -> None:
    check_start(settings(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "fhir.example", "localhost.example", ""])
def test_refuses_other_addresses_without_authentication(settings: Callable[..., Settings], host: str) -> None:
    with pytest.raises(RefusesToStart, match=r"FHIR_HOST"):
        create_app(settings(host=host))


def test_refuses_to_leave_out_the_audit_outside_development(settings: Callable[..., Settings]) -> None:
    with pytest.raises(RefusesToStart, match="FHIR_AUDIT"):
        create_app(settings(audit=False, insecure_no_auth=False))


def test_asks_for_tokens_unless_told_otherwise(settings: Callable[..., Settings]) -> None:
    assert settings(insecure_no_auth=False).auth
    check_start(settings(insecure_no_auth=False))
    assert not settings(insecure_no_auth=True).auth


def test_takes_tokens_over_https_only_when_others_can_reach_it(settings: Callable[..., Settings]) -> None:
    with pytest.raises(RefusesToStart, match="FHIR_BASE_URL"):
        create_app(settings(insecure_no_auth=False, host="0.0.0.0"))

    check_start(settings(insecure_no_auth=False, host="0.0.0.0", base_url="https://fhir.example.org/fhir"))


class Lifespan:
    """Drives an application's lifespan as a server does."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._in: asyncio.Queue[Any] = asyncio.Queue()
        self._out: asyncio.Queue[Any] = asyncio.Queue()

    async def start(self) -> Any:
        self._task = asyncio.create_task(self._app({"type": "lifespan"}, self._in.get, self._out.put))
        return await self._step("startup")

    async def stop(self) -> Any:
        answer = await self._step("shutdown")
        await self._task
        return answer

    async def _step(self, name: str) -> Any:
        await self._in.put({"type": f"lifespan.{name}"})
        return await asyncio.wait_for(self._out.get(), 5)


def http(app: App) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


async def test_warns_loudly_then_opens_serves_and_closes(
    settings: Callable[..., Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    parts = FakeParts()
    app = create_app(settings(), parts.open)
    lifespan = Lifespan(app)

    started = await lifespan.start()
    async with http(app) as client:
        assert (await client.get("/fhir/Patient/1")).status_code == 200
    stopped = await lifespan.stop()

    assert started == {"type": "lifespan.startup.complete"}
    assert stopped == {"type": "lifespan.shutdown.complete"}
    assert parts.events == ["open", "read", "done", "close"]
    said = capsys.readouterr().err
    assert "WITHOUT AUTHENTICATION" in said
    assert said.count("\n*") > 3


async def test_running_requests_finish_new_ones_get_503_and_the_store_closes_last(
    settings: Callable[..., Settings],
) -> None:
    parts = FakeParts(seconds=0.2)
    app = create_app(settings(), parts.open)
    lifespan = Lifespan(app)
    await lifespan.start()

    async with http(app) as client:
        running = asyncio.create_task(client.get("/fhir/Patient/1"))
        await asyncio.sleep(0.05)
        stopping = asyncio.create_task(lifespan.stop())
        await asyncio.sleep(0.05)
        late = await client.get("/fhir/Patient/2")
        ready = await client.get("/health/ready")
        finished = await running
        await stopping

    assert finished.status_code == 200
    assert (late.status_code, late.json()["resourceType"], late.headers["connection"]) == (
        503,
        "OperationOutcome",
        "close",
    )
    assert ready.status_code == 503
    assert parts.events == ["open", "read", "done", "close"]


async def test_shutdown_does_not_wait_for_ever(settings: Callable[..., Settings]) -> None:
    parts = FakeParts(seconds=30)
    app = create_app(settings(shutdown_seconds=1), parts.open)
    lifespan = Lifespan(app)
    await lifespan.start()

    async with http(app) as client:
        running = asyncio.create_task(client.get("/fhir/Patient/1"))
        await asyncio.sleep(0.05)
        await lifespan.stop()
        running.cancel()

    assert parts.events == ["open", "read", "close"]


async def test_before_the_start_every_request_is_503(settings: Callable[..., Settings]) -> None:
    app = create_app(settings(), FakeParts().open)

    async with http(app) as client:
        response = await client.get("/fhir/Patient/1")
        assert (await client.get("/health/live")).status_code == 200
        assert (await client.get("/health/ready")).status_code == 503

    assert (response.status_code, response.json()["issue"][0]["code"]) == (503, "transient")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (Fault(Kind.EXCEPTION, "The key ring is missing; run init."), "run init"),
        (OSError("/secret/path"), "OSError"),
    ],
)
async def test_a_start_that_fails_says_why_without_paths(
    settings: Callable[..., Settings], error: Exception, words: str
) -> None:
    async def fail(_settings: Settings) -> Service:
        raise error

    answer = await Lifespan(create_app(settings(), fail)).start()

    assert answer["type"] == "lifespan.startup.failed"
    assert words in answer["message"]
    assert "secret" not in answer["message"]


async def test_a_websocket_is_refused(settings: Callable[..., Settings]) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await create_app(settings(), FakeParts().open)({"type": "websocket"}, receive, send)

    assert [message["type"] for message in sent] == ["websocket.close"]


def test_the_page_key_is_stable_and_its_own() -> None:
    assert page_key(b"k" * 32) == page_key(b"k" * 32) != page_key(b"K" * 32)
    assert len(page_key(b"k" * 32)) == 32


def test_known_parameters_are_those_of_the_definitions() -> None:
    assert {"name", "birthdate", "patient", "_id", "_sort"} <= known_parameters()
    assert "zhangwei" not in known_parameters()


@pytest.fixture
async def address(settings: Callable[..., Settings]) -> AsyncIterator[tuple[str, int]]:
    """Serve on a free port by uvicorn with the options of production."""
    options = uvicorn_options(settings())
    options.update(factory=False, port=0, workers=1)
    server = uvicorn.Server(uvicorn.Config(create_app(settings(), FakeParts().open), **options))
    # Signals belong to pytest.
    task = asyncio.create_task(server._serve())
    while not server.started:  # noqa: ASYNC110 uvicorn has no event for it
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[:2]
    server.should_exit = True
    await task


async def test_serves_by_uvicorn_with_the_options_of_production(address: tuple[str, int]) -> None:
    async with httpx.AsyncClient(base_url=f"http://localhost:{address[1]}") as client:
        response = await client.get("/fhir/Patient/1", headers={"X-Forwarded-Proto": "https"})
        dots = await client.get("/fhir/Patient/1%2F2")

    assert (response.status_code, response.content) == (200, b'{"resourceType":"Patient"}')
    assert "server" not in response.headers
    assert dots.status_code == 400


@pytest.mark.parametrize(
    "raw", [b"\x16\x03\x01\x02\r\n\r\n", b"GET /fhir/\xff HTTP/1.1\r\nhost: localhost\r\n\r\n"]
)
async def test_bytes_that_are_not_http_get_an_outcome_too(address: tuple[str, int], raw: bytes) -> None:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(raw)
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    await writer.wait_closed()

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b'"OperationOutcome"' in body


async def test_a_head_without_end_is_431(address: tuple[str, int]) -> None:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"GET /fhir/Patient/1 HTTP/1.1\r\nhost: localhost\r\nx-long: ")
    for _ in range(MAX_HEAD_BYTES // 4096 + 1):
        writer.write(b"a" * 4096)
        await asyncio.sleep(0.001)
    answer = await asyncio.wait_for(reader.read(4096), 5)
    writer.close()

    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b'"OperationOutcome"' in answer


async def test_two_requests_on_one_connection_have_a_head_each(address: tuple[str, int]) -> None:
    reader, writer = await asyncio.open_connection(*address)
    request = b"GET /fhir/Patient/1 HTTP/1.1\r\nhost: localhost\r\nx-long: %s\r\n\r\n" % (b"a" * 40_000)
    for _ in range(3):
        writer.write(request)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        await reader.readexactly(len(b'{"resourceType":"Patient"}'))
        assert head.startswith(b"HTTP/1.1 200 ")
    writer.close()
