"""Patient/$match. https://hl7.org/fhir/R4/patient-operation-match.html"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.http.server import Server, Tree, load, refused

ID_CARD = "urn:oid:2.16.156.10011.1.3"
GRADE = "http://hl7.org/fhir/StructureDefinition/match-grade"


def number(sequence: int, born: str = "19800513") -> str:
    """Return a valid resident ID number of a region that does not exist."""
    body = f"990000{born}{sequence:03d}"
    factors = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return body + "10X98765432"[sum(int(d) * f for d, f in zip(body, factors, strict=True)) % 11]


def person(**changes: Any) -> Tree:
    """Return a Patient; a keyword replaces an element, None removes it."""
    made: Tree = {
        "resourceType": "Patient",
        "identifier": [{"system": ID_CARD, "value": number(101)}],
        "name": [{"text": "欧阳梦溪", "family": "欧阳", "given": ["梦溪"]}],
        "telecom": [{"system": "phone", "value": "139-0009-0101"}],
        "gender": "female",
        "birthDate": "1980-05-13",
    }
    return {key: value for key, value in {**made, **changes}.items() if value is not None}


def parameters(patient: Tree, **more: Any) -> Tree:
    parts: list[Tree] = [{"name": "resource", "resource": patient}]
    for name, value in more.items():
        key = "valueBoolean" if isinstance(value, bool) else "valueInteger"
        parts.append({"name": name, key: value})
    return {"resourceType": "Parameters", "parameter": parts}


def graded(server: Server, patient: Tree, **more: Any) -> list[tuple[str, str]]:
    """Return (id, grade) of what $match answers, in its order; scores must fall."""
    answer = server.post("Patient/$match", parameters(patient, **more))
    assert answer.status_code == 200, answer.text
    entries = [e for e in load(answer).get("entry", []) if e["search"]["mode"] == "match"]
    for entry in entries:
        assert 0 <= entry["search"]["score"] <= 1
    return [
        (e["resource"]["id"], ext["valueCode"])
        for e in entries
        for ext in e["search"]["extension"]
        if ext["url"] == GRADE
    ]


@pytest.fixture
def hospital(serve: Callable[..., Server]) -> Server:
    """Serve a store with one person to be found and others who resemble her."""
    server = serve()
    server.put("Patient/her", person(id="her"))
    others = {
        "twin": person(identifier=None, name=[{"family": "欧阳", "given": ["梦川"]}], gender="male"),
        "namesake": person(identifier=None, birthDate="1956-11-02", telecom=None),
        "stranger": person(
            identifier=[{"system": ID_CARD, "value": number(303, "19910101")}],
            name=[{"text": "郝大成"}],
            birthDate="1991-01-01",
            gender="male",
            telecom=None,
        ),
    }
    for id_, tree in others.items():
        server.put(f"Patient/{id_}", {**tree, "id": id_})
    return server


def test_an_equal_id_number_is_certain(hospital: Server) -> None:
    asked = person(name=None, telecom=None, gender=None, birthDate=None)

    assert graded(hospital, asked)[0] == ("her", "certain")


def test_an_id_number_counts_whatever_its_system_and_case_of_x(hospital: Server) -> None:
    asked = person(identifier=[{"value": number(101).lower()}])

    assert graded(hospital, asked)[0] == ("her", "certain")


def test_name_birth_date_phone_and_gender_together_are_certain(hospital: Server) -> None:
    assert graded(hospital, person(identifier=None))[0] == ("her", "certain")


@pytest.mark.parametrize(
    "changes",
    [
        {"telecom": None},
        {"birthDate": "1980-05-31"},
        {"birthDate": "1980-06-13"},
        {"name": [{"text": "Ouyang Mengxi"}]},
        {"name": [{"family": "Ouyang", "given": ["Mengxi"]}]},
        {"name": [{"family": "梦溪", "given": ["欧阳"]}]},
        {"telecom": [{"system": "phone", "value": "+86 13900090101"}], "birthDate": None},
    ],
)
def test_a_slip_or_another_spelling_still_finds_her(hospital: Server, changes: Tree) -> None:
    found = graded(hospital, person(identifier=None, **changes))

    assert found[0][0] == "her"
    assert found[0][1] in {"certain", "probable"}


def test_a_name_alone_is_at_most_possible(hospital: Server) -> None:
    asked = person(identifier=None, telecom=None, birthDate=None, gender=None)

    assert {grade for _, grade in graded(hospital, asked)} <= {"possible"}


def test_a_relative_with_the_same_phone_is_not_certain(hospital: Server) -> None:
    found = dict(graded(hospital, person(identifier=None)))

    assert found["her"] == "certain"
    assert found.get("twin") != "certain"


def test_another_id_number_is_certainly_not_her(hospital: Server) -> None:
    asked = person(identifier=[{"system": ID_CARD, "value": number(555, "19800513")}])

    assert dict(graded(hospital, asked))["her"] == "certainly-not"


def test_a_stranger_is_not_found(hospital: Server) -> None:
    assert "stranger" not in dict(graded(hospital, person()))
    nobody = person(
        identifier=[{"value": number(777, "20100101")}],
        name=[{"text": "无此人也"}],
        telecom=None,
        birthDate="2010-01-01",
    )
    assert graded(hospital, nobody) == []


def test_only_certain_matches_returns_the_one(hospital: Server) -> None:
    assert graded(hospital, person(), onlyCertainMatches=True) == [("her", "certain")]
    vague = person(identifier=None, telecom=None, birthDate=None)
    assert graded(hospital, vague, onlyCertainMatches=True) == []


def test_two_certain_matches_are_not_returned_as_certain_when_one_is_asked_for(hospital: Server) -> None:
    hospital.put("Patient/copy", person(id="copy"))

    answer = load(hospital.post("Patient/$match", parameters(person(), onlyCertainMatches=True)))

    [entry] = answer["entry"]
    assert entry["search"]["mode"] == "outcome"
    assert entry["resource"]["issue"][0]["code"] == "multiple-matches"
    assert {grade for _, grade in graded(hospital, person())[:2]} == {"certain"}


def test_count_limits_the_answer_to_the_likeliest(hospital: Server) -> None:
    assert graded(hospital, person(), count=1) == [("her", "certain")]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"resourceType": "Parameters"}, 400, "invalid"),
        (parameters({"resourceType": "Observation"}), 400, "invalid"),
        (parameters({"resourceType": "Patient", "gender": "x"}), 422, "code-invalid"),
        (parameters(person(), count=0), 400, "value"),
        (parameters(person(), count=True), 400, "value"),
        (parameters(person(), nothing=True), 400, "not-supported"),
    ],
)
def test_what_cannot_be_matched_is_refused(server: Server, body: Tree, status: int, code: str) -> None:
    assert code in server.post("Patient/$match", body).text
    refused(server.post("Patient/$match", body), status, code)


def test_it_takes_post_alone_so_that_no_person_is_in_a_url(server: Server) -> None:
    refused(server.get("Patient/$match"), 405, "not-supported")
