"""References that decide whom a record is about: which lead to nobody, and where they stand."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.search.extract import Extractor
from fhir_server.search.misspelt import misspelt

BASE = "https://fhir.example.org/r4"


def observation(reference: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "id": "o", "subject": {"reference": reference}}


@pytest.mark.parametrize(
    "reference",
    [
        "Patient/1#x",
        "Patient/1/",
        "Patient/1/_history/2/x",
        "Patient/1/_history/",
        "Patient/1?x=y",
        "Patient/1|2",
        "Patient/",
        "Patient",
        "Patient//1",
        "Patient/1 ",
        " Patient/1",
        "/Patient/1",
        "./Patient/1",
        "patient/1",
        "PATIENT/1",
        "Patient%2F1",
        "Person1",
        "1",
        "Patient?identifier=urn:x|1",
        f"{BASE}/Patient/1/",
        f"{BASE}/Patient/1#x",
        f"{BASE}/Patient/1?x=y",
        f"{BASE}/patient/1",
        f"{BASE}//Patient/1",
        f"{BASE}/",
        BASE,
        "https://FHIR.example.org/r4/Patient/1",
        "https://fhir.example.org:443/r4/Patient/1",
        "https://me@fhir.example.org/r4/Patient/1",
        "http://fhir.example.org/r4/Patient/1",
        "https://fhir.example.org/R4/Patient/1",
    ],
)
def test_what_leads_to_nobody_is_found_where_it_stands(reference: str) -> None:
    assert misspelt(observation(reference), BASE) == ["Observation.subject.reference"]


@pytest.mark.parametrize(
    "reference",
    [
        "Patient/1",
        "Patient/1/_history/2",
        f"{BASE}/Patient/1",
        f"{BASE}/Patient/1/_history/2",
        "Group/1",
        "Practitioner/1#x",
        "#contained",
        "urn:uuid:6a7d1ad6-3c53-4f1d-a4c5-6f4c2a1a6b11",
        "https://elsewhere.example.org/r4/Patient/1/",
        "https://fhir.example.org/other/Patient/1",
        "https://fhir.example.org/r4-two/Patient/1",
        "https://fhir.example.org:8443/r4/Patient/1",
        "https://fhir.example.org:x/r4/Patient/1",
        "https://[/r4/Patient/1",
        None,
        7,
    ],
)
def test_what_leads_somewhere_or_elsewhere_is_left_alone(reference: Any) -> None:
    assert misspelt(observation(reference), BASE) == []


def test_of_a_list_the_place_is_told_and_only_deciding_elements_are_looked_at() -> None:
    tree = {
        "resourceType": "Observation",
        "performer": [{"reference": "Practitioner/1"}, {"reference": "patient/1"}, {"display": "x"}, "x"],
        "focus": [{"reference": "patient/1"}],
        "derivedFrom": [{"reference": "x"}],
        "encounter": {"reference": "x"},
    }

    assert misspelt(tree) == ["Observation.performer[1].reference"]
    nested = {"participant": [{"actor": {"reference": "Patient/1#"}}, {"actor": {"reference": "Patient/1"}}]}
    assert misspelt({"resourceType": "Appointment", **nested}) == [
        "Appointment.participant[0].actor.reference"
    ]
    task = {"resourceType": "Task", "for": {"reference": "patient/1"}, "owner": {"reference": "patient/1"}}
    assert misspelt(task) == ["Task.for.reference"]
    assert misspelt({"resourceType": "Device", "patient": {"reference": "Patient"}}) == [
        "Device.patient.reference"
    ]


@pytest.mark.parametrize(
    "tree",
    [{}, {"resourceType": "Nonsense", "subject": {"reference": "x"}}, {"resourceType": ["Patient"]}],
)
def test_what_is_no_resource_of_r4_has_none(tree: dict[str, Any]) -> None:
    assert misspelt(tree) == []


@given(st.from_regex(r"[Pp]atient[/#?|. ]?[a-z0-9/#?| .%_]{0,12}", fullmatch=True), st.booleans())
def test_what_passes_and_speaks_of_a_patient_is_about_that_patient(text: str, absolute: bool) -> None:
    """No spelling of a patient of this server is both stored and about nobody."""
    tree = observation(f"{BASE}/{text}" if absolute else text)

    if not misspelt(tree, BASE):
        assert Extractor(UTC, BASE).extract(tree).patients
