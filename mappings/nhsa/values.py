"""Business data as sent → one canonical form, and back in a sender's style.

Canonical: every value is a text (a number the digits that were sent), what is empty is absent, and a block
that the specification calls a list is a list. So a message reads the same whether a region sends 1200 or
"1200", one row as an object or a list, null or "".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from typing import Any

import msgspec

from mappings.engine.model import Issue, Tree
from mappings.nhsa.fields import Block, Field, transaction
from mappings.nhsa.parse import MAX_BYTES, plain
from mappings.nhsa.style import Style

_ENCODER = msgspec.json.Encoder(decimal_format="number")
_USUAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_NO_FIELDS: Mapping[str, Field] = {}


@dataclass(eq=False, slots=True)
class Node:
    """One block with the blocks inside it, as a tree that follows the data."""

    fields: Mapping[str, Field] = field(default_factory=lambda: _NO_FIELDS)
    many: bool = False
    inner: dict[str, Node] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)
    numbers: dict[str, Field] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    older: tuple[tuple[str, str], ...] = ()


@cache
def shape(kind: str, direction: str) -> Node:
    """Return the blocks of a transaction's direction as a tree; an unknown transaction has an empty one."""
    found = transaction(kind)
    root = Node()
    for block in found.side(direction) if found is not None else ():
        _place(root, block)
    return root


def _place(root: Node, block: Block) -> None:
    node = root
    for name, many in zip(block.path, block.repeats, strict=True):
        node = node.inner.setdefault(name, Node())
        node.many = many
    node.fields = block.fields
    node.older = tuple((entry.name, entry.means) for entry in block.fields.values() if entry.means)
    for entry in block.fields.values():
        if entry.type == "number":
            node.numbers[entry.name] = entry
        elif entry.length and not entry.table:
            node.limits[entry.name] = entry.length
    node.required = frozenset(
        entry.name for entry in block.fields.values() if entry.required and entry.type != "block"
    )


@dataclass(slots=True)
class _Reading:
    """What is learned while a message is read: its faults, and its sender's habits."""

    where: str
    issues: list[Issue] = field(default_factory=list)
    missing: list[tuple[Node, tuple[str, ...]]] = field(default_factory=list)
    numbers_as_text: bool | None = None
    blank: bool | None = None
    single: bool = False
    expansion: bool = False


def read_values(
    data: Mapping[str, Any], kind: str, direction: str, where: str
) -> tuple[Tree, Style, list[Issue]]:
    """Return the canonical form of business data, the style it was written in, and what to say of it."""
    reading = _Reading(where)
    tree = _read_row(data, shape(kind, direction), "", reading)
    style = Style(
        numbers="text" if reading.numbers_as_text else "number",
        empty="omit" if reading.blank is None else "blank" if reading.blank else "null",
        single="object" if reading.single else "list",
        expansion="object" if reading.expansion else "text",
    )
    return tree, style, reading.issues


def _read_row(row: Mapping[str, Any], node: Node, path: str, reading: _Reading) -> Tree:
    out: Tree = {}
    limits, numbers, inner = node.limits, node.numbers, node.inner
    # Written for speed: this runs for every field of every fee line, and nearly all values are texts.
    for name, value in row.items():
        if value is None or value == "":
            reading.blank = reading.blank or value == ""
        elif value.__class__ is str and name not in numbers and name not in inner:
            out[name] = value
            if len(value) > limits.get(name, MAX_BYTES):
                _tell(reading, path, node.fields[name], f"is longer than {limits[name]} characters")
        elif name in numbers:
            _read_number(out, value, numbers[name], path, reading)
        elif name in inner:
            _read_block(out, name, value, inner[name], f"{path}.{name}" if path else name, reading)
        else:
            _read_other(out, name, value, reading)
    for old, name in node.older:
        if old in out:
            out.setdefault(name, out.pop(old))
    if not node.required <= out.keys():
        _tell_missing(out, node, path, reading)
    return out


def _tell_missing(out: Tree, node: Node, path: str, reading: _Reading) -> None:
    missing = tuple(name for name in node.fields if name in node.required and name not in out)
    # A list of a hundred rows that all lack the same field is one thing to know, not a hundred.
    if (node, missing) not in reading.missing:
        reading.missing.append((node, missing))
        sentence = f"The specification requires {', '.join(missing)}; the message leaves them out."
        reading.issues.append(Issue("information", "required", f"{reading.where} {path}".strip(), sentence))


