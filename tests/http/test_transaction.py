"""Transaction: processing order, conditions, overlaps, all or nothing, answers in request order.

https://hl7.org/fhir/R4/http.html#trules
"""

from __future__ import annotations

from base64 import b64encode

import pytest

from tests.http.samples import observation, patient, tagged, unique
from tests.http.server import BASE, Server, Tree, check_outcome, dump, entry, load, refused, statuses


def json_patch(*operations: Tree) -> Tree:
    """Return a JSON Patch as the Binary that carries it within a bundle."""
    data = b64encode(dump(list(operations))).decode()
    return {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": data}


def count(server: Server, criteria: str) -> int:
    """Return how many Patients match."""
    total: int = load(server.get(f"Patient?{criteria}&_summary=count"))["total"]
    return total


def test_answers_stand_in_the_order_of_the_requests_whatever_the_order_of_processing(
    server: Server, patient_id: str
) -> None:
    gone, kept, tag = (server.create(patient())["id"] for _ in range(2)), unique(), unique()
    first, second = gone
    answer = server.transact(
        entry("GET", f"Patient?{tagged(tag)}"),
        entry("PATCH", f"Patient/{second}", json_patch({"op": "remove", "path": "/gender"})),
        entry("PUT", f"Patient/{kept}", {**patient(tag), "id": kept}),
        entry("POST", "Patient", patient(tag)),
        entry("DELETE", f"Patient/{first}"),
        entry("GET", f"Patient/{patient_id}"),
    )

    tree = load(answer)
    assert (answer.status_code, tree["type"]) == (200, "transaction-response"), answer.text
    assert statuses(tree) == [200, 200, 201, 201, 204, 200]
    assert len(tree["entry"][0]["resource"]["entry"]) == 2, "a GET sees what the transaction wrote"
    assert tree["entry"][2]["response"]["location"] == f"{BASE}/Patient/{kept}/_history/1"
    assert tree["entry"][5]["resource"]["id"] == patient_id
    assert "gender" not in load(server.get(f"Patient/{second}"))
    refused(server.get(f"Patient/{first}"), 410, "deleted")


def test_a_delete_makes_room_for_a_conditional_create_of_the_same(server: Server) -> None:
    tag = unique()
    old = server.create(patient(tag))["id"]

    tree = load(
        server.transact(
            entry("POST", "Patient", patient(unique()), ifNoneExist=tagged(unique())),
            entry("DELETE", f"Patient/{old}"),
        )
    )

    assert statuses(tree) == [201, 204]
    assert server.find(f"Patient?{tagged(tag)}") == []


def test_one_invalid_entry_among_a_hundred_refuses_all_and_names_itself(server: Server) -> None:
    tag = unique()
    entries = [entry("POST", "Patient", patient(tag)) for _ in range(100)]
    entries[57] = entry("POST", "Patient", patient(tag, gender="f"))

    answer = server.transact(*entries)

    refused(answer, 422, "code-invalid", "Bundle.entry[57].resource.gender")
    assert count(server, tagged(tag)) == 0


def test_the_same_hundred_without_the_invalid_one_are_stored(server: Server) -> None:
    tag = unique()

    answer = server.transact(*(entry("POST", "Patient", patient(tag)) for _ in range(100)))

    assert statuses(load(answer)) == [201] * 100
    assert count(server, tagged(tag)) == 100


def test_every_invalid_entry_is_named(server: Server) -> None:
    answer = server.transact(
        entry("POST", "Patient", patient(gender="f")),
        entry("POST", "Patient", patient()),
        entry("POST", "Patient", patient(birthDate="soon")),
    )

    assert answer.status_code == 422
    paths = {path for issue in load(answer)["issue"] for path in issue["expression"]}
    assert paths == {"Bundle.entry[0].resource.gender", "Bundle.entry[2].resource.birthDate"}


@pytest.mark.parametrize(
    "bad",
    [
        entry("PUT", "Patient/nobody", {**patient(), "id": "nobody"}, ifMatch='W/"1"'),
        entry("PATCH", "Patient/nobody", json_patch({"op": "remove", "path": "/gender"})),
        entry("PUT", "Patient/nobody", {**patient(), "id": "other"}),
        entry("POST", "Observation", patient()),
        entry("POST", "Patiant", patient()),
        entry("POST", "Patient"),
        entry("JUMP", "Patient"),
        entry("POST", "Patient/_search"),
        entry("DELETE", "Patient"),
        entry("PUT", "Patient?nickname=x", patient()),
        entry("POST", "Patient", patient(), ifNoneExist="nickname=x"),
        entry("POST", "http://elsewhere.example/fhir/Patient", patient()),
        entry("POST", "Patient/1/$meta-add", {"resourceType": "Parameters"}),
        {"resource": patient()},
        {"fullUrl": "not a url", "resource": patient(), "request": {"method": "POST", "url": "Patient"}},
    ],
)
def test_whatever_one_entry_is_refused_for_nothing_is_stored(server: Server, bad: Tree) -> None:
    tag = unique()

    answer = server.transact(
        entry("POST", "Patient", patient(tag)),
        bad,
        entry("PUT", f"Patient/{tag}", {**patient(tag), "id": tag}),
    )

    assert 400 <= answer.status_code < 500, answer.text
    assert any("Bundle.entry[1]" in path for i in load(answer)["issue"] for path in i["expression"]), (
        answer.text
    )
    assert count(server, tagged(tag)) == 0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (entry("PUT", "Patient/x", {**patient(), "id": "x"}), entry("DELETE", "Patient/x")),
        (
            entry("PUT", "Patient/x", {**patient(), "id": "x"}),
            entry("PUT", "Patient/x", {**patient(active=False), "id": "x"}),
        ),
        (entry("DELETE", "Patient/x"), entry("DELETE", f"{BASE}/Patient/x")),
        (
            entry("PATCH", "Patient/x", json_patch({"op": "remove", "path": "/gender"})),
            entry("PUT", "Patient/x", {**patient(), "id": "x"}),
        ),
    ],
)
def test_two_entries_that_write_the_same_resource_are_refused(server: Server, one: Tree, other: Tree) -> None:
    answer = server.transact(one, other)

    refused(answer, 400, "invalid", "Bundle.entry[0].request.url", "Bundle.entry[1].request.url")


