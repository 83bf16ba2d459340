"""The interface's code tables (字典): as tables that maps name, and as CodeSystem, ValueSet and ConceptMap.

``codes/tables.jsonl`` has the 303 tables of the specification, each line one: key, Chinese name, and codes
with their displays (both, where the specification lists a code twice); ``codes/fhir.yaml`` what is added.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from mappings.engine.codes import CodeTable, Tables, code_system, concept_map, table_of, value_set
from mappings.engine.common import common_tables
from mappings.engine.systems import common
from mappings.engine.yamltree import read

_DATA = files("mappings.nhsa") / "codes"


@cache
def tables() -> Tables:
    """Return all tables by name: the common ones, those of the interface by their key, and the added ones."""
    added = _added()
    made: dict[str, CodeTable] = {}
    for line in (_DATA / "tables.jsonl").read_text("utf-8").splitlines():
        table = _table(json.loads(line), added)
        made[table.name] = table
    for name, data in added["own"].items():
        made[name] = table_of(name, data)
    for name, data in added["minted"].items():
        made[name] = table_of(name, {"system": name, **data})
    return common_tables().with_own(made)


@cache
def _added() -> Mapping[str, Any]:
    found: dict[str, Any] = read((_DATA / "fhir.yaml").read_text("utf-8"), "fhir.yaml").texts
    return found


def _table(entry: Mapping[str, Any], added: Mapping[str, Any]) -> CodeTable:
    key = str(entry["key"])
    display = {code: " / ".join(words) for code, *words in entry["codes"]}
    data = {
        "system": address(key),
        "title": {"zh": entry["name"]},
        "display": {**display, **added["national"].get(key, {})},
        **added["fhir"].get(key, {}),
        "prefix": str(key in added["prefix"]).lower(),
    }
    return table_of(key, data)


def address(key: str) -> str:
    """Return the address of the CodeSystem of a table of the interface."""
    return f"{common().base}/CodeSystem/nhsa-{key.replace('_', '-')}"


def resources() -> Iterator[dict[str, Any]]:
    """Yield every table as CodeSystem and ValueSet, and as ConceptMap where FHIR has codes for it."""
    for name in tables():
        table = tables()[name]
        if "/CodeSystem/nhsa-" not in table.system:
            continue
        yield code_system(table)
        yield value_set(table)
        translated = concept_map(table)
        if translated is not None:
            yield translated
