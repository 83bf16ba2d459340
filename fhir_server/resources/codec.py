"""JSON bytes to trees and back: every digit and the order of keys kept, one spelling on the way out.

https://hl7.org/fhir/R4/json.html
"""

from __future__ import annotations

import json
import re
from decimal import Decimal, DecimalException
from typing import Any, NamedTuple

import msgspec

from fhir_server.faults import Fault, Kind

Tree = dict[str, Any]
"""A resource: dict, list, str, int, bool, None, and Decimal for every number with a point or an exponent."""

MAX_DEPTH = 64
"""Levels of nested objects and arrays that a body may have unless the caller says otherwise."""

MAX_NUMBER = 1_000
"""Longest number in characters, and the largest power of ten; beyond it arithmetic becomes a weapon."""

_BOM = b"\xef\xbb\xbf"
_KEY = re.compile(rb'"[ \t\r\n]*:')
_LONE_SURROGATE = re.compile(
    rb"\\u[dD][89aAbB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89aAbB]..)\\u[dD][c-fC-F]"
)
_CONTAINERS = (dict, list)


class UnfitNumberError(ValueError):
    """A number that is too long or too large to compute with."""


def decimal(text: str) -> Decimal:
    """Return a Decimal with all digits of a JSON number; UnfitNumberError beyond :data:`MAX_NUMBER`."""
    try:
        number = Decimal(text)
    except DecimalException:
        raise UnfitNumberError from None
    if len(text) > MAX_NUMBER or not -MAX_NUMBER <= number.adjusted() <= MAX_NUMBER:
        raise UnfitNumberError
    return number


_DECODE = msgspec.json.Decoder(float_hook=decimal).decode
_ENCODE = msgspec.json.Encoder(decimal_format="number").encode


def decode(body: bytes, *, max_depth: int = MAX_DEPTH) -> Tree:
    """Decode one JSON object; numbers with a point become Decimal with all their digits.

    Faults: SYNTAX (400) for whatever is not one well-formed UTF-8 JSON object without duplicate keys, nested
    at most ``max_depth`` levels. Does not check that the object is a resource.
    """
    tree = _parse(body, max_depth)
    if type(tree) is not dict:
        raise Fault(Kind.SYNTAX, f"The body must be one JSON object, not {_name(tree)}.")
    return tree


def decode_patch(body: bytes, *, max_depth: int = MAX_DEPTH) -> list[Any]:
    """Decode one JSON array, as a JSON Patch is; faults as :func:`decode`."""
    patch = _parse(body, max_depth)
    if type(patch) is not list:
        raise Fault(Kind.SYNTAX, f"A JSON Patch is one JSON array of operations, not {_name(patch)}.")
    return patch


def encode(tree: Any) -> bytes:
    """Write ``tree`` as canonical JSON: UTF-8, no spaces, keys in the order they stand in."""
    return _ENCODE(tree)


class Scan(NamedTuple):
    """What one walk over a tree counts: object keys, and levels of nesting (the root is level 1)."""

    keys: int
    depth: int


def scan(tree: Any) -> Scan:
    """Count the keys and the levels of ``tree``, a dict or a list."""
    # Every write passes here: classes compared by identity and one loop per kind halve the cost of a walk
    # that asks isinstance of each value (10 against 20 microseconds for 2 KB).
    keys = depth = 0
    level = [tree]
    while level:
        depth += 1
        below: list[Any] = []
        push = below.append
        for node in level:
            if type(node) is dict:
                keys += len(node)
                for value in node.values():
                    kind = type(value)
                    if kind is dict or kind is list:
                        push(value)
            else:
                for value in node:
                    kind = type(value)
                    if kind is dict or kind is list:
                        push(value)
        level = below
    return Scan(keys, depth)


def with_meta(tree: Tree, id_: str, version: int, updated: str) -> Tree:
    """Return a new resource with its identity in place: resourceType, id, meta, then the rest as received.

    ``updated``: a FHIR instant. Other parts of ``meta`` (profile, tag, security …) are kept. The values are
    shared with ``tree``, which is left as it was. https://hl7.org/fhir/R4/resource.html#Meta
    """
    received = tree.get("meta", {})
    if type(received) is not dict:
        raise Fault(Kind.UNPROCESSABLE, "meta must be an object.", f"{tree.get('resourceType')}.meta")
    meta = {"versionId": str(version), "lastUpdated": updated}
    meta.update((key, value) for key, value in received.items() if key not in meta)
    complete = {"resourceType": tree["resourceType"], "id": id_, "meta": meta}
    complete.update((key, value) for key, value in tree.items() if key not in complete)
    return complete


