"""Create and conditional create.

https://hl7.org/fhir/R4/http.html#create and #ccreate
"""

from __future__ import annotations

import pytest

from tests.http.samples import observation, patient, tagged, unique
from tests.http.server import Server, entry, load, refused


def test_creates_under_an_id_of_the_server_whatever_id_was_sent(server: Server) -> None:
    answer = server.post("Patient", {**patient(), "id": "mine", "meta": {"versionId": "9"}})

    tree = load(answer)
    assert answer.status_code == 201
    assert tree["id"] != "mine"
    assert tree["meta"]["versionId"] == "1"
    assert answer.headers["etag"] == 'W/"1"'
    refused(server.get("Patient/mine"), 404, "not-found")


def test_keeps_everything_that_was_sent(server: Server) -> None:
    sent = patient(meta={"profile": ["http://example.org/p"], "tag": [{"system": "http://x", "code": "y"}]})

    tree = server.create(sent)

    meta = tree.pop("meta")
    assert meta["profile"] == sent["meta"]["profile"]
    assert meta["tag"] == sent["meta"]["tag"]
    assert {key: value for key, value in tree.items() if key != "id"} == {
        key: value for key, value in sent.items() if key != "meta"
    }


def test_a_body_of_another_type_than_the_address_is_400(server: Server) -> None:
    refused(server.post("Patient", observation("Patient/1")), 400, "invalid")


@pytest.mark.parametrize(
    "body", [{}, {"resourceType": 1}, {"resourceType": "Patiant"}, {"resourceType": None}]
)
def test_a_body_that_is_no_resource_is_400(server: Server, body: dict[str, object]) -> None:
    assert server.post("Patient", body).status_code == 400


def test_every_problem_is_told_at_once_with_its_place(server: Server) -> None:
    sent = patient(gender="f", birthDate="01.01.1970", nickname="x", contact=[{"relationship": []}])

    answer = server.post("Patient", sent)

    refused(answer, 422, load(answer)["issue"][0]["code"], "Patient.gender", "Patient.birthDate")
    assert len(load(answer)["issue"]) >= 4
    assert server.find("Patient?gender=f&_summary=count") == []


def test_a_problem_deep_within_is_told_by_its_path(server: Server) -> None:
    answer = server.post("Patient", patient(name=[{"family": "X"}, {"period": {"start": "2020-13-01"}}]))

    refused(answer, 422, load(answer)["issue"][0]["code"], "Patient.name[1].period.start")


def test_a_conditional_create_makes_one_and_then_finds_it(server: Server) -> None:
    tag = unique()

    first = server.post("Patient", patient(tag), if_none_exist=tagged(tag))
    second = server.post("Patient", patient(tag, gender="male"), if_none_exist=tagged(tag))

    assert (first.status_code, second.status_code) == (201, 200)
    assert second.content == first.content
    assert second.headers["etag"] == 'W/"1"'
    assert second.headers["location"] == first.headers["location"]
    assert len(server.find(f"Patient?{tagged(tag)}")) == 1


def test_a_conditional_create_with_several_matches_is_412_and_makes_none(server: Server) -> None:
    tag = unique()
    server.create(patient(tag))
    server.create(patient(tag))

    refused(server.post("Patient", patient(tag), if_none_exist=tagged(tag)), 412, "multiple-matches")

    assert len(server.find(f"Patient?{tagged(tag)}")) == 2


def test_a_deleted_resource_does_not_match_a_conditional_create(server: Server) -> None:
    tag = unique()
    server.delete(f"Patient/{server.create(patient(tag))['id']}")

    assert server.post("Patient", patient(tag), if_none_exist=tagged(tag)).status_code == 201


@pytest.mark.parametrize("criteria", ["nickname=x", "identifier", "_count=1", "birthdate=soon", "?"])
def test_criteria_that_select_nothing_in_particular_are_400(server: Server, criteria: str) -> None:
    answer = server.post("Patient", patient(), if_none_exist=criteria)

    assert answer.status_code == 400, answer.text


def test_lenient_handling_does_not_loosen_criteria(server: Server) -> None:
    answer = server.post(
        "Patient", patient(), if_none_exist="nickname=x", prefer="handling=lenient", accept="application/json"
    )

    refused(answer, 400, "not-supported")


def test_an_invalid_resource_is_refused_also_where_a_match_would_have_been_returned(server: Server) -> None:
    tag = unique()

    refused(server.post("Patient", patient(tag, gender="f"), if_none_exist=tagged(tag)), 422, "code-invalid")

    assert server.find(f"Patient?{tagged(tag)}") == []


@pytest.mark.parametrize(
    ("prefer", "kind"),
    [
        ("return=minimal", None),
        ("return=representation", "Patient"),
        ("return=OperationOutcome", "OperationOutcome"),
        ("respond-async", "Patient"),
    ],
)
def test_prefer_decides_what_a_write_returns(server: Server, prefer: str, kind: str | None) -> None:
    created = server.post("Patient", patient(), prefer=prefer)
    address = created.headers["location"].partition("/_history")[0]
    updated = server.put(address, {**patient(), "id": address.rpartition("/")[2]}, prefer=prefer)
    patched = server.patch(address, [{"op": "replace", "path": "/gender", "value": "male"}], prefer=prefer)

    assert [answer.status_code for answer in (created, updated, patched)] == [201, 200, 200]
    for answer in (created, updated, patched):
        assert (load(answer)["resourceType"] if answer.content else None) == kind
        assert answer.headers["etag"].startswith("W/")
        assert answer.headers["last-modified"]
    assert server.get(address).status_code == 200


@pytest.mark.parametrize("in_bundle", [False, True])
def test_criteria_in_the_address_of_a_create_are_refused_not_ignored(
    server: Server, *, in_bundle: bool
) -> None:
    tag = unique()
    path = f"Patient?{tagged(tag)}"

    answer = (
        server.transact(entry("POST", path, patient(tag))) if in_bundle else server.post(path, patient(tag))
    )

    assert "If-None-Exist" in refused(answer, 400, "not-supported")["diagnostics"]
    assert server.find(path) == []


def test_parameters_on_a_write_of_a_named_resource_are_refused(server: Server, patient_id: str) -> None:
    path = f"Patient/{patient_id}?gender=male"

    for answer in (
        server.put(path, {**patient(active=False), "id": patient_id}),
        server.patch(path, [{"op": "remove", "path": "/gender"}]),
        server.delete(path),
        server.transact(entry("DELETE", path)),
    ):
        refused(answer, 400, "not-supported")
    assert server.get(f"Patient/{patient_id}").headers["etag"] == 'W/"1"'
    assert server.post("Patient?_format=json&_pretty=true", patient()).status_code == 201
