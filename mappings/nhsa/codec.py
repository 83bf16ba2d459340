"""The envelope (报文) in and out: bytes ⇄ messages of the interface, requests and responses.

A message's ``tree`` is the business data in canonical form (``values``), its ``parameters`` the envelope's members
as strings, and ``parameters["$style"]`` how its sender writes. A response does not say which transaction it
answers: that comes from the request beside it (``{"request": …, "response": …}``), from the option ``kind``, from
the file's name, or from its blocks when only one transaction has those.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, BinaryIO

import msgspec

from mappings.engine.model import Issue, Message, Tree
from mappings.nhsa.fields import SIDES, number_of, numbers, transaction
from mappings.nhsa.parse import MAX_BYTES, Piece, parse_object, pieces
from mappings.nhsa.style import Style
from mappings.nhsa.values import read_values, write_values

REQUEST_MEMBERS = (
    *(
        "infno",
        "msgid",
        "mdtrtarea_admvs",
        "insuplc_admdvs",
        "recer_sys_code",
        "dev_no",
        "dev_safe_info",
        "cainfo",
    ),
    *(
        "signtype",
        "infver",
        "opter_type",
        "opter",
        "opter_name",
        "inf_time",
        "fixmedins_code",
        "fixmedins_name",
    ),
    *("sign_no",),
)
"""The request's envelope in the specification's order. Mind ``mdtrtarea_admvs`` beside ``insuplc_admdvs``."""

RESPONSE_MEMBERS = (
    "infcode",
    "inf_refmsgid",
    "refmsg_time",
    "respond_time",
    "err_msg",
    "enctype",
    "signtype",
)
REQUIRED = {
    "request": frozenset(REQUEST_MEMBERS)
    - {"insuplc_admdvs", "dev_no", "dev_safe_info", "cainfo", "signtype", "sign_no"},
    "response": frozenset({"infcode", "inf_refmsgid", "refmsg_time", "respond_time"}),
}
PASSED_ON = (
    "infno",
    "fixmedins_code",
    "fixmedins_name",
    "mdtrtarea_admvs",
    "insuplc_admdvs",
    "msgid",
    "inf_time",
    "psn_no",
)
"""What a response's maps may take from the request that stands beside it."""

# Decimals are written digit by digit: 1.10 stays 1.10.
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_KIND_IN_NAME = re.compile(r"(?<![0-9A-Za-z])([0-9]{4}[A-Z]?)(?![0-9A-Za-z])")


def split(source: BinaryIO | bytes, options: Mapping[str, str]) -> Iterator[Message | Issue]:
    """Yield the messages of a file and what is to be said of each; what cannot be read is an Issue, and the rest goes on.

    Options: ``where`` the file's name, ``kind`` the transaction of responses that do not say it,
    ``fixmedins_code`` and the like for envelope members that a lone response lacks.
    """
    raw = source if isinstance(source, bytes) else source.read(MAX_BYTES + 1)
    where = options.get("where", "")
    seen: set[str] = set()
    for piece in pieces(raw, where):
        if isinstance(piece, Issue):
            yield piece
            continue
        for found in _messages(piece, options):
            if isinstance(found, Message) and found.direction == "request":
                number = found.parameters.get("msgid", "")
                if number and number in seen:
                    yield Issue(
                        "warning",
                        "duplicate",
                        piece.where,
                        "The same msgid stands on an earlier message of this file.",
                    )
                seen.add(number)
            yield found


def _messages(piece: Piece, options: Mapping[str, str]) -> Iterator[Message | Issue]:
    value = piece.value
    if isinstance(value.get("request"), dict) and isinstance(value.get("response"), dict):
        asked = value["request"]
        yield from _message(asked, piece, options)
        known = {name: _text(asked[name]) for name in PASSED_ON if not _empty(asked.get(name))}
        known |= _asked_for(asked.get("input"))
        yield from _message(value["response"], piece, {**options, **known, "kind": known.get("infno", "")})
    else:
        yield from _message(value, piece, options)


def _asked_for(data: Any) -> Iterator[tuple[str, str]]:
    """Yield whom a request asks for: answers often do not say it again."""
    for block in data.values() if isinstance(data, dict) else ():
        rows = block if isinstance(block, list) else [block]
        if rows and isinstance(rows[0], dict) and not _empty(rows[0].get("psn_no")):
            yield "psn_no", _text(rows[0]["psn_no"])
            return


def _message(value: Tree, piece: Piece, options: Mapping[str, str]) -> Iterator[Message | Issue]:
    direction = _direction(value)
    if direction is None:
        yield _stranger(value, piece.where)
        return
    kind = _kind(value, direction, options)
    if kind is None:
        yield Issue("error", "not-found", piece.where, _which(value))
        return
    body, as_text = _body(value.get(SIDES[direction]), piece.where)
    if isinstance(body, Issue):
        yield body
        return
    tree, style, issues = read_values(body, kind, direction, piece.where)
    members = {
        name: _text(member)
        for name, member in value.items()
        if name not in SIDES.values() and not _empty(member)
    }
    if direction == "response":
        members = {name: options[name] for name in PASSED_ON if options.get(name)} | {"infno": kind} | members
    parameters: dict[str, Any] = {**members, "$style": replace(style, output="text" if as_text else "object")}
    yield from _envelope_issues(members, kind, direction, piece.where)
    yield from issues
    for part in _parts(tree) if direction == "request" else (tree,):
        yield Message(kind, part, piece.raw, piece.where, direction, dict(parameters))