def _read_block(out: Tree, name: str, value: Any, node: Node, path: str, reading: _Reading) -> None:
    if isinstance(value, Mapping):
        reading.single |= node.many
        row = _read_row(value, node, path, reading)
        out[name] = [row] if node.many else row
    elif isinstance(value, list) and all(isinstance(row, Mapping) for row in value):
        rows = [_read_row(row, node, f"{path}[{number}]", reading) for number, row in enumerate(value)]
        if node.many:
            out[name] = rows
        elif len(rows) == 1:
            out[name] = rows[0]
        elif rows:
            sentence = (
                f"The block {name} is one row by the specification; {len(rows)} were sent, and none is taken."
            )
            reading.issues.append(Issue("error", "structure", f"{reading.where} {path}", sentence))
    else:
        sentence = f"The block {name} should hold rows of fields."
        reading.issues.append(Issue("error", "structure", f"{reading.where} {path}", sentence))


def _read_number(out: Tree, value: Any, known: Field, path: str, reading: _Reading) -> None:
    if reading.numbers_as_text is None:
        reading.numbers_as_text = value.__class__ is str
    text = str(value) if isinstance(value, str) else ""
    if not _USUAL.fullmatch(text):
        if not _NUMBER.fullmatch(text.strip()):
            _tell(reading, path, known, "is not a number", severity="error")
            return
        text = f"{Decimal(text.strip()):f}"
    # A sign and a point make a text longer than its digits: only a long one is looked at closely.
    if known.length and len(text) > known.length and _digits(text) > known.length:
        _tell(reading, path, known, f"has more than {known.length} digits")
    out[known.name] = text


def _digits(text: str) -> int:
    number = Decimal(text).as_tuple()
    return len(number.digits) + max(0, int(number.exponent))


def _read_other(out: Tree, name: str, value: Any, reading: _Reading) -> None:
    if isinstance(value, Mapping | list):
        # Extensions (exp_content) come as null, as JSON in a text, or as JSON itself: one canonical text.
        reading.expansion = True
        out[name] = _ENCODER.encode(plain(value)).decode()
    else:
        out[name] = ("1" if value else "0") if isinstance(value, bool) else str(value)


def _tell(reading: _Reading, path: str, known: Field, what: str, severity: Any = "warning") -> None:
    place = f"{reading.where} {path}.{known.name}" if path else f"{reading.where} {known.name}"
    reading.issues.append(Issue(severity, "value", place, f"{known.title} {known.name} {what}."))


def write_values(tree: Mapping[str, Any], kind: str, direction: str, style: Style) -> Tree:
    """Return business data as a sender of that style writes it; the opposite of ``read_values``."""
    return _write_row(tree, shape(kind, direction), style)


def _write_row(row: Mapping[str, Any], node: Node, style: Style) -> Tree:
    out: Tree = {}
    for name, known in node.fields.items():
        if name in row and known.type != "block":
            out[name] = _write_value(row[name], known, style)
        elif style.empty != "omit" and known.specified and name not in node.inner:
            out[name] = (
                None
                if style.empty == "null"
                else "0"
                if style.empty == "zero" and known.type == "number"
                else ""
            )
    for name, value in row.items():
        if name in node.inner:
            out[name] = _write_block(value, node.inner[name], style)
        elif name not in out:
            out[name] = _write_value(value, None, style)
    return out


def _write_block(value: Any, node: Node, style: Style) -> Any:
    rows = [_write_row(row, node, style) for row in (value if isinstance(value, list) else [value])]
    return rows[0] if len(rows) == 1 and (not node.many or style.single == "object") else rows


def _write_value(value: Any, known: Field | None, style: Style) -> Any:
    if known is not None and known.type == "number" and style.numbers == "number":
        return Decimal(value) if _NUMBER.fullmatch(value) else value
    if style.expansion == "object" and known is not None and known.name == "exp_content":
        try:
            return json.loads(value, parse_float=Decimal)
        except ValueError:
            return value
    return value
