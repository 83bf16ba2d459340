"""HTTP/1.1 connections: what is sent, in which order, and how long they stay open; over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvicorn

from fhir_server.rest.protocol import FhirProtocol

Send = Callable[[dict[str, Any]], Awaitable[None]]
_GET = b"GET %s HTTP/1.1\r\nhost: localhost\r\n\r\n"


def _start(*headers: tuple[bytes, bytes], status: int = 200) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def _body(data: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def app(scope: dict[str, Any], receive: Any, send: Send) -> None:
    """Answer in the way that the path names."""
    path = scope["path"]
    length = (b"content-length", b"2")
    if path == "/stream":
        await send(_start())
        await send(_body(b"ab", more=True))
        await send(_body(b"cd"))
    elif path == "/pieces":
        await send(_start((b"content-length", b"4")))
        await send(_body(b"ab", more=True))
        await send(_body(b"cd"))
    elif path == "/bare":
        await send(_start())
        await send(_body(b"ok"))
    elif path == "/none":
        await send(_start(status=204))
        await send(_body(b""))
    elif path == "/split":
        await send(_start(length, (b"x-note", b"a\r\nset-cookie: b")))
        await send(_body(b"ok"))
    elif path == "/short":
        await send(_start((b"content-length", b"9")))
        await send(_body(b"ok"))
    elif path == "/echo":
        text = (await receive())["body"]
        await send(_start((b"content-length", b"%d" % len(text))))
        await send(_body(text))
    else:
        if path == "/slow":
            await asyncio.sleep(0.05)
        await send(_start(length, (b"x-path", path.encode())))
        await send(_body(b"ok" if scope["method"] != "HEAD" else b""))


@asynccontextmanager
async def serving(keep_alive: float = 5) -> AsyncIterator[int]:
    """Serve :func:`app` on a free port; connections may be idle for ``keep_alive`` seconds."""
    config = uvicorn.Config(
        app,
        port=0,
        loop="uvloop",
        http=FhirProtocol,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
    )
    config.timeout_keep_alive = keep_alive  # type: ignore[assignment]
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())
    while not server.started:  # noqa: ASYNC110 uvicorn has no event for it
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await task


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, port: int) -> Wire:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def answer(self) -> tuple[bytes, bytes]:
        """Return head and body of one answer whose length is announced."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)
        lengths = [line[16:] for line in head.split(b"\r\n") if line.startswith(b"content-length: ")]
        return head, await self.reader.readexactly(int(lengths[0]) if lengths else 0)

    async def rest(self) -> bytes:
        """Return all that comes until the other side hangs up."""
        everything = await asyncio.wait_for(self.reader.read(), 5)
        await self.close()
        return everything

    async def close(self) -> None:
        """Hang up."""
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()


async def test_a_plain_answer_arrives_whole_and_the_connection_stays() -> None:
    async with serving() as port:
        wire = await Wire.to(port)
        for path in (b"/one", b"/two"):
            wire.writer.write(_GET % path)
            head, body = await wire.answer()
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"\r\nx-path: %s\r\n" % path in head
            assert b"\r\ndate: " in head
            assert b"connection" not in head
            assert body == b"ok"
        await wire.close()


async def test_requests_that_do_not_wait_are_answered_in_order() -> None:
    async with serving() as port:
        wire = await Wire.to(port)
        wire.writer.write(_GET % b"/slow" + _GET % b"/b" + _GET % b"/c")
        heads = [(await wire.answer())[0] for _ in range(3)]
        await wire.close()

    assert [head.partition(b"x-path: ")[2].partition(b"\r\n")[0] for head in heads] == [
        b"/slow",
        b"/b",
        b"/c",
    ]


async def test_an_answer_leaves_before_the_refusal_of_what_follows_it() -> None:
    async with serving() as port:
        wire = await Wire.to(port)
        wire.writer.write(_GET % b"/one")
        await asyncio.sleep(0.05)
        wire.writer.write(b"\x00 nonsense\r\n\r\n")
        everything = await wire.rest()

    assert everything.startswith(b"HTTP/1.1 200 OK\r\n")
    assert everything.index(b"/one") < everything.index(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("path", [b"/stream", b"/bare"])
async def test_a_body_of_unknown_length_is_sent_in_chunks(path: bytes) -> None:
    async with serving() as port:
        wire = await Wire.to(port)
        wire.writer.write(b"GET %s HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n" % path)
        everything = await wire.rest()

    head, _, body = everything.partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    assert body.endswith(b"\r\n0\r\n\r\n")


async def test_a_body_in_pieces_of_announced_length_arrives_whole() -> None:
    async with serving() as port:
        wire = await Wire.to(port)
        wire.writer.write(_GET % b"/pieces")
        assert (await wire.answer())[1] == b"abcd"
        await wire.close()


async def test_an_answer_without_a_body_leaves_the_connection_usable() -> None:
    async with serving() as port:
        wire = await Wire.to(port)
        wire.writer.write(_GET % b"/none" + _GET % b"/after")
        head, body = await wire.answer()
        assert (head[:12], body) == (b"HTTP/1.1 204", b"")
        assert (await wire.answer())[1] == b"ok"
        await wire.close()


async def test_head_announces_a_length_and_sends_no_body() -> None:
    async with serving() as port:
        wire = await Wire.to(port)
        wire.writer.write(b"HEAD /x HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        everything = await wire.rest()

    assert b"content-length: 2\r\n" in everything
    assert everything.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /x HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        b"GET /x HTTP/1.0\r\nhost: localhost\r\n\r\n",
    ],
)
async def test_who_asks_to_close_is_told_so_and_hung_up_on(head: bytes) -> None:
    async with serving() as port:
        wire = await Wire.to(port)
        wire.writer.write(head)
        everything = await wire.rest()

    assert everything.lower().count(b"connection: close\r\n") == 1
    assert everything.endswith(b"\r\n\r\nok")


async def test_a_line_feed_in_a_header_makes_no_second_header() -> None:
    async with serving() as port:
        wire = await Wire.to(port)
        wire.writer.write(_GET % b"/split")
        everything = await wire.rest()

    assert b"set-cookie" not in everything


async def test_a_body_shorter_than_announced_ends_the_connection() -> None:
    async with serving() as port:
        wire = await Wire.to(port)
        wire.writer.write(_GET % b"/short" + _GET % b"/after")
        everything = await wire.rest()

    assert b"/after" not in everything


async def test_who_waits_to_send_the_body_is_told_to_go_on() -> None:
    async with serving() as port:
        wire = await Wire.to(port)
        wire.writer.write(
            b"POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n"
        )
        assert (await wire.answer())[0] == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.writer.write(b"hi")
        assert (await wire.answer())[1] == b"hi"
        await wire.close()


async def test_an_idle_connection_is_closed_and_a_busy_one_is_not() -> None:
    async with serving(keep_alive=0.2) as port:
        wire = await Wire.to(port)
        for _ in range(8):  # longer than keep_alive in all, never idle for that long
            wire.writer.write(_GET % b"/slow")
            assert (await wire.answer())[1] == b"ok"
            await asyncio.sleep(0.02)
        began = asyncio.get_running_loop().time()
        assert await wire.rest() == b""
        assert asyncio.get_running_loop().time() - began >= 0.1


async def test_an_answer_under_way_outlives_the_idle_time() -> None:
    async with serving(keep_alive=0.02) as port:
        wire = await Wire.to(port)
        for _ in range(2):
            wire.writer.write(_GET % b"/slow")
            assert (await wire.answer())[1] == b"ok"
        assert await wire.rest() == b""
