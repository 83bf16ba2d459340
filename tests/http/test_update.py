"""Update, update as create, conditional update, and If-Match.

https://hl7.org/fhir/R4/http.html#update, #upsert, #cond-update and #concurrency
"""

from __future__ import annotations

import pytest

from tests.http.samples import patient, tagged, unique
from tests.http.server import BASE, Server, load, refused


def test_an_update_replaces_the_whole_and_counts_the_version(server: Server, patient_id: str) -> None:
    answer = server.put(
        f"Patient/{patient_id}", {"resourceType": "Patient", "id": patient_id, "active": False}
    )

    tree = load(answer)
    assert (answer.status_code, answer.headers["etag"]) == (200, 'W/"2"')
    assert answer.headers["location"] == f"{BASE}/Patient/{patient_id}/_history/2"
    assert tree["active"] is False
    assert "name" not in tree
    assert server.get(f"Patient/{patient_id}").content == answer.content


def test_an_update_of_an_unknown_id_creates_it(server: Server) -> None:
    id_ = unique()

    answer = server.put(f"Patient/{id_}", {**patient(), "id": id_})

    assert (answer.status_code, answer.headers["etag"]) == (201, 'W/"1"')
    assert load(server.get(f"Patient/{id_}"))["id"] == id_


def test_an_update_brings_a_deleted_resource_back_as_the_next_version(
    server: Server, patient_id: str
) -> None:
    server.delete(f"Patient/{patient_id}")

    answer = server.put(f"Patient/{patient_id}", {**patient(), "id": patient_id})

    assert (answer.status_code, answer.headers["etag"]) == (201, 'W/"3"')
    assert server.get(f"Patient/{patient_id}").status_code == 200


def test_an_update_that_changes_nothing_makes_no_version(server: Server, patient_id: str) -> None:
    before = server.get(f"Patient/{patient_id}")

    again = server.put(f"Patient/{patient_id}", load(before))
    bare = server.put(f"Patient/{patient_id}", {**patient(), "id": patient_id})

    assert (again.status_code, bare.status_code) == (200, 200)
    assert again.content == bare.content == before.content
    assert load(server.get(f"Patient/{patient_id}/_history"))["total"] == 1


@pytest.mark.parametrize("body_id", [None, "another", "", 7])
def test_a_body_whose_id_is_not_that_of_the_address_is_400(
    server: Server, patient_id: str, body_id: object
) -> None:
    body = {**patient(), "id": body_id} if body_id is not None else patient()

    refused(server.put(f"Patient/{patient_id}", body), 400, "invalid", "Patient.id")

    assert server.get(f"Patient/{patient_id}").headers["etag"] == 'W/"1"'


def test_a_body_of_another_type_is_400(server: Server, patient_id: str) -> None:
    refused(server.put(f"Patient/{patient_id}", {"resourceType": "Basic", "id": patient_id}), 400, "invalid")


def test_an_invalid_update_is_422_and_leaves_the_resource_as_it_was(server: Server, patient_id: str) -> None:
    answer = server.put(f"Patient/{patient_id}", {**patient(gender="f"), "id": patient_id})

    refused(answer, 422, "code-invalid", "Patient.gender")
    assert server.get(f"Patient/{patient_id}").headers["etag"] == 'W/"1"'


@pytest.mark.parametrize("tag", ['W/"1"', '"1"', "*", 'W/"9", W/"1"'])
def test_if_match_of_the_current_version_lets_the_update_through(
    server: Server, patient_id: str, tag: str
) -> None:
    answer = server.put(f"Patient/{patient_id}", {**patient(active=False), "id": patient_id}, if_match=tag)

    assert (answer.status_code, answer.headers["etag"]) == (200, 'W/"2"')


def test_if_match_of_another_version_is_412_and_changes_nothing(server: Server, patient_id: str) -> None:
    answer = server.put(
        f"Patient/{patient_id}", {**patient(active=False), "id": patient_id}, if_match='W/"2"'
    )

    refused(answer, 412, "conflict")
    assert server.get(f"Patient/{patient_id}").headers["etag"] == 'W/"1"'


@pytest.mark.parametrize("tag", ['W/"1"', "*"])
def test_if_match_on_what_does_not_exist_is_412_and_creates_nothing(server: Server, tag: str) -> None:
    id_ = unique()

    refused(server.put(f"Patient/{id_}", {**patient(), "id": id_}, if_match=tag), 412, "conflict")

    refused(server.get(f"Patient/{id_}"), 404, "not-found")


def test_if_match_that_is_no_etag_is_400(server: Server, patient_id: str) -> None:
    answer = server.put(f"Patient/{patient_id}", {**patient(), "id": patient_id}, if_match="latest")

    refused(answer, 400, "invalid")


def test_a_conditional_update_replaces_its_one_match(server: Server) -> None:
    tag = unique()
    id_ = server.create(patient(tag))["id"]

    answer = server.put(f"Patient?{tagged(tag)}", patient(tag, active=False))

    assert (answer.status_code, answer.headers["etag"]) == (200, 'W/"2"')
    assert load(answer)["id"] == id_


def test_a_conditional_update_without_match_creates_under_the_id_of_the_body_if_any(server: Server) -> None:
    tag, other, id_ = unique(), unique(), unique()

    chosen = server.put(f"Patient?{tagged(tag)}", {**patient(tag), "id": id_})
    made_up = server.put(f"Patient?{tagged(other)}", patient(other))

    assert (chosen.status_code, load(chosen)["id"]) == (201, id_)
    assert made_up.status_code == 201
    assert server.find(f"Patient?{tagged(other)}") == [load(made_up)["id"]]


def test_a_conditional_update_without_match_does_not_overwrite_the_id_of_the_body(
    server: Server, patient_id: str
) -> None:
    answer = server.put(f"Patient?{tagged(unique())}", {**patient(), "id": patient_id})

    refused(answer, 409, "conflict", "Patient.id")
    assert server.get(f"Patient/{patient_id}").headers["etag"] == 'W/"1"'


def test_a_conditional_update_whose_match_has_another_id_is_400(server: Server) -> None:
    tag = unique()
    server.create(patient(tag))

    refused(
        server.put(f"Patient?{tagged(tag)}", {**patient(tag), "id": "other"}), 400, "invalid", "Patient.id"
    )


def test_a_conditional_update_with_several_matches_is_412(server: Server) -> None:
    tag = unique()
    ids = [server.create(patient(tag))["id"] for _ in range(2)]

    refused(server.put(f"Patient?{tagged(tag)}", patient(tag, active=False)), 412, "multiple-matches")

    assert [server.get(f"Patient/{id_}").headers["etag"] for id_ in ids] == ['W/"1"'] * 2


@pytest.mark.parametrize("criteria", ["", "?", "?nickname=x", "?_count=1", "?_sort=name"])
def test_a_conditional_update_without_real_criteria_is_400(server: Server, criteria: str) -> None:
    assert server.put(f"Patient{criteria}", patient()).status_code == 400


def test_if_match_holds_for_a_conditional_update_too(server: Server) -> None:
    tag = unique()
    server.create(patient(tag))

    refused(
        server.put(f"Patient?{tagged(tag)}", patient(tag, active=False), if_match='W/"5"'), 412, "conflict"
    )
    fine = server.put(f"Patient?{tagged(tag)}", patient(tag, active=False), if_match='W/"1"')

    assert fine.status_code == 200
