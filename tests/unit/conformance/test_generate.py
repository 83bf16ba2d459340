"""The generator turns published definitions into compact rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from conformance.generate import type_rows
from conformance.valuesets import expansions

RULE = {"key": "thg-1", "severity": "error", "expression": "a.exists()", "human": "A is there"}
UNIVERSAL = {"key": "ele-1", "severity": "error", "expression": "true", "human": "x"}


def element(path: str, *types: str, **more: Any) -> dict[str, Any]:
    return {"path": path, "min": 0, "max": "1", "type": [{"code": code} for code in types], **more}


def thing(*elements: dict[str, Any]) -> dict[str, Any]:
    root = {"path": "Thing", "constraint": [RULE, UNIVERSAL]}
    snapshot = {"element": [root, *elements]}
    return {"name": "Thing", "kind": "resource", "abstract": False, "snapshot": snapshot}


def test_backbone_elements_become_types_of_their_own() -> None:
    rows = type_rows(
        thing(element("Thing.part", "BackboneElement", max="*"), element("Thing.part.name", "string", min=1)),
        {},
    )

    assert [row["name"] for row in rows] == ["Thing", "Thing.part"]
    assert rows[0]["elements"] == [{"name": "part", "min": 0, "max": "*", "types": ["Thing.part"]}]
    assert rows[1]["elements"] == [{"name": "name", "min": 1, "max": "1", "types": ["string"]}]


def test_rules_of_every_element_are_left_to_the_validator() -> None:
    assert type_rows(thing(), {})[0]["rules"] == [RULE]


def test_choices_targets_and_content_references_are_kept() -> None:
    profile = "http://hl7.org/fhir/StructureDefinition/Patient"
    subject = {**element("Thing.subject"), "type": [{"code": "Reference", "targetProfile": [profile]}]}
    again = {"path": "Thing.again", "min": 0, "max": "*", "contentReference": "#Thing.subject"}
    rows = type_rows(thing(element("Thing.value[x]", "string", "Quantity"), subject, again), {})

    value, reference, repeated = rows[0]["elements"]
    assert value == {"name": "value", "min": 0, "max": "1", "choice": True, "types": ["string", "Quantity"]}
    assert reference["targets"] == ["Patient"]
    assert repeated["types"] == ["Thing.subject"]


def test_only_required_bindings_that_can_be_enumerated_are_kept() -> None:
    def bound(strength: str, url: str) -> list[dict[str, Any]]:
        binding = {"strength": strength, "valueSet": f"{url}|4.0.1"}
        return type_rows(thing(element("Thing.code", "code", binding=binding)), {"http://v": {"s": ["a"]}})

    assert bound("required", "http://v")[0]["elements"][0]["binding"] == "http://v"
    assert "binding" not in bound("preferred", "http://v")[0]["elements"][0]
    assert "binding" not in bound("required", "http://unknown")[0]["elements"][0]


def test_prohibited_elements_are_left_out() -> None:
    assert type_rows(thing(element("Thing.gone", "string", max="0")), {})[0]["elements"] == []


def write(folder: Path, name: str, *resources: dict[str, Any]) -> None:
    (folder / name).write_text(json.dumps({"entry": [{"resource": resource} for resource in resources]}))


def test_value_sets_are_expanded_through_systems_lists_and_each_other(tmp_path: Path) -> None:
    concepts = [{"code": "a", "concept": [{"code": "a1"}]}, {"code": "b"}]
    system = {"resourceType": "CodeSystem", "url": "http://s", "content": "complete", "concept": concepts}
    whole = {"resourceType": "ValueSet", "url": "http://v", "compose": {"include": [{"system": "http://s"}]}}
    listed = {"include": [{"system": "http://t", "concept": [{"code": "x"}]}, {"valueSet": ["http://v"]}]}
    joined = {"resourceType": "ValueSet", "url": "http://w", "compose": listed}
    filtered = {"include": [{"system": "http://s", "filter": [{}]}]}
    unknown = {"resourceType": "ValueSet", "url": "http://f", "compose": filtered}
    write(tmp_path, "valuesets.json", system, whole, joined, unknown)
    write(tmp_path, "v3-codesystems.json")
    write(tmp_path, "v2-tables.json")

    found = expansions(tmp_path)

    assert found["http://v"] == {"http://s": ["a", "a1", "b"]}
    assert found["http://w"] == {"http://s": ["a", "a1", "b"], "http://t": ["x"]}
    assert "http://f" not in found
