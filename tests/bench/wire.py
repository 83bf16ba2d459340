"""Write HTTP/1.1 requests and read replies, no more than a load generator needs.

https://www.rfc-editor.org/rfc/rfc9112
"""

from __future__ import annotations

from dataclasses import dataclass

FHIR_JSON = "application/fhir+json"
_HEAD_END = b"\r\n\r\n"
_LARGEST_HEAD = 64 * 1024


class NotHttpError(ValueError):
    """The bytes are no HTTP/1.1 reply that this reader understands."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply: the status code and the body's bytes."""

    status: int
    body: bytes


def request(method: str, path: str, authority: str, body: bytes = b"", *, token: str = "") -> bytes:
    """Return the bytes of a FHIR request; ``authority`` is host:port, ``token`` an access token to send.

    ``Prefer: return=minimal`` asks every server for the same small answer to a write:
    https://hl7.org/fhir/R4/http.html#ops
    """
    lines = [f"{method} {path} HTTP/1.1", f"Host: {authority}", f"Accept: {FHIR_JSON}"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    if body:
        lines += [
            f"Content-Type: {FHIR_JSON}",
            f"Content-Length: {len(body)}",
            "Prefer: return=minimal",
        ]
    return "\r\n".join(lines).encode("ascii") + _HEAD_END + body


class ReplyReader:
    """Reads one connection's replies, one at a time: no request is sent before the last one is answered."""

    __slots__ = ("_buffer", "_chunked", "_head", "_length")

    def __init__(self) -> None:
        self._buffer = b""
        self._start()

    def _start(self) -> None:
        self._head = -1  # where the body begins; -1 until the head is whole
        self._length = 0
        self._chunked = False

    def feed(self, data: bytes) -> Reply | None:
        """Take bytes as they come; return the reply once it is whole. Raises :class:`NotHttpError`."""
        buffer = self._buffer = self._buffer + data if self._buffer else data
        if self._head < 0 and not self._read_head(buffer):
            return None
        body = self._chunks(buffer) if self._chunked else self._fixed(buffer)
        if body is None:
            return None
        reply = Reply(int(buffer[9:12]), body)
        self._buffer = b""
        self._start()
        return reply

    def _read_head(self, buffer: bytes) -> bool:
        end = buffer.find(_HEAD_END)
        if end < 0:
            if len(buffer) > _LARGEST_HEAD:
                raise NotHttpError("the reply's head does not end")
            return False
        head = buffer[:end].lower()
        if not head.startswith(b"http/1.1 ") or not head[9:12].isdigit():
            raise NotHttpError(f"the reply begins with {bytes(buffer[:20])!r}")
        self._head = end + len(_HEAD_END)
        self._chunked = b"\r\ntransfer-encoding: chunked" in head
        if not self._chunked:
            self._length = _content_length(head)
        return True

    def _fixed(self, buffer: bytes) -> bytes | None:
        missing = self._head + self._length - len(buffer)
        if missing < 0:
            raise NotHttpError("bytes follow the reply although nothing was asked")
        return None if missing else buffer[self._head :]

    def _chunks(self, buffer: bytes) -> bytes | None:
        """Join the chunks; None until the last one is there. Trailers are not expected.

        Begins anew each time more bytes come: replies in chunks are rare and short here.
        """
        parts: list[bytes] = []
        at = self._head
        while (line_end := buffer.find(b"\r\n", at)) >= 0:
            size = _chunk_size(buffer[at:line_end])
            at = line_end + 2 + size + 2
            if len(buffer) < at:
                return None
            if buffer[at - 2 : at] != b"\r\n":
                raise NotHttpError("a chunk is not as long as it says")
            if not size:
                if len(buffer) > at:
                    raise NotHttpError("bytes follow the reply although nothing was asked")
                return b"".join(parts)
            parts.append(buffer[line_end + 2 : at - 2])
        return None


def _content_length(head: bytes) -> int:
    if head[9:12] in (b"204", b"304"):
        return 0
    _, found, rest = head.partition(b"\r\ncontent-length:")
    number = rest.partition(b"\r\n")[0].strip()
    if not found or not number.isdigit():
        raise NotHttpError("the reply does not say how long it is")
    return int(number)


def _chunk_size(line: bytes) -> int:
    try:
        return int(line.partition(b";")[0], 16)
    except ValueError:
        raise NotHttpError("a chunk does not say how long it is") from None
