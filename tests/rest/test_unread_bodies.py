"""A body that is refused unread is not read for ever: the connection is closed (RFC 9110 section 15.5.14)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvicorn

from fhir_server.interactions.request import Reply, Request
from fhir_server.rest import protocol
from fhir_server.rest.asgi import Rest
from fhir_server.rest.limits import DRAINED_BYTES
from fhir_server.rest.protocol import FhirProtocol

Ask = Callable[..., Any]


async def _stored(_request: Request) -> Reply:
    return Reply(201, b'{"resourceType":"Basic","id":"1"}')


async def _ready() -> bool:
    return True


@contextlib.asynccontextmanager
async def listening(settings: Any) -> AsyncIterator[int]:
    """Serve on a free port of this machine, with uvicorn and this server's protocol."""
    app = Rest(settings, _stored, _ready)
    config = uvicorn.Config(app, http=FhirProtocol, lifespan="off", log_config=None, access_log=False)
    config.load()
    state = uvicorn.Server(config).server_state
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: FhirProtocol(config, state, {}), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for connection in list(state.connections):
            connection.transport.close()
        await asyncio.sleep(0.02)


def head(length: int | None, *more: str) -> bytes:
    """Return the head of a create."""
    size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    lines = ("POST /fhir/Basic HTTP/1.1", "Host: localhost", "Content-Type: application/fhir+json", size)
    return "\r\n".join((*lines, *more, "", "")).encode()


async def answer(reader: asyncio.StreamReader) -> bytes:
    """Read one response, head and body."""
    text = await reader.readuntil(b"\r\n\r\n")
    length = int(text.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return text + await reader.readexactly(length)


async def upload(writer: asyncio.StreamWriter, chunk: bytes, seconds: float) -> int:
    """Send for ever, or until the connection ends or time is over; return how many bytes went out."""
    sent = 0
    with contextlib.suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                writer.write(chunk)
                await writer.drain()
                sent += len(chunk)
    return sent


@pytest.mark.parametrize("length", [10**9, None])
async def test_an_endless_upload_is_answered_and_then_cut_off(settings: Ask, length: int | None) -> None:
    async with listening(settings(max_body_bytes=100_000)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        chunk = bytes(65536) if length else b"10000\r\n" + bytes(65536) + b"\r\n"
        writer.write(head(length))
        sending = asyncio.create_task(upload(writer, chunk, 20))
        text = await answer(reader)
        sent = await sending

        assert text.startswith(b"HTTP/1.1 413 ")
        assert b"connection: close\r\n" in text
        assert b"OperationOutcome" in text
        # The kernels' buffers hold some megabytes on top of what the server drains.
        assert sent < 40 * protocol.MAX_DRAINED_BYTES
        writer.close()


async def test_who_sends_slowly_is_cut_off_too(settings: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "LINGER_SECONDS", 0.1)
    async with listening(settings(max_body_bytes=100_000)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head(10**9) + b"{")
        text = await answer(reader)

        assert text.startswith(b"HTTP/1.1 413 ")
        assert await reader.read() == b""
        ended = asyncio.get_running_loop().time()
        with contextlib.suppress(ConnectionError):
            while asyncio.get_running_loop().time() < ended + 5:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.01)
        assert asyncio.get_running_loop().time() < ended + 5, "still listening after five seconds"
        writer.close()


async def test_a_body_that_follows_an_answer_without_a_word_is_limited_as_well(settings: Ask) -> None:
    """A read needs no body: one that comes all the same is drained up to the limit and no further."""
    async with listening(settings()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /fhir/Basic/1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n")
        text = await answer(reader)

        assert b"connection: close\r\n" in text
        assert await upload(writer, bytes(65536), 20) < 40 * protocol.MAX_DRAINED_BYTES
        writer.close()


async def test_a_small_body_that_was_refused_unread_keeps_the_connection(settings: Ask) -> None:
    async with listening(settings(max_body_bytes=1024)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        size = DRAINED_BYTES
        for _ in range(2):
            writer.write(head(size) + bytes(size))
            text = await answer(reader)
            assert text.startswith(b"HTTP/1.1 413 ")
            assert b"connection: close" not in text
        body = b'{"resourceType":"Basic","id":"1"}'
        writer.write(head(len(body)) + body)

        assert (await answer(reader)).startswith(b"HTTP/1.1 201 ")
        writer.close()


async def test_a_client_that_waits_for_100_sends_nothing_that_is_too_large(settings: Ask) -> None:
    async with listening(settings(max_body_bytes=100_000)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head(10**9, "Expect: 100-continue"))

        assert (await answer(reader)).startswith(b"HTTP/1.1 413 ")
        writer.close()
