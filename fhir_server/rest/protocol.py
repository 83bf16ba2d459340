"""uvicorn's HTTP protocol, with FHIR's words for what is not HTTP, and a limit on a request's head.

Bytes that the HTTP parser refuses never reach the application, so the OperationOutcome is written here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from fhir_server.faults import Issue, Kind
from fhir_server.resources.outcome import outcome
from fhir_server.rest.negotiate import Format

MAX_HEAD_BYTES = 64 * 1024
"""Longest request line and header fields, in bytes; the parser itself would collect them without end."""
MAX_DRAINED_BYTES = 1024 * 1024
LINGER_SECONDS = 2.0
"""What is still read, and thrown away, of a body that was answered before its end. Closing at once would have
the client's system drop the answer unread (RFC 9112 section 9.6); reading on would let it send for ever."""


def _response(status: bytes, issue: Issue) -> bytes:
    body = outcome([issue])
    head = (
        b"HTTP/1.1 %s\r\ncontent-type: %s; charset=utf-8\r\ncache-control: no-store\r\n"
        b"content-length: %d\r\nconnection: close\r\n\r\n"
    )
    return head % (status, Format.JSON.value.encode(), len(body)) + body


_NOT_HTTP = _response(
    b"400 Bad Request", Issue("error", Kind.SYNTAX.code, "These bytes are not an HTTP/1.1 request.")
)
_LONG_HEAD = _response(
    b"431 Request Header Fields Too Large",
    Issue(
        "error",
        Kind.TOO_LARGE.code,
        f"Address and header fields are longer than {MAX_HEAD_BYTES} bytes; search with POST _search.",
    ),
)


