"""Observation/$lastn. https://hl7.org/fhir/R4/observation-operation-lastn.html"""

from __future__ import annotations

import pytest

from tests.http.samples import LOINC, observation
from tests.http.server import Server, Tree, load, matches, refused

VITALS = {
    "category": [
        {
            "coding": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/observation-category",
                    "code": "vital-signs",
                }
            ]
        }
    ]
}


@pytest.fixture
def subject(server: Server, patient_id: str) -> str:
    """Give a patient three pulses, two temperatures and one laboratory value."""
    for code, day in (("8867-4", 1), ("8867-4", 3), ("8867-4", 2), ("8310-5", 1), ("8310-5", 4)):
        server.create(observation(f"Patient/{patient_id}", code=code, when=f"2026-03-0{day}", **VITALS))
    server.create(observation(f"Patient/{patient_id}", code="2339-0", when="2026-03-09"))
    return patient_id


def told(bundle: Tree) -> list[tuple[str, str]]:
    return [
        (e["resource"]["code"]["coding"][0]["code"], e["resource"]["effectiveDateTime"])
        for e in bundle.get("entry", [])
    ]


def test_returns_the_newest_of_each_code(server: Server, subject: str) -> None:
    found = load(server.get(f"Observation/$lastn?patient={subject}&category=vital-signs"))

    assert told(found) == [("8310-5", "2026-03-04"), ("8867-4", "2026-03-03")]
    assert found["total"] == 2


def test_max_says_how_many_of_each_code(server: Server, subject: str) -> None:
    found = load(server.get(f"Observation/$lastn?subject=Patient/{subject}&category=vital-signs&max=2"))

    assert told(found) == [
        ("8310-5", "2026-03-04"),
        ("8310-5", "2026-03-01"),
        ("8867-4", "2026-03-03"),
        ("8867-4", "2026-03-02"),
    ]


def test_a_code_is_a_kind_too(server: Server, subject: str) -> None:
    found = load(server.get(f"Observation/$lastn?patient={subject}&code={LOINC}|8867-4,{LOINC}|2339-0"))

    assert [code for code, _ in told(found)] == ["2339-0", "8867-4"]


def test_parameters_in_a_body_say_the_same(server: Server, subject: str) -> None:
    given = [
        {"name": "patient", "valueString": subject},
        {"name": "category", "valueString": "vital-signs"},
        {"name": "max", "valuePositiveInt": 2},
    ]
    posted = load(server.post("Observation/$lastn", {"resourceType": "Parameters", "parameter": given}))

    asked = load(server.get(f"Observation/$lastn?patient={subject}&category=vital-signs&max=2"))
    assert matches(posted) == matches(asked)


def test_observations_of_one_time_are_all_returned(server: Server, patient_id: str) -> None:
    for value in ("1.0", "2.0"):
        server.create(observation(f"Patient/{patient_id}", value=value, when="2026-03-05"))
    server.create(observation(f"Patient/{patient_id}", value="3.0", when="2026-03-04"))

    found = load(server.get(f"Observation/$lastn?patient={patient_id}&code=8480-6"))

    assert told(found) == [("8480-6", "2026-03-05")] * 2


def test_two_codes_of_one_thing_are_one_group(server: Server, patient_id: str) -> None:
    local = {"system": "urn:local", "code": "pulse"}
    loinc = {"system": LOINC, "code": "8867-4"}
    for day, codings in ((1, [local]), (2, [local, loinc]), (3, [loinc])):
        made = observation(f"Patient/{patient_id}", when=f"2026-03-0{day}", **VITALS)
        server.create({**made, "code": {"coding": codings}})

    found = load(server.get(f"Observation/$lastn?patient={patient_id}&category=vital-signs"))

    assert [when for _, when in told(found)] == ["2026-03-03"]


def test_each_subject_has_its_own_last(server: Server, subject: str) -> None:
    other = server.create({"resourceType": "Patient"})["id"]
    server.create(observation(f"Patient/{other}", code="8867-4", when="2020-01-01", **VITALS))

    found = load(server.get(f"Observation/$lastn?patient={subject},{other}&code=8867-4"))

    assert [when for _, when in told(found)] == ["2026-03-03", "2020-01-01"]


def test_no_match_is_an_empty_searchset(server: Server, patient_id: str) -> None:
    found = load(server.get(f"Observation/$lastn?patient={patient_id}&code=none"))

    assert found["total"] == 0
    assert "entry" not in found


@pytest.mark.parametrize(
    "query", ["", "?code=x", "?patient=1", "?patient=1&code=", "?patient=1&code=x&max=0&max=1"]
)
def test_a_request_without_subject_or_kind_is_refused(server: Server, query: str) -> None:
    assert server.get(f"Observation/$lastn{query}").status_code == 400


@pytest.mark.parametrize("max_", ["0", "-1", "x", "1.5", "99999999999"])
def test_a_max_that_is_no_positive_number_is_refused(server: Server, max_: str) -> None:
    refused(server.get(f"Observation/$lastn?patient=1&code=x&max={max_}"), 400, "value")


def test_what_shapes_a_search_is_refused(server: Server) -> None:
    refused(server.get("Observation/$lastn?patient=1&code=x&_sort=date"), 400, "not-supported")


def test_it_is_an_operation_of_observations_alone(server: Server) -> None:
    refused(server.get("Patient/$lastn?patient=1&code=x"), 404, "not-found")
