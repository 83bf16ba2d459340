"""Which patients a resource is about: by its compartment's parameters and those of a list that is whole."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any

import pytest

from fhir_server.access.rules import compartment
from fhir_server.resources.compartment import member_types
from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.search.expressions import Get, paths
from fhir_server.search.extract import Extractor
from fhir_server.search.match import matches
from fhir_server.search.parameters import parameters as catalogue
from fhir_server.search.subjects import members, membership, parameters, policy, subjects, telling
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
def test_who_may_see_a_patients_compartment_sees_exactly_what_belongs_to_it(type_: str) -> None:
    """One source of truth: the rule by which records are granted, and the one by which they are protected."""
    mine = compartment("Patient", ("1",), type_)
    for param in {*parameters(type_), "focus", "other"}:
        for target in ("Patient/1", "Patient/2", "Group/1"):
            values = Values()
            values.references.append((param, target))
            granted = matches(mine, type_, "x", values, lambda *_: None, lambda *_: ())
            assert granted is ("1" in members(type_, "x", values))
            assert granted <= ("1" in subjects(type_, "x", values))


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({"resourceType": "Task", "for": to("Patient/1")}, ("1",)),
        ({"resourceType": "Task", "focus": to("Patient/1")}, ("1",)),
        ({"resourceType": "Task", "for": to("Patient/1"), "focus": to("Patient/2")}, ("1", "2")),
        ({"resourceType": "Task", "owner": to("Patient/1"), "requester": to("Patient/1")}, ()),
        ({"resourceType": "Task", "for": to("Group/1"), "focus": to("Observation/1")}, ()),
        ({"resourceType": "GuidanceResponse", "subject": to("Patient/1")}, ("1",)),
        ({"resourceType": "GuidanceResponse", "subject": to("Group/1")}, ()),
        ({"resourceType": "Provenance", "target": [to("Patient/1"), to("Observation/1")]}, ("1",)),
        ({"resourceType": "Provenance", "entity": [{"role": "source", "what": to("Patient/1")}]}, ("1",)),
        ({"resourceType": "Provenance", "agent": [{"who": to("Patient/1")}]}, ()),
        ({"resourceType": "Contract", "subject": [to("Patient/1")]}, ("1",)),
        ({"resourceType": "Linkage", "item": [{"type": "source", "resource": to("Patient/1")}]}, ("1",)),
        ({"resourceType": "VerificationResult", "target": [to("Patient/1")]}, ("1",)),
        ({"resourceType": "MessageHeader", "focus": [to("Patient/1")]}, ("1",)),
    ],
)
def test_what_is_in_no_compartment_is_about_whom_its_own_elements_name(
    tree: dict[str, Any], expected: tuple[str, ...]
) -> None:
    """Consents count for it, and rights do not follow."""
    whole = {**tree, "id": "x"}

    assert tuple(sorted(about(whole))) == expected
    if tree["resourceType"] != "Provenance":
        assert members(tree["resourceType"], "x", EXTRACTOR.extract(whole)) == ()


def test_a_bundle_is_about_those_whom_its_entries_are_about() -> None:
    inner = {"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Patient", "id": "3"}}]}
    resources = [
        {"resourceType": "Patient", "id": "1"},
        {"resourceType": "Observation", "subject": to("Patient/2")},
        {"resourceType": "Observation", "subject": to("Patient/1")},
        {"resourceType": "Organization", "id": "4"},
        inner,
    ]
    entries = [*({"resource": each} for each in resources), {"fullUrl": "urn:x"}, "x"]
    tree = {"resourceType": "Bundle", "id": "b", "type": "collection", "entry": entries}

    assert about(tree) == ("1", "2", "3")
    assert members("Bundle", "b", EXTRACTOR.extract(tree)) == ()
    assert about({"resourceType": "Bundle", "entry": {"resource": 1}}) == ()


def _elements(type_: str, code: str) -> set[tuple[str, ...]]:
    """Return the elements that a parameter reads, by the names on the way to them."""
    found = paths(catalogue(type_)[code].expression, type_)
    return {
        tuple(step.key for step in each.steps if isinstance(step, Get))
        for each in found
        if each.type == "Reference"
    }


def test_each_parameter_that_may_lead_to_a_patient_is_decided_on_once() -> None:
    """Whatever R4 lets refer to a patient tells whom a record is about, or a list says why not."""
    lists = [policy().about, *policy().not_about.values()]
    decided = [(type_, code) for each in lists for type_, codes in each.items() for code in codes]
    open_ = set()
    for type_ in RESOURCE_TYPES:
        told = set().union(*(_elements(type_, code) for code in parameters(type_)))
        for code, each in catalogue(type_).items():
            if each.type == "reference" and "Patient" in each.targets and _elements(type_, code) - told:
                open_.add((type_, code))

    assert len(decided) == len(set(decided))
    assert {key for each in policy().not_about.values() for key in _pairs(each)} == open_
    for type_, codes in policy().about.items():
        for code in codes:
            assert "Patient" in catalogue(type_)[code].targets
            assert not _elements(type_, code) <= set().union(
                *(_elements(type_, p) for p in membership(type_))
            )


def test_what_reads_no_more_than_a_parameter_that_tells_whom_it_is_about_tells_it_too() -> None:
    for type_ in RESOURCE_TYPES:
        told = set().union(*(_elements(type_, code) for code in parameters(type_)))
        assert all(_elements(type_, code) <= told for code in telling(type_))
        assert set(parameters(type_)) <= telling(type_)
    assert {"patient", "subject", "performer"} <= telling("Observation")
    assert "focus" not in telling("Observation")
    assert telling("Organization") == set()


def _pairs(lists: Mapping[str, tuple[str, ...]]) -> set[tuple[str, str]]:
    return {(type_, code) for type_, codes in lists.items() for code in codes}


def test_every_parameter_of_a_compartment_is_extracted() -> None:
    """A parameter that is not indexed would leave a record without its patient."""
    from fhir_server.search.joined import is_indexed  # noqa: PLC0415 - for this one test

    for type_ in RESOURCE_TYPES:
        assert all(is_indexed(type_, param) for param in parameters(type_))
