"""The envelope (报文头): its members, what it must have, and which transaction a message belongs to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from mappings.engine.model import Issue
from mappings.engine.support import quoted
from mappings.nhsa.fields import number_of, numbers, transaction
from mappings.nhsa.parse import plain

REQUEST_MEMBERS = (
    "infno", "msgid", "mdtrtarea_admvs", "insuplc_admdvs", "recer_sys_code", "dev_no", "dev_safe_info",
    "cainfo", "signtype", "infver", "opter_type", "opter", "opter_name", "inf_time",
    "fixmedins_code", "fixmedins_name",
    "sign_no",
)  # fmt: skip
"""The request's members in the specification's order. Mind ``mdtrtarea_admvs`` beside ``insuplc_admdvs``."""

RESPONSE_MEMBERS = (
    "infcode", "inf_refmsgid", "refmsg_time", "respond_time", "err_msg", "enctype", "signtype",
)  # fmt: skip
PASSED_ON = (
    "infno", "fixmedins_code", "fixmedins_name", "mdtrtarea_admvs", "insuplc_admdvs", "msgid", "inf_time",
    "psn_no",
)  # fmt: skip
"""What a response's maps may take from the request that stands beside it."""

_OPTIONAL = frozenset({"insuplc_admdvs", "dev_no", "dev_safe_info", "cainfo", "signtype", "sign_no"})
_REQUIRED = {
    "request": frozenset(REQUEST_MEMBERS) - _OPTIONAL,
    "response": frozenset({"infcode", "inf_refmsgid", "refmsg_time", "respond_time"}),
}
_MISSPELLED = {"mdtrtarea_admdvs": "mdtrtarea_admvs", "insuplc_admvs": "insuplc_admdvs"}
_KIND_IN_NAME = re.compile(r"(?<![0-9A-Za-z])([0-9]{4}[A-Z]?)(?![0-9A-Za-z])")

# Decimals are written digit by digit: 1.10 stays 1.10.
ENCODER = msgspec.json.Encoder(decimal_format="number")


def required(direction: str) -> frozenset[str]:
    """Return the members that an envelope must have; a file or a table has no envelope."""
    return _REQUIRED.get(direction, frozenset())


def is_empty(value: Any) -> bool:
    """Say whether a member has no value: null or ""."""
    return value is None or value == ""


def as_text(value: Any) -> str:
    """Return a member as text, numbers by their digits, anything else as JSON."""
    return str(value) if isinstance(value, str) else ENCODER.encode(plain(value)).decode()


def faults(members: Mapping[str, str], kind: str, direction: str, where: str) -> Iterator[Issue]:
    """Yield what is to be said of an envelope: a refusal in it, members that lack or are misspelled."""
    if direction == "response" and members.get("infcode") not in {None, "0"}:
        # err_msg may name the patient: it stays in the message and in its archived original.
        code = members["infcode"][:4]
        sentence = f"The platform answered {kind} with infcode {code}: not done; err_msg says why."
        yield Issue("warning", "business-rule", where, sentence)
    missing = sorted(_REQUIRED[direction] - set(members))
    if missing:
        yield Issue("information", "required", where, f"The envelope lacks {', '.join(missing)}.")
    if number_of(kind) is None:
        sentence = f"The transaction {quoted(kind)} is not described; its fields have no types."
        yield Issue("warning", "not-supported", where, sentence)
    for wrong, right in _MISSPELLED.items():
        if wrong in members:
            sentence = f"The member is spelled {right}; {wrong} is not read."
            yield Issue("warning", "structure", where, sentence)


def kind_of(value: Mapping[str, Any], direction: str, options: Mapping[str, str]) -> str | None:
    """Return the transaction of a message; None when nothing tells it.

    A response does not say it: the option ``kind`` does, the file's name (``where``), or its blocks when only
    one transaction has those.
    """
    if direction == "request" and not is_empty(value.get("infno")):
        return as_text(value["infno"])
    named = options.get("kind") or kind_in_name(options.get("where", ""))
    if named:
        return named
    fits = _kinds_with(value.get("output")) if direction == "response" else []
    return fits[0] if len(fits) == 1 else None


def kind_in_name(where: str, *, tabular: bool = False) -> str:
    """Return the transaction (``tabular``: also the table) that a file's name names; "" when none."""
    name = where.rsplit("/", 1)[-1]
    found = next((kind for kind in _KIND_IN_NAME.findall(name) if number_of(kind)), "")
    if not found and tabular:
        tables = [each for each in numbers() if not each[0].isdigit() and name.startswith(each)]
        found = max(tables, key=len, default="")
    return str(found)


def untold(value: Mapping[str, Any], where: str) -> Issue:
    """Return the issue of a message that does not say which transaction it belongs to."""
    fits = _kinds_with(value.get("output"))
    could = f"; its blocks fit {', '.join(fits)}" if fits else ""
    sentence = f"The message does not say which transaction it belongs to{could}. Give the option kind."
    return Issue("error", "not-found", where, sentence)


def _kinds_with(output: Any) -> list[str]:
    """List the transactions whose responses know every block of ``output``."""
    if not isinstance(output, Mapping) or not output:
        return []
    return [number for number in numbers() if number[0].isdigit() and set(output) <= _blocks(number)]


def _blocks(number: str) -> set[str]:
    described = transaction(number)
    known: set[str] = set()
    for block in described.side("response") if described is not None else ():
        known |= {block.path[0]} if block.path else set(block.fields)
    return known
