"""uvicorn's HTTP protocol, with FHIR's words for what is not HTTP, and a limit on a request's head.

Bytes that the HTTP parser refuses never reach the application, so the OperationOutcome is written here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

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
    """A transport that sends what one turn of the event loop writes as one piece.

    uvicorn writes the head and the body of an answer apart; that costs a system call, often a packet too.
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


class FhirProtocol(HttpToolsProtocol):
    """The httptools protocol whose own refusals are OperationOutcomes too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = self._in_message = self._is_lingering = False
        self._head_bytes = self._drained = 0

    def connection_made(self, transport: Any) -> None:
        """Begin a connection."""
        self._wire: asyncio.Transport = transport
        super().connection_made(_OneWrite(transport, self.loop, self._lingers))  # type: ignore[arg-type]

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

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 the signature is uvicorn's
        """Answer what is not HTTP, then close the connection."""
        self.transport.write(_NOT_HTTP)
        self.transport.close()
