"""Invariants: every rule of R4 can be asked; plain conditions mean what their FHIRPath means."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.resources.types import definitions
from fhir_server.validation import accept, rules
from fhir_server.validation.explain import explain
from fhir_server.validation.presence import KEYS, has_coding
from fhir_server.validation.rules import Invariant
from fhir_server.validation.scene import Scene
from tests.unit.validation.samples import SAMPLES

_NAMED = [
    (name, rule)
    for name, definition in definitions().items()
    if definition.kind != "primitive"
    for rule in rules.of_type(name)
]
_CONDITIONS = [(name, rule) for name, rule in _NAMED if rule.condition]
_GUARDED = [(name, rule) for name, rule in _NAMED if rule.guard]
_SYSTEMS = st.sampled_from(
    [
        "http://terminology.hl7.org/CodeSystem/condition-clinical",
        "http://terminology.hl7.org/CodeSystem/condition-ver-status",
        "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification",
    ]
)
_UCUM = "http://unitsofmeasure.org"
_CODES = st.sampled_from(["entered-in-error", "resolved", "remission", "active"])
_HELP = {"has_coding": has_coding, **KEYS}
_GUARDED = [(name, rule) for name, rule in _NAMED if rule.guard]


def test_every_rule_of_the_definitions_is_asked_somewhere() -> None:
    listed = {rule.key for each in definitions().values() for rule in each.rules}
    listed |= {
        rule.key for each in definitions().values() for element in each.elements for rule in element.rules
    }
    asked = {rule.key for _, rule in _NAMED}
    asked |= {
        rule.key
        for name, each in definitions().items()
        for element in each.elements
        for type_name in element.types
        for rule in rules.of_element(name, element.name, type_name)
    }

    assert len(listed) > 200
    assert listed - asked == rules.ELSEWHERE


def test_rules_about_presence_are_plain_conditions() -> None:
    assert len(_CONDITIONS) >= 98


def _thing(name: str, data: st.DataObject) -> dict[str, Any]:
    properties = definitions()[name].properties
    keys = data.draw(st.sets(st.sampled_from(sorted(properties)), max_size=8))
    words = st.sampled_from(["display", "group", "question", "reference", "canonical", "string", _UCUM])
    tree: dict[str, Any] = {}
    for key in keys:
        element, type_name = properties[key]
        value: Any = data.draw(st.booleans()) if type_name == "boolean" else data.draw(words)
        if type_name in ("decimal", "integer", "positiveInt", "unsignedInt"):
            value = data.draw(st.integers(-1, 1))
        if type_name[0].isupper():
            value = {"id": "x"}
        if type_name == "CodeableConcept":
            value = {"coding": [{"system": data.draw(_SYSTEMS), "code": data.draw(_CODES)}]}
        tree[key] = [value] if element.is_list else value
    return tree


@given(st.sampled_from(_CONDITIONS), st.data())
def test_condition_means_what_the_expression_means(case: tuple[str, Invariant], data: st.DataObject) -> None:
    name, rule = case
    tree = _thing(name, data)

    assert bool(eval(rule.condition or "", {"d": tree, **_HELP})) is rule.holds(tree, Scene(tree, tree))


@given(st.sampled_from(_GUARDED), st.data())
def test_guard_is_enough_for_the_rule(case: tuple[str, Invariant], data: st.DataObject) -> None:
    name, rule = case
    tree = _thing(name, data)

    if eval(rule.guard or "", {"d": tree, **_HELP}):
        assert rule.holds(tree, Scene(tree, tree))


def _bundle(**parts: Any) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "collection", **parts}


_ITEM = {"linkId": "1", "type": "string"}
_QUESTIONS = {"resourceType": "Questionnaire", "status": "draft", "item": [_ITEM]}
_TASK = {"resourceType": "Task", "status": "draft", "intent": "order"}
_ENTRY = {"fullUrl": "urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7", "resource": SAMPLES["Patient"]}
_RISK = {"resourceType": "RiskAssessment", "status": "final", "subject": {"reference": "Patient/1"}}
_DOCTOR = {"resourceType": "Practitioner", "id": "d"}
_TEAM = {
    "resourceType": "CareTeam",
    "contained": [_DOCTOR],
    "participant": [{"member": {"reference": "#d"}, "onBehalfOf": {"reference": "Organization/1"}}],
}


@pytest.mark.parametrize(
    ("key", "broken", "kept"),
    [
        ("bdl-1", _bundle(total=1), _bundle(type="searchset", total=1)),
        (
            "bdl-3",
            _bundle(type="batch", entry=[_ENTRY]),
            _bundle(type="batch", entry=[_ENTRY | {"request": {"method": "POST", "url": "Patient"}}]),
        ),
        ("bdl-7", _bundle(entry=[_ENTRY, _ENTRY]), _bundle(entry=[_ENTRY])),
        ("bdl-8", _bundle(entry=[_ENTRY | {"fullUrl": "http://x/_history/1"}]), _bundle(entry=[_ENTRY])),
        ("que-2", _QUESTIONS | {"item": [_ITEM, _ITEM | {"item": [_ITEM]}]}, _QUESTIONS),
        ("que-1", _QUESTIONS | {"item": [_ITEM | {"type": "group"}]}, _QUESTIONS),
        (
            "que-13",
            _QUESTIONS | {"item": [_ITEM | {"initial": [{"valueString": "a"}, {"valueString": "b"}]}]},
            _QUESTIONS | {"item": [_ITEM | {"initial": [{"valueString": "a"}]}]},
        ),
        (
            "inv-1",
            _TASK | {"authoredOn": "2026-01-02", "lastModified": "2026-01-01"},
            _TASK | {"authoredOn": "2026-01-02", "lastModified": "2026-01-02"},
        ),
        (
            "ras-2",
            _RISK | {"prediction": [{"probabilityDecimal": 101}]},
            _RISK | {"prediction": [{"probabilityDecimal": 100}]},
        ),
        (
            "ctm-1",
            _TEAM | {"contained": [{"resourceType": "Patient", "id": "d"}]},
            _TEAM,
        ),
        (
            "lst-1",
            {
                "resourceType": "List",
                "status": "current",
                "mode": "working",
                "emptyReason": {"text": "x"},
                "entry": [{"item": {"display": "x"}}],
            },
            {"resourceType": "List", "status": "current", "mode": "working", "emptyReason": {"text": "x"}},
        ),
        (
            "org-2",
            {"resourceType": "Organization", "name": "x", "address": [{"use": "home", "city": "x"}]},
            {"resourceType": "Organization", "name": "x", "address": [{"use": "work", "city": "x"}]},
        ),
        (
            "sdf-10",
            *(
                {
                    "resourceType": "StructureDefinition",
                    "url": "http://x",
                    "name": "X",
                    "status": "draft",
                    "kind": "resource",
                    "abstract": True,
                    "type": "Patient",
                    "snapshot": {
                        "element": [
                            {
                                "id": "Patient",
                                "path": "Patient",
                                "definition": "x",
                                "min": 0,
                                "max": "*",
                                "base": {"path": "Patient", "min": 0, "max": "*"},
                                "binding": {"strength": "example"} | more,
                            }
                        ]
                    },
                }
                for more in ({}, {"description": "x"})
            ),
        ),
    ],
)
def test_rule_refuses_and_its_twin_passes(key: str, broken: dict[str, Any], kept: dict[str, Any]) -> None:
    said = [issue.diagnostics.partition(":")[0] for issue in explain(copy.deepcopy(broken), warnings=False)]

    assert key in said
    assert not accept.accepts(broken)
    assert explain(kept, warnings=False) == []
    assert accept.accepts(kept)
