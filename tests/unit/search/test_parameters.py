"""The registry of search parameters and their paths. https://hl7.org/fhir/R4/searchparameter-registry.html"""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhir_server.faults import Fault, Kind
from fhir_server.resources.types import RESOURCE_TYPES, definitions
from fhir_server.search.expressions import Equals, ExpressionError, Get, Path, Refers, paths
from fhir_server.search.generate import ROWS, groups, sources
from fhir_server.search.parameters import CLINICAL_DATE, R4, Parameter, UnknownParameter, by_url, parameters


def test_every_type_has_the_parameters_of_all_resources() -> None:
    common = {"_id", "_lastUpdated", "_profile", "_security", "_source", "_tag"}

    assert parameters("Resource").keys() == common
    assert all(common <= parameters(each).keys() for each in RESOURCE_TYPES)
    assert parameters("Bundle").keys() >= common
    assert parameters("Binary").keys() == {*common, "security-context"}  # the one that is this server's own


def test_a_parameter_knows_its_kind_url_and_targets() -> None:
    patient = R4.resolve("Observation", "patient")

    assert (patient.type, patient.targets) == ("reference", ("Patient",))
    assert patient.url == "http://hl7.org/fhir/SearchParameter/clinical-patient"
    # As it is defined, for all types that share it.
    assert by_url()[patient.url] == replace(patient, targets=("Group", "Patient"))


def test_a_composite_knows_its_components_and_has_no_order() -> None:
    composite = R4.resolve("Observation", "code-value-quantity")

    assert [by_url()[c.definition].code for c in composite.components] == ["code", "value-quantity"]
    assert composite.is_searchable
    assert not composite.is_sortable
    assert R4.resolve("Observation", "code").is_sortable


def test_an_unknown_parameter_is_refused_with_near_names() -> None:
    with pytest.raises(UnknownParameter) as caught:
        R4.resolve("Patient", "birtdate")

    assert caught.value.kind is Kind.UNSUPPORTED_PARAMETER
    assert "birthdate" in caught.value.diagnostics


@pytest.mark.parametrize("code", ["family", "_text", "", "x" * 100_000, "\ud800"])
def test_a_parameter_of_another_type_is_unknown(code: str) -> None:
    with pytest.raises(Fault) as caught:
        R4.resolve("Observation", code)

    assert len(caught.value.diagnostics) < 200
    assert caught.value.diagnostics.isascii()


def test_every_searchable_parameter_leads_somewhere_in_each_of_its_types() -> None:
    found = [
        (each, p.code, groups(p, each) if p.type == "composite" else sources(p, each))
        for each in sorted(RESOURCE_TYPES)
        for p in parameters(each).values()
    ]

    assert [(type_, code) for type_, code, leads in found if not leads] == []
    assert len(by_url()) == 1372 + 1  # Binary's security-context is this server's own
    assert len(found) == 2573 + 1


def test_every_parameter_of_r4_is_searchable() -> None:
    assert all(p.is_searchable for p in by_url().values())
    assert [p.code for p in by_url().values() if p.type == "special"] == ["near"]
    assert not Parameter("other", "special", "urn:x", "Location.position").is_searchable


def test_every_component_of_a_composite_is_read_by_a_parameter_of_its_kind() -> None:
    found = [
        (each, p, groups(p, each))
        for each in sorted(RESOURCE_TYPES)
        for p in parameters(each).values()
        if p.type == "composite"
    ]

    assert all(len(halves) == len(p.components) for _, p, group in found for _, halves in group)
    relationship = groups(R4.resolve("DocumentReference", "relationship"), "DocumentReference")
    assert [half.parameter.code for _, halves in relationship for half in halves] == ["relation", "relatesto"]


def test_the_expressions_of_composites_are_read_too() -> None:
    composites = [
        (each, p) for each in RESOURCE_TYPES for p in parameters(each).values() if p.type == "composite"
    ]

    assert all(paths(p.expression, each) for each, p in composites)


def test_only_these_kinds_of_element_are_passed_over() -> None:
    passed_over = {
        (p.type, path.type)
        for each in RESOURCE_TYPES
        for p in parameters(each).values()
        if p.type != "composite" and p.code != "deceased"
        for path in paths(p.expression, each)
        if path.type not in ROWS[p.type]
    }

    assert passed_over == {
        ("date", "string"),
        ("date", "Age"),
        ("date", "Range"),
        ("quantity", "SampledData"),
        ("reference", "Attachment"),
    }


@pytest.mark.parametrize("type_", sorted(CLINICAL_DATE))
def test_a_clinical_date_is_one_date_of_the_resource(type_: str) -> None:
    parameter = parameters(type_)[CLINICAL_DATE[type_]]
    leads = sources(parameter, type_)

    assert parameter.type == "date"
    assert len(leads) > 0
    assert all(path.is_single for path, _ in leads)
    elements = {definitions()[type_].properties[path.steps[0].key][0].name for path, _ in leads}
    assert len(elements) == 1


def test_paths_take_unions_choices_conditions_and_items() -> None:
    assert paths("Patient.name.family | Person.name", "Patient") == (
        Path((Get("name", many=True), Get("family", many=False)), "string"),
    )
    assert paths("Account.subject.where(resolve() is Patient)", "Account") == (
        Path((Get("subject", many=True), Refers("Patient")), "Reference"),
    )
    assert paths("Patient.telecom.where(system='phone')", "Patient") == (
        Path((Get("telecom", many=True), Equals("system", "phone")), "ContactPoint"),
    )
    assert paths("(Patient.deceased as dateTime)", "Patient") == (
        Path((Get("deceasedDateTime", many=False),), "dateTime"),
    )
    assert paths("Patient.deceased.ofType(boolean)", "Patient")[0].steps == (
        Get("deceasedBoolean", many=False),
    )
    assert paths("Bundle.entry[0].resource", "Bundle")[0].steps[0] == Get("entry", many=True, index=0)
    assert paths("Resource.meta.tag", "Patient") == paths("meta.tag", "Patient")


def test_a_path_of_another_type_or_element_leads_nowhere() -> None:
    assert paths("Observation.code", "Patient") == ()
    assert paths("Patient.code", "Patient") == ()


@pytest.mark.parametrize(
    "expression",
    ["", "Patient.", "Patient.name.first()", "(Patient.name", "Patient.name)", "Patient + 1", "Patient.a["],
)
def test_an_expression_beyond_the_grammar_is_refused(expression: str) -> None:
    with pytest.raises((ExpressionError, ValueError)):
        paths(expression, "Patient")
