"""Made-up messages of the national insurance interface: random ones, and whole ones that have all fields."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random
from typing import Any

from mappings.engine.codes import CodeTable
from mappings.engine.laws import Sampler, some_message
from mappings.engine.model import Context, Map, Message
from mappings.nhsa.codes import tables
from mappings.nhsa.fields import Field, transaction
from mappings.nhsa.format import make
from mappings.nhsa.values import Node, shape

SHARED = Path(os.environ.get("FHIR_SHARED", Path(__file__).parents[3].parent / "shared"))
FORMAT = make()
PLAIN = Context(source="demo", archive=False)
SAME_AS = {"gend": "gb2261-1", "naty": "gb3304", "mrg_stas": "marital-gb"}
"""Tables that the maps take from the common ones, whose codes are the national standard's."""


NUMBERED = ("_codg", "_code", "_no", "_id", "_sn")
"""Fields that name something. Their values are drawn so wide that two names never fall on one number."""


def map_of(kind: str, direction: str, *profiles: str) -> Map:
    """Return the map of a transaction and direction."""
    found = FORMAT.map_for(Message(kind, {"something": "1"}, direction=direction), profiles)
    assert found is not None, (kind, direction)
    return found


def unlike(maps: tuple[Map, ...] | list[Map]) -> list[Map]:
    """Return one map of each file: the others of a file differ in name and kind alone."""
    return list({map_.file: map_ for map_ in maps}.values())


def random_message(map_: Map, random: Random, *, orderly: bool = False) -> Message:
    """Make a message up that lacks some fields and has codes that the tables know.

    ``orderly``: what ends does not end before it begins.
    """
    described = transaction(map_.kind)
    own: dict[str, Sampler] = {}
    for block in described.side(map_.direction) if described else ():
        for field in block.fields.values():
            path = f"{block.dotted}.{field.name}" if block.path else field.name
            if field.table:
                own[path] = _code(field)
            elif field.type == "text" and field.name.endswith(NUMBERED):
                own[path] = _number
            elif orderly and field.type in {"date", "datetime"}:
                own[path] = _moment(field)
            elif orderly and field.name.endswith("_ym"):
                own[path] = _month(2025 if field.name == "expi_ym" else 2020)
    # Catalogues' rows without their code are left out when the file is read; all else may lack.
    return some_message(map_, random, own, () if map_.direction else FORMAT.needed(map_))


def whole_message(map_: Map, random: Random) -> Message:
    """Make a message up that has every field that its field table requires."""
    message = random_message(map_, random, orderly=True)
    _complete(message.tree, shape(map_.kind, map_.direction), random)
    if map_.direction:
        message.parameters |= {
            "infno": map_.kind,
            "infcode": "0",
            "msgid": f"H99999900001202601010900{random.randint(100000, 999999)}",
            "inf_refmsgid": f"99999920260101090000{random.randint(10**9, 10**10 - 1)}",
            "inf_time": "2026-01-01 09:00:00",
            "respond_time": "20260101090001123",
            "fixmedins_code": "H99999900001",
            "fixmedins_name": "测试医院",
            "insuplc_admdvs": "999900",
        }
    else:
        message.parameters["infno"] = map_.kind
    return message


def _complete(tree: dict[str, Any], node: Node, random: Random) -> None:
    for name, field in node.fields.items():
        if field.required and field.type != "block" and name not in tree:
            tree[name] = _value(field, random)
    for name, inner in node.inner.items():
        found = tree.get(name)
        for row in found if isinstance(found, list) else [found] if isinstance(found, dict) else []:
            _complete(row, inner, random)


def _value(field: Field, random: Random) -> str:
    if field.table:
        return str(_code(field)(random))
    if field.type == "number":
        return (
            f"{random.randint(1, 99)}.{random.randint(0, 99):02}"
            if field.scale
            else str(random.randint(1, 9))
        )
    if field.type in {"date", "datetime"}:
        return str(_moment(field)(random))
    return f"{random.randint(1, 9**9)}"


def _number(random: Random) -> str:
    return str(random.randint(10**11, 10**12))


def _month(year: int) -> Sampler:
    return lambda random: f"{year}{random.randint(1, 12):02}"


def _moment(field: Field) -> Sampler:
    """Draw a day: one of 2025 for what ends or stops, one of 2020 for the rest."""
    ends = any(
        word in f"{field.name}{field.title}" for word in ("end", "paus", "stop", "dscg", "结束", "失效")
    )
    year, time = (2025 if ends else 2020), " 08:30:00" if field.type == "datetime" else ""
    return lambda random: f"{year}-{random.randint(1, 12):02}-{random.randint(1, 28):02}{time}"


def _code(field: Field) -> Sampler:
    codes = table(field).natives
    return lambda random: random.choice(codes)


def table(field: Field) -> CodeTable:
    """Return the code table of a field."""
    return tables()[SAME_AS.get(field.table, field.table)]
