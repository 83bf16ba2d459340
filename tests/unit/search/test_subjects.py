"""Which patients a resource is about: by the parameters of the compartment, and by nothing else."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest

from fhir_server.access.rules import compartment
from fhir_server.resources.compartment import member_types
from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.search.extract import Extractor
from fhir_server.search.match import matches
from fhir_server.search.subjects import parameters, subjects
from fhir_server.search.values import Values

EXTRACTOR = Extractor(UTC, "https://fhir.example.org/fhir")


def about(tree: dict[str, Any]) -> tuple[str, ...]:
    return EXTRACTOR.extract(tree).patients


def to(reference: str) -> dict[str, str]:
    return {"reference": reference}


def test_a_patient_is_about_itself_and_those_it_is_linked_to() -> None:
    assert about({"resourceType": "Patient", "id": "1"}) == ("1",)
    linked = {"resourceType": "Patient", "id": "1", "link": [{"other": to("Patient/2"), "type": "seealso"}]}
    assert about(linked) == ("1", "2")


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("Patient/1", ("1",)),
        ("Patient/1/_history/3", ("1",)),
        ("https://fhir.example.org/fhir/Patient/1", ("1",)),
        ("https://elsewhere.example.org/fhir/Patient/1", ()),
        ("Group/1", ()),
        ("#contained", ()),
        ("urn:uuid:6a7d1ad6-3c53-4f1d-a4c5-6f4c2a1a6b11", ()),
    ],
)
def test_only_references_to_patients_of_this_server_count(reference: str, expected: tuple[str, ...]) -> None:
    assert about({"resourceType": "Observation", "id": "o", "subject": to(reference)}) == expected


def test_each_patient_is_named_once() -> None:
    tree = {"resourceType": "Observation", "id": "o", "subject": to("Patient/1")}
    tree["performer"] = [to("Patient/2"), to("Patient/1"), to("Practitioner/3")]  # type: ignore[assignment]
    assert sorted(about(tree)) == ["1", "2"]


def test_a_mention_outside_the_compartment_confers_nothing() -> None:
    assert about({"resourceType": "Observation", "id": "o", "focus": [to("Patient/1")]}) == ()


def test_a_device_is_about_the_patient_it_is_assigned_to() -> None:
    assert about({"resourceType": "Device", "id": "d", "patient": to("Patient/1")}) == ("1",)
    assert about({"resourceType": "Device", "id": "d", "owner": to("Organization/1")}) == ()


@pytest.mark.parametrize("type_", ["Organization", "Practitioner", "Medication", "Binary", "ValueSet"])
def test_types_outside_the_compartment_are_about_nobody(type_: str) -> None:
    assert parameters(type_) == ()
    assert about({"resourceType": type_, "id": "1"}) == ()


@pytest.mark.parametrize("type_", sorted({*member_types("Patient"), "Device"}))
def test_who_may_see_a_patients_compartment_sees_exactly_what_is_about_it(type_: str) -> None:
    """One source of truth: the rule by which records are granted, and the one by which they are protected."""
    mine = compartment("Patient", ("1",), type_)
    for param in {*parameters(type_), "focus", "other"}:
        for target in ("Patient/1", "Patient/2", "Group/1"):
            values = Values()
            values.references.append((param, target))
            granted = matches(mine, type_, "x", values, lambda *_: None, lambda *_: ())
            assert granted is ("1" in subjects(type_, "x", values))


def test_every_parameter_of_a_compartment_is_extracted() -> None:
    """A parameter that is not indexed would leave a record without its patient."""
    from fhir_server.search.joined import is_indexed  # noqa: PLC0415 - for this one test

    for type_ in RESOURCE_TYPES:
        assert all(is_indexed(type_, param) for param in parameters(type_))
