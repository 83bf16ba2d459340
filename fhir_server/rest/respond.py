"""Turn a Reply into HTTP: status, headers, and the body in the format that was asked for.

https://hl7.org/fhir/R4/http.html#versionid and https://hl7.org/fhir/R4/http.html#mime-type
"""

from __future__ import annotations

import asyncio
import zlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from fhir_server.clock import http_date
from fhir_server.interactions.request import Reply
from fhir_server.resources.codec import decode
from fhir_server.resources.outcome import outcome
from fhir_server.resources.xml import encode_xml
from fhir_server.rest.negotiate import Format

if TYPE_CHECKING:
    from fhir_server.faults import Fault
    from fhir_server.rest.probes import Answer

Header = tuple[bytes, bytes]
Messages = tuple[dict[str, Any], dict[str, Any]]
"""``http.response.start`` and ``http.response.body`` of the ASGI specification."""

GZIP_ABOVE = 1024
"""Bodies up to this size, in bytes, are sent as they are: they fit in one packet anyway."""
_THREAD_ABOVE = 256 * 1024
_GZIP_LEVEL = 1
_GZIP_WINDOW = zlib.MAX_WBITS | 16
# A stored resource may be as deep as the setting allows, and a Bundle's entry adds a few levels.
_DEPTH_OF_A_REPLY = 1000

# Health data must not lie in shared caches; a private one asks again with If-None-Match (RFC 9111 5.2.2.4).
_ALWAYS: tuple[Header, ...] = (
    (b"cache-control", b"private, no-cache"),
    (b"vary", b"accept, accept-encoding, prefer"),
    (b"x-content-type-options", b"nosniff"),
)
_CONTENT_TYPE: dict[Format, Header] = {
    format_: (b"content-type", f"{format_.value}; charset=utf-8".encode()) for format_ in Format
}
_GZIPPED: Header = (b"content-encoding", b"gzip")
_NO_BODY = frozenset({204, 304})


def fault_reply(fault: Fault) -> Reply:
    """Return the reply that tells of ``fault``: its status, its OperationOutcome, its headers."""
    headers = fault.headers
    if fault.kind.status == 503 and not any(name.lower() == "retry-after" for name, _ in headers):
        headers = (*headers, ("Retry-After", "1"))
    return Reply(fault.kind.status, outcome(fault.issues), headers=headers)


def rendered(body: bytes, format_: Format, *, pretty: bool) -> bytes:
    """Write canonical JSON ``body`` in ``format_``; plain JSON passes as it is, so digits and order stay.

    https://hl7.org/fhir/R4/http.html#parameters (``_format``, ``_pretty``)
    """
    if not body:
        return body
    if format_ is Format.XML:
        return encode_xml(decode(body, max_depth=_DEPTH_OF_A_REPLY), pretty=pretty)
    return msgspec.json.format(body, indent=2) if pretty else body


def headers_of(reply: Reply, base: str, request_id: bytes) -> list[Header]:
    """Return the headers that do not depend on the body: caching, version, place, id, the reply's own."""
    headers: list[Header] = [*_ALWAYS, (b"x-request-id", request_id)]
    if reply.etag is not None:
        headers.append((b"etag", b'W/"%d"' % reply.etag))
    if reply.modified is not None:
        headers.append((b"last-modified", _http_date(reply.modified // 1000)))
    if reply.location is not None:
        headers.append((b"location", f"{base}/{reply.location}".encode("latin-1")))
    headers += [_header(name, value) for name, value in reply.headers]
    return headers


async def packed(body: bytes, headers: list[Header]) -> bytes:
    """Gzip a body worth it, adding Content-Encoding to ``headers``; a large one is zipped in a thread."""
    if len(body) <= GZIP_ABOVE:
        return body
    headers.append(_GZIPPED)
    if len(body) > _THREAD_ABOVE:
        return await asyncio.to_thread(_gzip, body)
    return _gzip(body)


def probe_messages(answer: Answer, request_id: bytes, *, head: bool) -> Messages:
    """Return the two ASGI messages of an answer of health, metrics or OpenAPI; no cache keeps it."""
    headers: list[Header] = [
        (b"content-type", answer.content_type.encode()),
        (b"content-length", b"%d" % len(answer.body)),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"x-request-id", request_id),
    ]
    return _messages(answer.status, headers, b"" if head else answer.body)


def messages(status: int, headers: list[Header], body: bytes, *, format_: Format, head: bool) -> Messages:
    """Return the two ASGI messages of a response.

    A reply to HEAD announces the length of the body it leaves out; 204 and 304 have neither.
    """
    if status in _NO_BODY:
        body = b""
    else:
        if body:
            headers.append(_CONTENT_TYPE[format_])
        headers.append((b"content-length", b"%d" % len(body)))
    return _messages(status, headers, b"" if head else body)


def _messages(status: int, headers: list[Header], body: bytes) -> Messages:
    return (
        {"type": "http.response.start", "status": status, "headers": headers},
        {"type": "http.response.body", "body": body},
    )


def _header(name: str, value: str) -> Header:
    # A line feed would begin another header; HTTP servers do not all look.
    if not (name.isprintable() and value.isprintable()):
        raise ValueError(name)
    return name.lower().encode("latin-1"), value.encode("latin-1")


@lru_cache(maxsize=4096)
def _http_date(second: int) -> bytes:
    return http_date(second * 1000).encode()


def _gzip(body: bytes) -> bytes:
    squeeze = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    return squeeze.compress(body) + squeeze.flush()
