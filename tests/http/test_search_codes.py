"""Codes by value set and by hierarchy: what is stored says what is meant.

https://hl7.org/fhir/R4/search.html#token
"""

from __future__ import annotations

import pytest

from tests.http.samples import observation, unique
from tests.http.server import Server, Tree, load, matches, refused

SYSTEM = "http://hospital.example.org/fhir/CodeSystem/vessels"


def code_system(url: str) -> Tree:
    artery = {"code": "artery", "concept": [{"code": "coronary"}, {"code": "femoral"}]}
    return {
        "resourceType": "CodeSystem",
        "url": url,
        "status": "active",
        "content": "complete",
        "hierarchyMeaning": "is-a",
        "concept": [{"code": "vessel", "concept": [artery, {"code": "vein"}]}],
    }


def value_set(url: str, *include: Tree, **more: str) -> Tree:
    return {
        "resourceType": "ValueSet",
        "url": url,
        "status": "active",
        "compose": {"include": list(include)},
        **more,
    }


@pytest.fixture
def system(server: Server) -> str:
    """Store a code system of its own."""
    url = f"{SYSTEM}-{unique()}"
    server.create(code_system(url))
    return url


def observed(server: Server, subject: str, system: str, *codes: str) -> dict[str, str]:
    """Create an Observation of each code; return ids by code."""
    made = {}
    for code in codes:
        tree = observation(f"Patient/{subject}")
        tree["code"] = {"coding": [{"system": system, "code": code}]}
        made[code] = str(server.create(tree)["id"])
    return made


def test_a_stored_value_set_finds_its_codes_and_no_others(
    server: Server, patient_id: str, system: str
) -> None:
    made = observed(server, patient_id, system, "coronary", "vein", "vessel")
    url = f"urn:vs:{unique()}"
    id_ = server.create(
        value_set(url, {"system": system, "concept": [{"code": "coronary"}, {"code": "vein"}]})
    )["id"]

    wanted = {made["coronary"], made["vein"]}
    assert set(server.find(f"Observation?patient={patient_id}&code:in={url}")) == wanted
    assert set(server.find(f"Observation?patient={patient_id}&code:in=ValueSet/{id_}")) == wanted
    assert server.find(f"Observation?patient={patient_id}&code:not-in={url}") == [made["vessel"]]


def test_a_value_set_of_a_hierarchy_is_expanded_from_the_code_system(
    server: Server, patient_id: str, system: str
) -> None:
    made = observed(server, patient_id, system, "coronary", "femoral", "vein")
    url = f"urn:vs:{unique()}"
    rule = {"property": "concept", "op": "is-a", "value": "artery"}
    server.create(value_set(url, {"system": system, "filter": [rule]}))

    found = server.find(f"Observation?patient={patient_id}&code:in={url}")

    assert set(found) == {made["coronary"], made["femoral"]}


def test_below_and_above_follow_the_hierarchy(server: Server, patient_id: str, system: str) -> None:
    made = observed(server, patient_id, system, "coronary", "artery", "vessel", "vein")
    path = f"Observation?patient={patient_id}&code"

    assert set(server.find(f"{path}:below={system}|artery")) == {made["artery"], made["coronary"]}
    assert set(server.find(f"{path}:above={system}|artery")) == {made["artery"], made["vessel"]}


def test_a_new_version_of_a_value_set_holds_from_the_next_search_on(
    server: Server, patient_id: str, system: str
) -> None:
    made = observed(server, patient_id, system, "coronary", "vein")
    url = f"urn:vs:{unique()}"
    tree = server.create(value_set(url, {"system": system, "concept": [{"code": "coronary"}]}))
    path = f"Observation?patient={patient_id}&code:in={url}"
    assert server.find(path) == [made["coronary"]]
    assert server.find(path) == [made["coronary"]]

    tree["compose"]["include"][0]["concept"] = [{"code": "vein"}]
    server.put(f"ValueSet/{tree['id']}", tree)
    assert server.find(path) == [made["vein"]]

    server.delete(f"ValueSet/{tree['id']}")
    refused(server.get(path), 400, "value")


def test_a_version_may_be_named(server: Server, patient_id: str, system: str) -> None:
    made = observed(server, patient_id, system, "coronary", "vein")
    url = f"urn:vs:{unique()}"
    for version, code in (("1", "coronary"), ("2", "vein")):
        server.create(value_set(url, {"system": system, "concept": [{"code": code}]}, version=version))

    path = f"Observation?patient={patient_id}&code:in={url}"
    assert server.find(f"{path}|1") == [made["coronary"]]
    assert server.find(f"{path}|2") == [made["vein"]]
    assert server.find(path) == [made["vein"]]
    refused(server.get(f"{path}|3"), 400, "value")


def test_r4s_own_value_sets_are_built_in(server: Server, patient_id: str) -> None:
    assert patient_id in server.find(
        "Patient?gender:in=http://hl7.org/fhir/ValueSet/administrative-gender&_sort=-_lastUpdated&_count=5"
    )
    assert (
        server.find("Patient?gender:not-in=http://hl7.org/fhir/ValueSet/administrative-gender&gender=female")
        == []
    )


@pytest.mark.parametrize(
    "query",
    [
        "code:in=urn:no-such-value-set",
        "code:not-in=urn:no-such-value-set",
        "code:in=ValueSet/no-such-id",
        "code:below=urn:no-such-system|x",
    ],
)
def test_what_is_not_held_here_is_refused_even_when_lenient(server: Server, query: str) -> None:
    refused(server.get(f"Observation?{query}"), 400, "value")
    refused(server.get(f"Observation?{query}", prefer="handling=lenient"), 400, "value")


def test_a_value_set_that_is_built_on_itself_is_refused(server: Server) -> None:
    url = f"urn:vs:{unique()}"
    server.create(value_set(url, {"valueSet": [url]}))

    refused(server.get(f"Observation?code:in={url}"), 400, "value")


def test_a_chain_a_reverse_chain_and_all_types_know_value_sets_too(
    server: Server, patient_id: str, system: str
) -> None:
    made = observed(server, patient_id, system, "vein")
    gender = "http://hl7.org/fhir/ValueSet/administrative-gender"
    url = f"urn:vs:{unique()}"
    server.create(value_set(url, {"system": system, "concept": [{"code": "vein"}]}))

    assert server.find(f"Observation?code={system}|vein&patient.gender:in={gender}") == [made["vein"]]
    assert server.find(f"Patient?_has:Observation:patient:code:in={url}") == [patient_id]
    found = load(server.get(f"?_type=Observation,Condition&code:in={url}"))
    assert matches(found) == [made["vein"]]
    listed = load(server.get(f"Observation/$lastn?patient={patient_id}&code:in={url}"))
    assert matches(listed) == [made["vein"]]