def identity(body: bytes) -> tuple[str, str]:
    """Return type and id of a stored body, which begins with resourceType and id as :func:`with_meta` orders.

    Reads only the first bytes; meant for canonical JSON that this server wrote, not for what a client sent.
    """
    words = body.split(b'"', 8)
    if len(words) < 9 or words[1] != b"resourceType" or words[5] != b"id":
        raise ValueError("not the canonical JSON of a stored resource")
    return words[3].decode(), words[7].decode()


def id_of(body: bytes) -> str:
    """Return the id of a stored body; see :func:`identity`."""
    return identity(body)[1]


def _parse(body: bytes, max_depth: int) -> Any:
    try:
        tree = _DECODE(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Fault(Kind.SYNTAX, _reason(body, error)) from None
    except UnfitNumberError:
        raise Fault(
            Kind.SYNTAX, f"A number is too long or too large: at most {MAX_NUMBER} digits or powers of ten."
        ) from None
    except RecursionError:
        raise _too_deep(max_depth) from None
    if type(tree) in _CONTAINERS:
        keys, depth = scan(tree)
        if depth > max_depth:
            raise _too_deep(max_depth)
        if keys != _count_keys(body):
            _refuse_duplicates(body, max_depth)
    return tree


def _count_keys(body: bytes) -> int:
    """Count the places that look like the end of a key: never fewer than there are keys.

    A string that holds a quote and a colon is counted too, which costs a slow pass and nothing else.
    """
    spaced = b" :" in body or any(space in body and space + b":" in body for space in (b"\n", b"\t", b"\r"))
    return len(_KEY.findall(body)) if spaced else body.count(b'":')


def _refuse_duplicates(body: bytes, max_depth: int) -> None:
    """Decide exactly whether a key occurs twice in one object; SYNTAX if so.

    Parsers differ on which of two equal keys wins, so a body that has them means different things to
    different readers: what was validated might not be what another program sees.
    """

    def unique(pairs: list[tuple[str, Any]]) -> None:
        seen = set()
        for key, _ in pairs:
            if key in seen:
                raise Fault(Kind.SYNTAX, f"The key {key[:64]!r} occurs twice in one object; keep one.")
            seen.add(key)

    try:
        json.loads(body, object_pairs_hook=unique, parse_int=str, parse_float=str)
    except RecursionError:
        raise _too_deep(max_depth) from None


def _too_deep(max_depth: int) -> Fault:
    return Fault(Kind.SYNTAX, f"The body nests deeper than {max_depth} levels; make it flatter.")


def _reason(body: bytes, error: Exception) -> str:
    """Say in one sentence what is wrong with bytes that the decoder refused."""
    if not body.strip():
        return "The body is empty; send one JSON object."
    if body.startswith(_BOM):
        return "The body begins with a byte order mark; send UTF-8 without one."
    try:
        body.decode()
    except UnicodeDecodeError as unicode_error:
        return f"The body is not UTF-8 (byte {unicode_error.start}); send UTF-8."
    if _LONE_SURROGATE.search(body):
        return "A string holds one half of a surrogate pair; write the whole character."
    return _malformed(body, error)


def _malformed(body: bytes, error: Exception) -> str:
    if isinstance(error, msgspec.ValidationError):
        return f"A number is too long: at most {MAX_NUMBER} digits."
    words = str(error)
    where = words.rpartition("(byte ")[2].rstrip(")")
    if where.isdigit() and body[int(where) :].lstrip(b"-").startswith((b"NaN", b"Inf")):
        return f"NaN and Infinity are not JSON numbers (byte {where}); leave the element out."
    return f"The body is not well-formed JSON: {words.removeprefix('JSON is malformed: ')}."


def _name(value: object) -> str:
    if isinstance(value, list):
        return "an array"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, str):
        return "a string"
    return "a literal" if value is None or isinstance(value, bool) else "a number"
