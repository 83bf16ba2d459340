"""Which records a provision is about, element by element; a sentence a test.

https://hl7.org/fhir/R4/consent-definitions.html#Consent.provision
"""

from __future__ import annotations

import pytest

from fhir_server.consent.policy import ACT_CODE, DATA_LEVEL
from fhir_server.consent.provisions import LOINC, MEDIA_TYPE_SYSTEM, RESOURCE_TYPE_SYSTEM
from tests.consent.ruling import (
    SNOMED,
    data,
    deny,
    label,
    labelled,
    note,
    permit,
    sees,
)
from tests.consent.wishes import coding, concept, refers


@pytest.mark.parametrize(
    ("codes", "permitted"),
    [
        ((), True),
        (("U",), True),
        (("N",), True),
        (("R",), False),
        (("V",), False),
        (("N", "V"), False),
        (("odd",), False),
        (("odd", "N"), True),
    ],
)
def test_a_confidentiality_permits_itself_and_what_is_lower(codes: tuple[str, ...], permitted: bool) -> None:
    assert sees(permit(securityLabel=label("N")), labelled(*codes)) is permitted


@pytest.mark.parametrize(
    ("codes", "permitted"),
    [((), True), (("N",), True), (("R",), False), (("V",), False), (("N", "V"), False), (("odd",), False)],
)
def test_a_confidentiality_denies_itself_and_what_is_higher(codes: tuple[str, ...], permitted: bool) -> None:
    assert sees(permit(deny(securityLabel=label("R"))), labelled(*codes)) is permitted


@pytest.mark.parametrize(("level", "permitted"), [("1", True), ("3", True), ("4", False), ("5", False)])
def test_data_levels_are_ordered_too(level: str, permitted: bool) -> None:
    assert (
        sees(permit(securityLabel=label("3", system=DATA_LEVEL)), labelled(level, system=DATA_LEVEL))
        is permitted
    )


def test_a_record_without_data_level_counts_as_level_4() -> None:
    assert not sees(permit(securityLabel=label("3", system=DATA_LEVEL)), note())
    assert sees(permit(securityLabel=label("4", system=DATA_LEVEL)), note())


def test_a_sensitivity_covers_those_below_it() -> None:
    assert not sees(
        permit(deny(securityLabel=label("ETH", system=ACT_CODE))), labelled("OPIOIDUD", system=ACT_CODE)
    )
    assert sees(
        permit(deny(securityLabel=label("OPIOIDUD", system=ACT_CODE))), labelled("ETH", system=ACT_CODE)
    )


def test_a_label_of_another_system_is_not_meant() -> None:
    assert sees(permit(deny(securityLabel=label("R"))), labelled("R", system="urn:x"))


def test_a_class_is_a_resource_type_a_type_of_document_or_a_media_type() -> None:
    document = note(
        "DocumentReference",
        type=concept(coding(LOINC, "34133-9")),
        content=[{"attachment": {"contentType": "application/pdf"}}],
    )
    kinds = [
        coding(RESOURCE_TYPE_SYSTEM, "DocumentReference"),
        coding(LOINC, "34133-9"),
        coding(MEDIA_TYPE_SYSTEM, "application/pdf"),
    ]
    others = [
        coding(RESOURCE_TYPE_SYSTEM, "Claim"),
        coding(LOINC, "11488-4"),
        coding(MEDIA_TYPE_SYSTEM, "text/plain"),
    ]

    assert not any(sees(permit(deny(**{"class": [each]})), document) for each in kinds)
    assert all(sees(permit(deny(**{"class": [each]})), document) for each in others)
    assert all(sees(permit(deny(**{"class": [each]})), note()) for each in kinds)