class _OneWrite:
    """A transport that sends in the next turn of the event loop what one turn writes, as one piece.

    A turn that answers all it read before anything is sent goes on in step with its callers: they wait while
    it works, and it waits while they do. Sent a turn later, answers overlap with reading what has come since;
    that is worth a fifth of the reads at 32 connections.
    """

    __slots__ = ("_lingers", "_loop", "_parts", "_transport")

    def __init__(
        self, transport: Any, loop: asyncio.AbstractEventLoop, lingers: Callable[[], bool] | None = None
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._lingers = lingers
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Keep ``data`` until this turn of the loop is over."""
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def close(self) -> None:
        """Send what is kept, then close; ``lingers`` may put that off, and closes later itself."""
        self._flush()
        if self._lingers is None or not self._lingers():
            self._transport.close()

    def _flush(self) -> None:
        parts, self._parts = self._parts, []
        if parts and not self._transport.is_closing():
            self._transport.write(parts[0] if len(parts) == 1 else b"".join(parts))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _Answer:
    """The ``send`` of one request: head and body of an answer, given one after the other, leave as one piece.

    uvicorn writes them apart, which costs a system call and often a packet, and looks at every header by two
    regular expressions. What is not one plain answer (a stream, a body without its length) is left to it.
    """

    __slots__ = ("_cycle", "_start")

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._start: dict[str, Any] | None = None

    async def send(self, message: Any) -> None:
        """Take one ASGI message."""
        cycle = self._cycle
        if message["type"] == "http.response.start" and not cycle.response_started and self._start is None:
            self._start = message
            return
        start, self._start = self._start, None
        if start is not None:
            head = None if cycle.flow.write_paused else _head(cycle, start, message)
            if head is not None:
                self._finish(head, message["body"])
                return
            await cycle.send(start)  # type: ignore[arg-type]
        await cycle.send(message)

    def _finish(self, head: bytes, body: bytes) -> None:
        """Do as the cycle does at the end of an answer."""
        cycle = self._cycle
        if cycle.disconnected:
            return
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        cycle.transport.write(head + body)
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()


def _head(cycle: RequestResponseCycle, start: dict[str, Any], message: dict[str, Any]) -> bytes | None:
    """Return status line and header fields; None unless they announce exactly the body that is there."""
    if message["type"] != "http.response.body" or message.get("more_body", False):
        return None
    headers = [*cycle.default_headers, *start["headers"]]
    fields = dict(headers)
    if cycle.scope["method"] == "HEAD" or b"connection" in fields or b"transfer-encoding" in fields:
        return None
    if fields.get(b"content-length") != b"%d" % len(message["body"]):
        return None
    if not cycle.keep_alive:
        headers.append((b"connection", b"close"))
    lines = b"".join([b"%b: %b\r\n" % field for field in headers])
    # A line feed within a value would begin another field.
    if lines.count(b"\n") != len(headers) or lines.count(b"\r") != len(headers) or b"\0" in lines:
        return None
    return STATUS_LINE[start["status"]] + lines + b"\r\n"


class FhirProtocol(HttpToolsProtocol):
    """The httptools protocol whose own refusals are OperationOutcomes too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = self._in_message = self._is_lingering = False
        self._head_bytes = self._drained = 0
        self._idle_since: float | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin a connection."""
        self._wire: asyncio.Transport = transport
        super().connection_made(_OneWrite(transport, self.loop, self._lingers))  # type: ignore[arg-type]

    def connection_lost(self, exc: Exception | None) -> None:
        """End a connection, and its timer."""
        super().connection_lost(exc)
        self._stop_timer()

    def data_received(self, data: bytes) -> None:
        """Feed the parser; give up on a head that does not end, drop what comes after a last answer."""
        if self._is_lingering:
            self._drain(len(data))
            return
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.transport.write(_LONG_HEAD)
                self.transport.close()

    def on_message_begin(self) -> None:
        """Note that a head begins."""
        self._in_head, self._head_bytes = True, 0
        self._in_message, self._drained = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Note that the head is over."""
        self._in_head = False
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body; one that was answered already is drained, up to a limit."""
        if self.cycle.response_complete:
            self._drain(len(body))
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the request is over."""
        self._in_message = False
        super().on_message_complete()

    def _drain(self, size: int) -> None:
        self._drained += size
        if self._drained > MAX_DRAINED_BYTES:
            self._wire.close()

    def _lingers(self) -> bool:
        """Put closing off while the client still sends: nothing more is written, a little more is read."""
        if not self._in_message or self._in_head or self._is_lingering or self._wire.is_closing():
            return False
        self._is_lingering = True
        if self._wire.can_write_eof():
            self._wire.write_eof()
        self.flow.resume_reading()
        self.loop.call_later(LINGER_SECONDS, self._wire.close)
        return True

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        answer = _Answer(cycle)

        async def answering(scope: Any, receive: Any, _: Any) -> None:
            await app(scope, receive, answer.send)

        super()._start_asgi_task(cycle, answering)

    def on_response_complete(self) -> None:
        """Begin with the request that waits, or be idle.

        uvicorn makes a timer after each answer and cancels it at the next request; here one timer stays, and
        looks for how long the connection has been idle.
        """
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._arm(self._idle_since)

    def _unset_keepalive_if_required(self) -> None:
        self._idle_since = None

    def _arm(self, since: float) -> None:
        when = since + self.timeout_keep_alive
        self.timeout_keep_alive_task = self.loop.call_at(when, self.timeout_keep_alive_handler)

    def _stop_timer(self) -> None:
        timer, self.timeout_keep_alive_task = self.timeout_keep_alive_task, None
        if timer is not None:
            timer.cancel()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that has been idle for long enough; look again later at one that has not."""
        self.timeout_keep_alive_task = None
        since = self._idle_since
        if since is None:
            return  # the end of the request under way makes a new timer
        if self.loop.time() - since < self.timeout_keep_alive:
            self._arm(since)
        elif not self.transport.is_closing():
            self.transport.close()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 the signature is uvicorn's
        """Answer what is not HTTP, then close the connection."""
        self.transport.write(_NOT_HTTP)
        self.transport.close()
