"""Percent-decoding, strictly: what cannot be decoded in one way only is refused.

https://www.rfc-editor.org/rfc/rfc3986#section-2.1, https://url.spec.whatwg.org/#application/x-www-form-urlencoded
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from fhir_server.faults import Fault, Kind

MAX_PARAMETERS = 2000
"""Most parameters in one request; the longest honest searches have a few dozen."""

_broken_escape = re.compile(r"%(?![0-9A-Fa-f]{2})").search

Pairs = tuple[tuple[str, str], ...]


def decode_segment(raw: str) -> str:
    """Decode one segment of a path.

    Fault BAD_REQUEST: broken escapes, no UTF-8, an encoded slash or backslash, control characters. A slash
    decoded later would make another path out of one that was already judged.
    """
    text = _decode(raw)
    if "/" in text or "\\" in text or not text.isprintable():
        raise Fault(Kind.BAD_REQUEST, "The path holds an encoded slash, backslash or control character.")
    return text


def parse_query(raw: bytes) -> Pairs:
    """Decode a query string or form into (name, value) pairs, in order; empty pieces are skipped.

    Faults: BAD_REQUEST for broken escapes and what is not UTF-8; TOO_LARGE for too many parameters.
    """
    if not raw:
        return ()
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _not_utf8() from error
    pieces = text.split("&")
    if len(pieces) > MAX_PARAMETERS:
        raise Fault(Kind.TOO_LARGE, f"A request has at most {MAX_PARAMETERS} parameters.")
    return tuple(_pair(piece) for piece in pieces if piece)


def _pair(piece: str) -> tuple[str, str]:
    name, _, value = piece.partition("=")
    return _plus(name), _plus(value)


def _plus(raw: str) -> str:
    if "+" in raw:
        raw = raw.replace("+", " ")
    return _decode(raw) if "%" in raw else raw


def _decode(raw: str) -> str:
    if _broken_escape(raw):
        raise Fault(
            Kind.BAD_REQUEST, "A % in the address needs two hexadecimal digits after it; write %25 for %."
        )
    try:
        return unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError as error:
        raise _not_utf8() from error


def _not_utf8() -> Fault:
    return Fault(Kind.BAD_REQUEST, "The address or form is not UTF-8 after percent-decoding.")