def test_two_entries_that_turn_out_to_write_the_same_resource_are_refused(server: Server) -> None:
    tag = unique()
    id_ = server.create(patient(tag))["id"]

    answer = server.transact(
        entry("PUT", f"Patient?{tagged(tag)}", patient(tag, active=False)),
        entry("DELETE", f"Patient/{id_}"),
    )

    refused(answer, 400, "invalid", "Bundle.entry[0].request.url", "Bundle.entry[1].request.url")
    assert server.get(f"Patient/{id_}").headers["etag"] == 'W/"1"'


def test_one_full_url_twice_is_refused(server: Server) -> None:
    urn = "urn:uuid:9b0c7d5a-0d0c-4a5f-9b8e-0a4fbd0a0a01"

    answer = server.transact(*[entry("POST", "Patient", patient(), full_url=urn)] * 2)

    refused(answer, 400, "invalid", "Bundle.entry[1].fullUrl")


def test_the_same_if_none_exist_twice_makes_one_resource(server: Server) -> None:
    tag = unique()
    twice = [entry("POST", "Patient", patient(tag), ifNoneExist=tagged(tag)) for _ in range(2)]

    first = load(server.transact(*twice))
    second = load(server.transact(*twice))

    assert sorted(statuses(first)) == [200, 201]
    assert statuses(second) == [200, 200]
    assert len({e["response"]["location"] for e in (*first["entry"], *second["entry"])}) == 1
    assert count(server, tagged(tag)) == 1


def test_ambiguous_criteria_are_412_and_nothing_is_stored(server: Server) -> None:
    tag, other = unique(), unique()
    for _ in range(2):
        server.create(patient(tag))

    answer = server.transact(
        entry("POST", "Patient", patient(other)), entry("DELETE", f"Patient?{tagged(tag)}")
    )

    refused(answer, 412, "multiple-matches", "Bundle.entry[1].request")
    assert count(server, tagged(other)) == 0


