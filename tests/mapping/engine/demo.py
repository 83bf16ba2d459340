"""The worked example of docs/mappings.md, and a message that it reads; all of it made up."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mappings.engine.model import Context, Map, Message
from mappings.engine.schema import parse

PAGE = Path(__file__).parents[3] / "docs" / "mappings.md"
ENROLMENT = re.findall(r"```yaml\n(map: .*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[0]
CONTEXT = Context(source="h1", now="2026-03-01T00:00:00Z", archive=False)


def enrolment(*changes: tuple[str, str]) -> Map:
    """Read the worked example, with replacements of its text that must be in it."""
    text = ENROLMENT
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return parse(text, "demo.yaml")


def small(fields: str, more: str = "", per: str = "message", head: str = "") -> Map:
    """Read a map of one Patient with the given fields (YAML list items) and further resources."""
    return parse(
        "map: small\nformat: demo\nkind: small\n"
        f"per: {per}\n{head}"
        "systems: {number: 'https://demo.example/{source}/number', other: 'https://demo.example/other'}\n"
        "extensions: {extra: 'https://demo.example/extra'}\n"
        "resources:\n"
        "  - id: patient\n    type: Patient\n    identity: [{system: number, from: no}]\n"
        f"    fields: [{fields}]\n{more}",
        "small.yaml",
    )


def message(**tree: Any) -> Message:
    """Make a message of a small map."""
    return Message("small", {"no": "1", **tree}, where="file:1")


def enrolment_message(**changes: Any) -> Message:
    """Make a message of the worked example."""
    baseinfo = {
        "psn_no": "P1",
        "psn_name": "测试甲",
        "gend": "2",
        "brdy": "1998-01-01",
        "psn_cert_type": "01",
        "certno": "999999199801010041",
        **changes,
    }
    insuinfo = [
        {
            "insutype": "310",
            "psn_insu_stas": "1",
            "psn_insu_date": "2019-07-01",
            "balc": "12.50",
            "insuplc_admdvs": "330100",
        },
        {
            "insutype": "390",
            "psn_insu_stas": "2",
            "psn_insu_date": "1900-01-01",
            "balc": "0",
            "insuplc_admdvs": "330200",
        },
    ]
    tree = {"baseinfo": baseinfo, "insuinfo": insuinfo}
    return Message("1101", tree, raw=b"{}", where="file:1", direction="response")
