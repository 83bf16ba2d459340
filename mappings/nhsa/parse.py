"""JSON as the interface's senders write it, into trees: strict about structure, exact about numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from mappings.engine.model import Issue
from mappings.engine.support import quoted

MAX_BYTES = 64 * 1024 * 1024
"""No transaction comes near this (the specification allows 40,000 characters); larger is refused unread."""

_SPACE = re.compile(r"[ \t\r\n]*")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Piece:
    """One JSON object of a text, and where it stood: the bytes it came from, and file:line."""

    value: dict[str, Any]
    raw: bytes
    where: str


class Number(str):
    """A JSON number, as the digits that stand there: nothing of it is lost, and nothing computed."""

    __slots__ = ()


class _Unfit(ValueError):
    """Raised by the decoder's hooks for JSON that is well formed and yet says nothing certain."""


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Unfit(
            f"the member {quoted(twice)} stands twice in one object, and which one counts is not said"
        )
    return members


def _constant(word: str) -> Any:
    raise _Unfit(f"{word} is not a JSON number")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_members, parse_float=Number, parse_int=Number, parse_constant=_constant
)


def plain(value: Any) -> Any:
    """Return parsed JSON as data that an encoder writes back digit by digit: numbers as Decimals."""
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return Decimal(value) if isinstance(value, Number) else value


def decode_text(raw: bytes, where: str) -> tuple[str, Issue | None]:
    """Decode bytes that should be UTF-8; GB18030 is understood with a warning, other bytes are fatal."""
    try:
        return raw.decode("utf-8-sig"), None
    except UnicodeDecodeError as fault:
        try:
            text = raw.decode("gb18030")
        except UnicodeDecodeError:
            return "", Issue(
                "fatal",
                "invalid",
                f"{where}: byte {fault.start}",
                "The bytes are neither UTF-8 nor GB18030; send UTF-8.",
            )
    return text, Issue("warning", "value", where, "The text is GB18030; the interface prescribes UTF-8.")


def parse_object(text: str, where: str) -> dict[str, Any] | Issue:
    """Parse a text that holds one JSON object, or a JSON string that does; an Issue says where it fails."""
    try:
        start = _skip(text, 0)
        value, end = _DECODER.raw_decode(text, start)
        rest = _skip(text, end)
    except (ValueError, RecursionError) as fault:
        return _issue(fault, text, where)
    if rest != len(text):
        return Issue(
            "error", "structure", _place(text, rest, where), "More text follows the end of the JSON value."
        )
    return _object(value, text, where)


def pieces(raw: bytes, where: str) -> Iterator[Piece | Issue]:
    """Yield the JSON objects of a file: one object, an array of objects, or one object a line (NDJSON)."""
    if len(raw) > MAX_BYTES:
        yield Issue("fatal", "too-long", where, f"The file has more than {MAX_BYTES} bytes; split it.")
        return
    text, doubt = decode_text(raw, where)
    if doubt is not None:
        yield doubt
    if doubt is not None and doubt.severity == "fatal":
        return
    start = _skip(text, 0)
    if start == len(text):
        yield Issue("error", "structure", where, "The file is empty.")
    elif text[start] == "[":
        yield from _elements(text, start, where)
    else:
        yield from _lines(text, raw, where)


def _elements(text: str, start: int, where: str) -> Iterator[Piece | Issue]:
    """Yield an array's elements one by one, so that what stands before a fault is not lost with it."""
    position = _skip(text, start + 1)
    while position < len(text) and text[position] != "]":
        try:
            value, end = _DECODER.raw_decode(text, position)
        except (ValueError, RecursionError) as fault:
            yield _issue(fault, text, where)
            return
        place = _place(text, position, where)
        found = _object(value, text, place)
        yield found if isinstance(found, Issue) else Piece(found, text[position:end].encode(), place)
        position = _skip(text, end)
        if position < len(text) and text[position] == ",":
            position = _skip(text, position + 1)
        elif position < len(text) and text[position] != "]":
            yield Issue(
                "error", "structure", _place(text, position, where), "A comma or ] should stand here."
            )
            return
    if position >= len(text):
        yield Issue(
            "error",
            "structure",
            _place(text, len(text), where),
            "The array is not closed: the file is truncated.",
        )
    elif _skip(text, position + 1) != len(text):
        yield Issue(
            "error", "structure", _place(text, position + 1, where), "More text follows the end of the array."
        )


def _lines(text: str, raw: bytes, where: str) -> Iterator[Piece | Issue]:
    """Yield the one object of a text, or the objects of its lines, each line judged by itself."""
    whole = parse_object(text, where)
    if isinstance(whole, dict):
        yield Piece(whole, raw, where)
        return
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    found = [(number, line, parse_object(line, f"{where}:{number}")) for number, line in lines]
    # A pretty-printed object with a fault in it is one broken text, not many: its lines are no objects.
    if len(lines) < 2 or not any(isinstance(value, dict) for _, _, value in found):
        yield whole
        return
    for number, line, value in found:
        yield value if isinstance(value, Issue) else Piece(value, line.encode(), f"{where}:{number}")


def _object(value: Any, text: str, where: str) -> dict[str, Any] | Issue:
    if value.__class__ is str:
        return parse_object(value, where)
    if not isinstance(value, dict):
        return Issue("error", "structure", where, "A message is a JSON object.")
    # "\ud800" alone is no character: it could be neither stored nor sent on.
    if "\\u" in text and _LONE_SURROGATE.search(json.dumps(value, ensure_ascii=False)):
        return Issue("error", "value", where, "A \\u escape names half a character (a lone surrogate).")
    return value


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    assert match is not None
    return match.end()


def _place(text: str, position: int, where: str) -> str:
    line = text.count("\n", 0, position) + 1
    column = position - (text.rfind("\n", 0, position) + 1) + 1
    return f"{where}:{line}:{column}"


def _issue(fault: Exception, text: str, where: str) -> Issue:
    if isinstance(fault, RecursionError):
        return Issue("error", "too-long", where, "The JSON is nested too deeply.")
    if not isinstance(fault, json.JSONDecodeError):
        return Issue("error", "value", where, f"The JSON is not usable: {fault}.")
    place = _place(text, fault.pos, where)
    if not text[fault.pos :].strip() or fault.msg.startswith("Unterminated string"):
        return Issue(
            "error", "structure", place, "The JSON ends before it is complete: the message is truncated."
        )
    if text[: fault.pos].rstrip().endswith(","):
        return Issue(
            "error", "structure", place, "A comma stands before the end of an object or list; take it away."
        )
    return Issue("error", "structure", place, f"The JSON breaks off here: {fault.msg}.")
