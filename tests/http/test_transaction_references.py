"""What references within a transaction become: in elements, extensions, contained resources and narrative.

https://hl7.org/fhir/R4/http.html#trules and https://hl7.org/fhir/R4/bundle.html#references
"""

from __future__ import annotations

import pytest

from tests.http.samples import observation, patient, tagged, unique
from tests.http.server import BASE, Server, Tree, entry, load, refused

URN = "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"


def stored(server: Server, *entries: Tree) -> list[Tree]:
    """Run a transaction; return each stored resource as it is read afterwards."""
    answer = server.transact(*entries)
    assert answer.status_code == 200, answer.text
    return [load(server.get(e["response"]["location"])) for e in load(answer)["entry"]]


def new_patient() -> Tree:
    """Return the entry that creates the Patient that URN names."""
    return entry("POST", "Patient", patient(), full_url=URN)


def test_a_urn_becomes_the_new_address_wherever_a_reference_may_stand(server: Server) -> None:
    seen = observation(
        URN,
        extension=[
            {"url": "http://x.example/r", "valueReference": {"reference": URN}},
            {"url": "http://x.example/u", "valueUri": URN},
        ],
        note=[{"text": URN}],
        contained=[{"resourceType": "Condition", "id": "c", "subject": {"reference": URN}}],
        focus=[{"reference": "#c"}, {"reference": "http://elsewhere.example/Patient/1"}],
        performer=[
            {"reference": URN, "_reference": {"extension": [{"url": "http://x", "valueString": "k"}]}}
        ],
    )

    person, tree = stored(server, new_patient(), entry("POST", "Observation", seen))

    new = f"Patient/{person['id']}"
    assert tree["subject"]["reference"] == new
    assert [e.get("valueReference", {}).get("reference", e.get("valueUri")) for e in tree["extension"]] == [
        new,
        new,
    ]
    assert tree["contained"][0]["subject"]["reference"] == new
    assert tree["performer"][0]["reference"] == new
    assert tree["performer"][0]["_reference"]["extension"][0]["valueString"] == "k"
    assert tree["note"][0]["text"] == URN, "a string that looks like a reference is none"
    assert [focus["reference"] for focus in tree["focus"]] == ["#c", "http://elsewhere.example/Patient/1"]


def test_links_and_images_of_narrative_are_rewritten_and_its_text_is_not(server: Server) -> None:
    div = (
        f'<div xmlns="http://www.w3.org/1999/xhtml"><p>{URN}</p><a href="{URN}">who</a>'
        f'<img src="{URN}" alt="x"/><a href="http://x.example/?a=1&amp;b=2">else</a></div>'
    )
    seen = observation(URN, text={"status": "additional", "div": div})

    person, tree = stored(server, new_patient(), entry("POST", "Observation", seen))

    new = f"Patient/{person['id']}"
    assert tree["text"]["div"] == div.replace(f'"{URN}"', f'"{new}"')


@pytest.mark.parametrize("full_url", [f"{BASE}/Patient/old", "http://elsewhere.example/fhir/Patient/old"])
def test_a_reference_to_an_entry_by_its_restful_full_url_follows_it(server: Server, full_url: str) -> None:
    person, relative, absolute = stored(
        server,
        entry("POST", "Patient", patient(), full_url=full_url),
        entry("POST", "Observation", observation("Patient/old")),
        entry("POST", "Observation", observation(full_url)),
    )

    assert relative["subject"]["reference"] == f"Patient/{person['id']}"
    assert absolute["subject"]["reference"] == f"Patient/{person['id']}"


def test_a_reference_to_what_the_transaction_does_not_hold_stays(server: Server, patient_id: str) -> None:
    (tree,) = stored(server, entry("POST", "Observation", observation(f"Patient/{patient_id}")))

    assert tree["subject"]["reference"] == f"Patient/{patient_id}"


def test_a_urn_that_is_no_entry_is_422_and_nothing_is_stored(server: Server) -> None:
    tag = unique()
    person = entry("POST", "Patient", patient(tag))

    answer = server.transact(person, entry("POST", "Observation", observation(URN)))

    refused(answer, 422, "not-found", "Bundle.entry[1].resource")
    assert server.find(f"Patient?{tagged(tag)}") == []


def test_a_reference_leads_to_the_match_of_a_conditional_create(server: Server) -> None:
    tag = unique()
    id_ = server.create(patient(tag))["id"]

    answer = server.transact(
        entry("POST", "Patient", patient(tag), full_url=URN, ifNoneExist=tagged(tag)),
        entry("POST", "Observation", observation(URN)),
        prefer="return=representation",
    )

    assert load(answer)["entry"][1]["resource"]["subject"]["reference"] == f"Patient/{id_}"


def test_a_reference_leads_to_the_match_of_a_conditional_update(server: Server) -> None:
    tag = unique()
    id_ = server.create(patient(tag))["id"]

    _, tree = stored(
        server,
        entry("PUT", f"Patient?{tagged(tag)}", patient(tag, active=False), full_url=URN),
        entry("POST", "Observation", observation(URN)),
    )

    assert tree["subject"]["reference"] == f"Patient/{id_}"


def test_a_conditional_reference_becomes_the_one_match(server: Server) -> None:
    tag = unique()
    id_ = server.create(patient(tag))["id"]

    (tree,) = stored(server, entry("POST", "Observation", observation(f"Patient?{tagged(tag)}")))

    assert tree["subject"]["reference"] == f"Patient/{id_}"


@pytest.mark.parametrize(
    ("matching", "status", "code"), [(0, 422, "processing"), (2, 412, "multiple-matches")]
)
def test_a_conditional_reference_with_no_or_several_matches_refuses_all(
    server: Server, matching: int, status: int, code: str
) -> None:
    tag, other = unique(), unique()
    for _ in range(matching):
        server.create(patient(tag))

    answer = server.transact(
        entry("POST", "Patient", patient(other)),
        entry("POST", "Observation", observation(f"Patient?{tagged(tag)}")),
    )

    assert answer.status_code == status, answer.text
    assert load(answer)["issue"][0]["code"] in {code, "not-found"}
    assert server.find(f"Patient?{tagged(other)}") == []


def test_a_conditional_reference_that_is_not_understood_refuses_all(server: Server) -> None:
    answer = server.transact(entry("POST", "Observation", observation("Patient?nickname=x")))

    refused(answer, 400, "not-supported", "Bundle.entry[0].resource")


def test_references_in_parameters_of_a_patch_are_resolved_too(server: Server, patient_id: str) -> None:
    seen = server.create(observation(f"Patient/{patient_id}"))
    change = {
        "resourceType": "Parameters",
        "parameter": [
            {
                "name": "operation",
                "part": [
                    {"name": "type", "valueCode": "replace"},
                    {"name": "path", "valueString": "Observation.subject"},
                    {"name": "value", "valueReference": {"reference": URN}},
                ],
            }
        ],
    }

    person, tree = stored(server, new_patient(), entry("PATCH", f"Observation/{seen['id']}", change))

    assert tree["subject"]["reference"] == f"Patient/{person['id']}"


def test_versioned_references_keep_their_version_outside_the_transaction(
    server: Server, patient_id: str
) -> None:
    (tree,) = stored(server, entry("POST", "Observation", observation(f"Patient/{patient_id}/_history/1")))

    assert tree["subject"]["reference"] == f"Patient/{patient_id}/_history/1"
    assert server.find(f"Observation?patient={patient_id}&_id={tree['id']}") == [tree["id"]]