def test_a_code_is_looked_for_wherever_a_record_says_what_it_is_about() -> None:
    it = concept(coding(SNOMED, "86406008"))
    root = permit(deny(code=[it]))
    medication = {"resourceType": "Medication", "id": "m", "code": it}
    records = [
        note("Condition", code=it),
        note(code=concept(coding(SNOMED, "1"), coding(SNOMED, "86406008"))),
        note(valueCodeableConcept=it),
        note(component=[{"code": it}]),
        note("Encounter", reasonCode=[it]),
        note("MedicationRequest", medicationCodeableConcept=it),
        note("MedicationRequest", medicationReference=refers("Medication/m")),
    ]

    assert not any(sees(root, each, others=(medication,)) for each in records)
    assert sees(root, note("Condition", code=concept(coding("urn:x", "86406008"))))


def test_a_data_period_permits_what_lies_within_and_denies_what_touches_it() -> None:
    year = {"start": "2022", "end": "2022"}
    within, across, outside, undated = (
        note("Encounter", **each)
        for each in (
            {"period": {"start": "2022-03-01", "end": "2022-03-02"}},
            {"period": {"start": "2022-12-30", "end": "2023-01-02"}},
            {"period": {"start": "2023-02-01", "end": "2023-02-02"}},
            {},
        )
    )

    assert [sees(permit(dataPeriod=year), each) for each in (within, across, outside, undated)] == [
        True,
        False,
        False,
        False,
    ]
    assert [sees(permit(deny(dataPeriod=year)), each) for each in (within, across, outside, undated)] == [
        False,
        False,
        True,
        False,
    ]


def test_a_data_period_leaves_the_person_and_the_coverage_alone() -> None:
    year = {"start": "2022", "end": "2022"}

    for record in (note("Coverage"), {"resourceType": "Patient", "id": "p"}):
        assert sees(permit(dataPeriod=year), record)
        assert sees(permit(deny(dataPeriod=year)), record)


def test_an_instance_is_the_record_alone() -> None:
    root = permit(deny(data=data("instance", "Observation/1")))

    assert not sees(root, note())
    assert sees(root, note(id="2"))
    assert sees(root, note("Condition"))


def test_dependents_are_the_record_and_those_that_refer_to_it() -> None:
    root = permit(deny(data=data("dependents", "Encounter/e")))

    assert not sees(root, note(encounter=refers("Encounter/e")))
    assert sees(root, note(encounter=refers("Encounter/f")))
    assert not sees(root, note("Encounter", id="e"))


def test_related_are_those_the_record_refers_to_and_of_an_encounter_what_belongs_to_it() -> None:
    root = permit(deny(data=data("related", "Encounter/e")))
    encounter = note("Encounter", id="e", diagnosis=[{"condition": refers("Condition/1")}])

    assert not sees(root, note("Condition"), others=(encounter,))
    assert not sees(root, note(encounter=refers("Encounter/e")), others=(encounter,))
    assert sees(root, note("Condition", id="2"), others=(encounter,))
    assert sees(root, {"resourceType": "Patient", "id": "p"}, others=(encounter,))


def test_related_to_another_record_does_not_mean_those_that_refer_to_it() -> None:
    root = permit(deny(data=data("related", "Observation/o")))

    assert sees(root, note("DiagnosticReport", result=[refers("Observation/o")]))


def test_dependents_of_the_patient_are_all_that_is_about_the_patient() -> None:
    assert not sees(deny(data=data("dependents", "Patient/p")), note())
    assert not sees(deny(data=data("instance", "Patient/p")), {"resourceType": "Patient", "id": "p"})
    assert sees(deny(data=data("instance", "Patient/p")), note())


def test_an_author_is_whoever_made_the_record_and_a_hospital_where_it_was_made() -> None:
    by_doctor = permit(deny(data=data("authoredby", "Practitioner/1")))
    by_hospital = permit(deny(data=data("authoredby", "Organization/a")))
    encounter = note("Encounter", id="e", serviceProvider=refers("Organization/a"))

    assert not sees(by_doctor, note(performer=[refers("Practitioner/1")]))
    assert sees(by_doctor, note(performer=[refers("Practitioner/2")]))
    assert not sees(by_hospital, note(encounter=refers("Encounter/e")), others=(encounter,))
    assert not sees(by_hospital, encounter)
    assert sees(by_hospital, note(), others=(encounter,))