def _parts(tree: Tree) -> Iterator[Tree]:
    """Yield one tree per patient and stay of a check (3101, 3102); other requests are of one anyway."""
    data = tree.get("data")
    patients = data.get("patient_dtos") if isinstance(data, dict) else None
    if not isinstance(patients, list) or not patients:
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
        code = _text(value["code"])[:20]
        return Issue(
            "error", "transient", where, f"The gateway refused with code {code}; no transaction answered."
        )
    return Issue(
        "error", "structure", where, "Neither a request (infno, input) nor a response (infcode, output)."
    )


def _kind(value: Mapping[str, Any], direction: str, options: Mapping[str, str]) -> str | None:
    if direction == "request" and not _empty(value.get("infno")):
        return _text(value["infno"])
    if options.get("kind"):
        return options["kind"]
    named = kind_in_name(options.get("where", ""))
    if named:
        return named
    fits = kinds_with(value.get("output")) if direction == "response" else []
    return fits[0] if len(fits) == 1 else None


def kind_in_name(where: str, *, tabular: bool = False) -> str:
    """Return the transaction (``tabular``: the catalogue or table) that a file's name names; "" when none."""
    name = where.rsplit("/", 1)[-1]
    found = next((kind for kind in _KIND_IN_NAME.findall(name) if number_of(kind)), "")
    if not found and tabular:
        tables = [each for each in numbers() if not each[0].isdigit() and name.startswith(each)]
        found = max(tables, key=len, default="")
    return str(found)


def kinds_with(output: Any) -> list[str]:
    """List the transactions whose responses know every block of ``output``."""
    if not isinstance(output, Mapping) or not output:
        return []
    fits = []
    for number in numbers():
        described = transaction(number)
        blocks = described.side("response") if described is not None and number[0].isdigit() else ()
        known = {block.path[0] for block in blocks if block.path} | {
            name for block in blocks if not block.path for name in block.fields
        }
        if set(output) <= known:
            fits.append(number)
    return fits


def _which(value: Mapping[str, Any]) -> str:
    fits = kinds_with(value.get("output"))
    could = f"; its blocks fit {', '.join(fits)}" if fits else ""
    return f"The message does not say which transaction it belongs to{could}. Give the option kind."


def _body(data: Any, where: str) -> tuple[Tree | Issue, bool]:
    if isinstance(data, str) and data.strip():
        parsed = parse_object(data, where)
        return parsed, True
    if isinstance(data, list):
        # 5204 and its like have no node name: some platforms answer with the bare list.
        return {"data": data}, False
    if data is None or data == "":
        return {}, False
    if isinstance(data, dict):
        return data, False
    return Issue("error", "structure", where, "The business data (input, output) is a JSON object."), False


def _envelope_issues(members: Mapping[str, str], kind: str, direction: str, where: str) -> Iterator[Issue]:
    if direction == "response" and members.get("infcode") not in (None, "0"):
        # err_msg may name the patient: it stays in the message and its archived original.
        sentence = (
            f"The platform answered {kind} with infcode {members['infcode'][:4]}: not done; err_msg says why."
        )
        yield Issue("warning", "business-rule", where, sentence)
    missing = sorted(REQUIRED[direction] - set(members))
    if missing:
        yield Issue("information", "required", where, f"The envelope lacks {', '.join(missing)}.")
    if number_of(kind) is None:
        yield Issue(
            "warning",
            "not-supported",
            where,
            f"The transaction {kind[:10]} is not described; its fields are untyped.",
        )
    for wrong, right in (("mdtrtarea_admdvs", "mdtrtarea_admvs"), ("insuplc_admvs", "insuplc_admdvs")):
        if wrong in members:
            yield Issue("warning", "structure", where, f"The member is spelled {right}; {wrong} is not read.")


def render(message: Message, style: Style | None, defaults: Mapping[str, str]) -> bytes:
    """Write one message as JSON bytes (UTF-8), in ``style``, else in the style it came in, else plainly.

    ``defaults``: envelope members for a message that lacks them (recer_sys_code, infver, opter …).
    """
    chosen = style or message.parameters.get("$style") or Style()
    own = {name: value for name, value in message.parameters.items() if not name.startswith("$")}
    members = {name: value for name, value in defaults.items() if name in REQUEST_MEMBERS} | own
    body = write_values(message.tree, message.kind, message.direction, chosen)
    out: Tree = {}
    if message.direction == "request":
        members["infno"] = message.kind
        out = {name: members.pop(name, "") for name in REQUEST_MEMBERS} | members
    else:
        answer = {name: value for name, value in members.items() if name not in PASSED_ON}
        out = {name: answer.pop(name, None) for name in RESPONSE_MEMBERS} | answer
        out["infcode"] = _infcode(out["infcode"])
    side = SIDES[message.direction]
    out[side] = _ENCODER.encode(body).decode() if chosen.output == "text" else body
    return _ENCODER.encode(out)


def _infcode(value: Any) -> Any:
    return (
        int(value)
        if value is not None and re.fullmatch("-?[0-9]{1,4}", value)
        else 0
        if value is None
        else value
    )


def _empty(value: Any) -> bool:
    return value is None or value == ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _ENCODER.encode(value).decode()
