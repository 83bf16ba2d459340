"""The generated tables hold R4 4.0.1, and nothing of what their source added to it."""

from __future__ import annotations

import pytest

from conformance.source import ADDED, ADDED_PARAMETERS
from fhir_server.resources.types import (
    PRIMITIVES,
    RESOURCE_TYPES,
    compartments,
    definitions,
    table,
    value_sets,
)


def test_holds_the_146_resource_types_of_r4() -> None:
    assert len(RESOURCE_TYPES) == 146
    assert {"Patient", "ExplanationOfBenefit", "Parameters", "EffectEvidenceSynthesis"} <= RESOURCE_TYPES
    assert "SubscriptionStatus" not in RESOURCE_TYPES
    assert "DomainResource" not in RESOURCE_TYPES


def test_knows_every_primitive_type_and_no_other() -> None:
    assert {name for name, each in definitions().items() if each.kind == "primitive"} == PRIMITIVES


@pytest.mark.parametrize("path", ADDED)
def test_leaves_out_what_the_source_added(path: str) -> None:
    type_, _, name = path.rpartition(".")

    assert path not in definitions()
    assert all(element.name != name for element in definitions()[type_].elements)


def test_has_the_evidence_variable_of_r4_and_not_that_of_r5() -> None:
    characteristic = {e.name: e for e in definitions()["EvidenceVariable.characteristic"].elements}

    assert {"participantEffective", "timeFromStart", "groupMeasure", "usageContext"} <= characteristic.keys()
    assert "definitionByCombination" not in characteristic
    assert characteristic["definition"].choice
    assert all(rule.key != "evv-1" for rule in definitions()["EvidenceVariable.characteristic"].rules)


def test_every_type_that_an_element_has_is_defined() -> None:
    known = definitions().keys()
    named = {name for each in definitions().values() for element in each.elements for name in element.types}

    assert named - known == set()


def test_every_binding_that_an_element_names_is_expanded() -> None:
    bound = {e.binding for each in definitions().values() for e in each.elements if e.binding}

    assert bound == value_sets().keys()
    assert value_sets()["http://hl7.org/fhir/ValueSet/administrative-gender"] == {
        "http://hl7.org/fhir/administrative-gender": frozenset({"male", "female", "other", "unknown"})
    }


@pytest.mark.parametrize(
    ("path", "cardinality"),
    [
        ("Patient.name", (0, "*")),
        ("Observation.status", (1, "1")),
        ("EvidenceVariable.characteristic", (1, "*")),
    ],
)
def test_keeps_cardinalities(path: str, cardinality: tuple[int, str]) -> None:
    type_, _, name = path.partition(".")
    element = next(e for e in definitions()[type_].elements if e.name == name)

    assert (element.min, element.max) == cardinality


def test_a_choice_is_written_with_its_type() -> None:
    properties = definitions()["Patient"].properties

    assert {"deceasedBoolean", "deceasedDateTime"} <= properties.keys()
    assert "deceased" not in properties


def test_reference_targets_are_those_of_r4() -> None:
    observer = next(e for e in definitions()["AuditEvent.source"].elements if e.name == "observer")

    assert "Bot" not in observer.targets
    assert {"Device", "Organization", "Practitioner"} <= set(observer.targets)


def test_holds_the_search_parameters_of_r4_and_no_others() -> None:
    rows = table("parameters")
    names = {row["url"].rpartition("/")[2] for row in rows}

    assert len(rows) == 1375
    assert names & ADDED_PARAMETERS == set()
    patient = next(row for row in rows if row["url"].endswith("/clinical-patient"))
    assert patient["target"] == ["Group", "Patient"]


def test_holds_the_five_compartments() -> None:
    assert compartments().keys() == {"Device", "Encounter", "Patient", "Practitioner", "RelatedPerson"}
    assert "focus" not in compartments()["Patient"]["Observation"]


def test_holds_the_46_operations() -> None:
    assert len(table("operations")) == 46
    everything = next(row for row in table("operations") if row["id"] == "Patient-everything")
    assert everything["instance"]
    assert {p["name"] for p in everything["parameter"]} >= {"start", "end", "_since", "_type", "_count"}
