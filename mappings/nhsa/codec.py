"""Messages (报文) in and out: bytes ⇄ messages of the interface, requests and responses.

A message's ``tree`` is the business data in canonical form (``values``), its ``parameters`` the envelope's
members as texts, and ``parameters["$style"]`` how its sender writes. A request and its answer may stand
together, ``{"request": …, "response": …}``: then the answer knows what it answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from mappings.engine.model import Issue, Message, Tree
from mappings.engine.support import quoted
from mappings.nhsa.envelope import (
    ENCODER,
    PASSED_ON,
    REQUEST_MEMBERS,
    RESPONSE_MEMBERS,
    as_text,
    faults,
    is_empty,
    kind_of,
    untold,
)
from mappings.nhsa.fields import SIDES
from mappings.nhsa.parse import Piece, parse_object, pieces
from mappings.nhsa.style import Style
from mappings.nhsa.values import read_values, write_values


def split(raw: bytes, options: Mapping[str, str]) -> Iterator[Message | Issue]:
    """Yield the messages of a file and what is to be said of each; what cannot be read is an Issue.

    Options: ``where`` the file's name, ``kind`` the transaction of responses that do not say it,
    ``fixmedins_code`` and the like for envelope members that a lone response lacks.
    """
    seen: set[str] = set()
    for piece in pieces(raw, options.get("where", "")):
        if isinstance(piece, Issue):
            yield piece
            continue
        for found in _messages(piece, options):
            number = found.parameters.get("msgid") if isinstance(found, Message) else None
            if number and isinstance(found, Message) and found.direction == "request":
                if number in seen:
                    sentence = "The same msgid stands on an earlier message of this file."
                    yield Issue("warning", "duplicate", piece.where, sentence)
                seen.add(number)
            yield found


def _messages(piece: Piece, options: Mapping[str, str]) -> Iterator[Message | Issue]:
    value = piece.value
    asked, answer = value.get("request"), value.get("response")
    if not isinstance(asked, dict) or not isinstance(answer, dict):
        yield from _message(value, piece, options)
        return
    yield from _message(asked, piece, options)
    known = {name: as_text(asked[name]) for name in PASSED_ON if not is_empty(asked.get(name))}
    yield from _message(answer, piece, {**options, **known, **_person(asked), "kind": known.get("infno", "")})


def _person(asked: Mapping[str, Any]) -> dict[str, str]:
    """Return whom a request asks for: answers often do not say it again."""
    data = asked.get("input")
    for block in data.values() if isinstance(data, dict) else ():
        row = block[0] if isinstance(block, list) and block else block
        if isinstance(row, dict) and not is_empty(row.get("psn_no")):
            return {"psn_no": as_text(row["psn_no"])}
    return {}


def _message(value: Tree, piece: Piece, options: Mapping[str, str]) -> Iterator[Message | Issue]:
    direction = _direction(value)
    if direction is None:
        yield _stranger(value, piece.where)
        return
    kind = kind_of(value, direction, options)
    if kind is None:
        yield untold(value, piece.where)
        return
    data = value.get(SIDES[direction])
    body = _body(data, piece.where)
    if isinstance(body, Issue):
        yield body
        return
    tree, style, issues = read_values(body, kind, direction, piece.where)
    members = {
        name: as_text(member)
        for name, member in value.items()
        if name not in SIDES.values() and not is_empty(member)
    }
    if direction == "response":
        passed = {name: options[name] for name in PASSED_ON if options.get(name)}
        members = {**passed, "infno": kind, **members}
    style = replace(style, output="text" if isinstance(data, str) else "object")
    yield from faults(members, kind, direction, piece.where)
    yield from issues
    for part in _parts(tree) if direction == "request" else (tree,):
        yield Message(kind, part, piece.raw, piece.where, direction, {**members, "$style": style})


def _parts(tree: Tree) -> Iterator[Tree]:
    """Yield one tree per patient and stay of a check (3101, 3102); other requests are of one anyway."""
    data = tree.get("data")
    patients = data.get("patient_dtos") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(patients, list) or not patients:
        yield tree
        return
    for patient in patients:
        for stay in patient.get("fsi_encounter_dtos") or [None]:
            one = {**patient, "fsi_encounter_dtos": [stay]} if stay is not None else patient
            yield {**tree, "data": {**data, "patient_dtos": [one]}}


def _direction(value: Mapping[str, Any]) -> str | None:
    if "infno" in value or "input" in value:
        return "request"
    return "response" if "infcode" in value or "output" in value else None


def _stranger(value: Mapping[str, Any], where: str) -> Issue:
    if "code" in value and "message" in value:
        sentence = f"The gateway refused with code {quoted(as_text(value['code']))}; no transaction answered."
        return Issue("error", "transient", where, sentence)
    sentence = "Neither a request (infno, input) nor a response (infcode, output)."
    return Issue("error", "structure", where, sentence)


def _body(data: Any, where: str) -> Tree | Issue:
    if is_empty(data):
        return {}
    if isinstance(data, str):
        return parse_object(data, where)
    if isinstance(data, list):
        # 5204 and its like have no node name: some platforms answer with the bare list.
        return {"data": data}
    if isinstance(data, dict):
        return data
    return Issue("error", "structure", where, "The business data (input, output) is a JSON object.")


def render(message: Message, style: Style | None, defaults: Mapping[str, str]) -> bytes:
    """Write one message as JSON bytes (UTF-8), in ``style``, else in the style it came in, else plainly.

    ``defaults``: envelope members for a message that lacks them (recer_sys_code, infver, opter …).
    """
    chosen = style or message.parameters.get("$style") or Style()
    own = {name: value for name, value in message.parameters.items() if not name.startswith("$")}
    body = write_values(message.tree, message.kind, message.direction, chosen)
    out: Tree
    if message.direction == "request":
        members = {name: value for name, value in defaults.items() if name in REQUEST_MEMBERS}
        members |= own | {"infno": message.kind}
        out = {name: members.pop(name, "") for name in REQUEST_MEMBERS} | members
    else:
        members = {name: value for name, value in own.items() if name not in PASSED_ON}
        out = {name: members.pop(name, None) for name in RESPONSE_MEMBERS} | members
        out["infcode"] = _infcode(out["infcode"] or "0")
    side = SIDES[message.direction]
    shown: Any = ENCODER.encode(body).decode() if chosen.output == "text" else body
    return ENCODER.encode({**out, side: shown})


def _infcode(value: str) -> Any:
    """Return infcode as the number that the specification says it is, where it is one."""
    return Decimal(value) if re.fullmatch("-?[0-9]{1,4}", value) else value
