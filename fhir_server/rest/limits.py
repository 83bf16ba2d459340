"""Read a request's body within its limits: bytes on the wire, bytes after unzipping.

https://www.rfc-editor.org/rfc/rfc9110#section-8.4 (Content-Encoding) and section 15.5.14 (413)
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

from fhir_server.faults import Fault, Kind

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

DRAINED_BYTES = 64 * 1024
"""A body up to this size, in bytes, that is refused unread costs less to read than a new connection."""
_GZIP_WINDOW = zlib.MAX_WBITS | 16
_IDENTITY = frozenset({b"", b"identity"})
_GZIP = frozenset({b"gzip", b"x-gzip"})


class Disconnected(Exception):
    """The client went away before its request was complete; there is nobody to answer."""


async def read_body(receive: Receive, fields: dict[bytes, bytes], limit: int) -> bytes:
    """Read and unzip the body, at most ``limit`` bytes on the wire and at most ``limit`` bytes unzipped.

    Faults: TOO_LARGE (before anything is read, when Content-Length already says so), UNSUPPORTED_MEDIA for
    another encoding than gzip, SYNTAX for broken gzip. Raises :class:`Disconnected`.
    """
    sink = _sink(fields.get(b"content-encoding", b""), limit)
    _check_announced(fields.get(b"content-length"), limit)
    received = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Disconnected
        chunk: bytes = message.get("body", b"")
        received += len(chunk)
        if received > limit:
            raise _too_large(limit)
        if chunk:
            sink.feed(chunk)
        if not message.get("more_body", False):
            return sink.close()


def is_worth_closing(fields: dict[bytes, bytes]) -> bool:
    """Tell whether a body that was not read is so large that its connection is better closed than drained.

    https://www.rfc-editor.org/rfc/rfc9110#section-15.5.14
    """
    length = fields.get(b"content-length")
    if length is None:
        return b"transfer-encoding" in fields
    return not length.isdigit() or len(length) > 18 or int(length) > DRAINED_BYTES


class _Sink(Protocol):
    def feed(self, chunk: bytes) -> None: ...

    def close(self) -> bytes: ...


class _Plain:
    """Collects a body as it is; a body in one piece, the usual case, is not copied."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def feed(self, chunk: bytes) -> None:
        self._chunks.append(chunk)

    def close(self) -> bytes:
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)


class _Unzip:
    """Unzips as bytes arrive and stops at the limit, so that a zip bomb costs no more than an honest body."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._chunks: list[bytes] = []
        self._member = zlib.decompressobj(_GZIP_WINDOW)

    def feed(self, chunk: bytes) -> None:
        # One member only: a body of millions of tiny members would cost far more than its size.
        if self._member.eof:
            raise _broken_gzip()
        try:
            plain = self._member.decompress(chunk, self._limit - self._size + 1)
        except zlib.error as error:
            raise _broken_gzip() from error
        self._size += len(plain)
        # An unconsumed tail is left only when the limit was passed, which is refused here.
        if self._size > self._limit:
            raise _too_large(self._limit)
        if self._member.unused_data:
            raise _broken_gzip()
        self._chunks.append(plain)

    def close(self) -> bytes:
        if not self._member.eof:
            raise _broken_gzip()
        return b"".join(self._chunks)


def _sink(encoding: bytes, limit: int) -> _Sink:
    name = encoding.strip().lower()
    if name in _IDENTITY:
        return _Plain()
    if name in _GZIP:
        return _Unzip(limit)
    raise Fault(
        Kind.UNSUPPORTED_MEDIA,
        "This Content-Encoding is not supported; send the body plain or with gzip.",
        headers=(("Accept-Encoding", "gzip"),),
    )


def _check_announced(length: bytes | None, limit: int) -> None:
    if length is None:
        return
    if not length.isdigit() or len(length) > 18:
        raise Fault(Kind.BAD_REQUEST, "Content-Length is not a number of bytes.")
    if int(length) > limit:
        raise _too_large(limit)


def _too_large(limit: int) -> Fault:
    return Fault(Kind.TOO_LARGE, f"The body is larger than {limit} bytes; split it into several requests.")


def _broken_gzip() -> Fault:
    return Fault(Kind.SYNTAX, "The body says Content-Encoding: gzip, but it is not one complete gzip member.")