def test_conditional_update_patch_and_delete_find_their_match(server: Server) -> None:
    tags = [unique() for _ in range(4)]
    ids = [server.create(patient(tag))["id"] for tag in tags[:3]]

    tree = load(
        server.transact(
            entry("PUT", f"Patient?{tagged(tags[0])}", patient(tags[0], active=False)),
            entry("PATCH", f"Patient?{tagged(tags[1])}", json_patch({"op": "remove", "path": "/gender"})),
            entry("DELETE", f"Patient?{tagged(tags[2])}"),
            entry("PUT", f"Patient?{tagged(tags[3])}", patient(tags[3])),
            entry("DELETE", f"Patient?{tagged(unique())}"),
        )
    )

    assert statuses(tree) == [200, 200, 204, 201, 204]
    assert load(server.get(f"Patient/{ids[0]}"))["active"] is False
    assert "gender" not in load(server.get(f"Patient/{ids[1]}"))
    refused(server.get(f"Patient/{ids[2]}"), 410, "deleted")
    assert count(server, tagged(tags[3])) == 1


def test_a_failing_get_is_an_answer_and_undoes_nothing(server: Server) -> None:
    tag = unique()

    tree = load(server.transact(entry("POST", "Patient", patient(tag)), entry("GET", "Patient/nobody")))

    assert statuses(tree) == [201, 404]
    check_outcome(tree["entry"][1]["response"]["outcome"])
    assert count(server, tagged(tag)) == 1


def test_an_empty_transaction_is_answered(server: Server) -> None:
    assert load(server.transact())["type"] == "transaction-response"


def test_five_thousand_entries_are_stored_and_one_more_is_413(server: Server) -> None:
    tag = unique()
    small = {
        "resourceType": "Basic",
        "code": {"text": "x"},
        "identifier": [{"system": "urn:tag", "value": tag}],
    }
    entries = [entry("POST", "Basic", small)] * 5000

    answer = server.transact(*entries)

    assert set(statuses(load(answer))) == {201}
    assert load(server.get(f"Basic?{tagged(tag)}&_summary=count"))["total"] == 5000
    refused(server.transact(*entries, entries[0]), 413, "too-long", "Bundle.entry")
    assert load(server.get(f"Basic?{tagged(tag)}&_summary=count"))["total"] == 5000


def test_references_may_go_both_ways(server: Server) -> None:
    urns = [f"urn:uuid:9b0c7d5a-0d0c-4a5f-9b8e-0a4fbd0a0a1{n}" for n in range(2)]
    pair = [
        entry(
            "POST",
            "Patient",
            patient(link=[{"other": {"reference": urns[1 - n]}, "type": "seealso"}]),
            full_url=urns[n],
        )
        for n in range(2)
    ]

    tree = load(server.transact(*pair, prefer="return=representation"))

    one, other = (e["resource"] for e in tree["entry"])
    assert one["link"][0]["other"]["reference"] == f"Patient/{other['id']}"
    assert other["link"][0]["other"]["reference"] == f"Patient/{one['id']}"


def test_a_transaction_holds_to_if_match(server: Server, patient_id: str) -> None:
    sent = {**patient(active=False), "id": patient_id}

    stale = server.transact(entry("PUT", f"Patient/{patient_id}", sent, ifMatch='W/"2"'))
    fresh = server.transact(entry("PUT", f"Patient/{patient_id}", sent, ifMatch='W/"1"'))

    refused(stale, 412, "conflict")
    assert statuses(load(fresh)) == [200]


def test_observations_of_a_new_patient_are_found_by_that_patient(server: Server) -> None:
    urn = "urn:uuid:9b0c7d5a-0d0c-4a5f-9b8e-0a4fbd0a0a20"

    tree = load(
        server.transact(
            entry("POST", "Observation", observation(urn)),
            entry("POST", "Patient", patient(), full_url=urn),
        )
    )

    id_ = tree["entry"][1]["response"]["location"].split("/")[-3]
    assert len(server.find(f"Observation?patient={id_}")) == 1
