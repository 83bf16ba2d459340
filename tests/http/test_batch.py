"""Batch: every entry by itself, answers in the order of the requests.

https://hl7.org/fhir/R4/http.html#transaction
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.http.samples import observation, patient, tagged, unique
from tests.http.server import BASE, Server, bundle, check_outcome, entry, load, refused, statuses


def test_entries_succeed_and_fail_independently_in_request_order(server: Server, patient_id: str) -> None:
    tag = unique()
    answer = server.post(
        "",
        bundle(
            "batch",
            [
                entry("GET", f"Patient/{patient_id}"),
                entry("POST", "Patient", patient(tag)),
                entry("GET", "Patient/nobody"),
                entry("POST", "Patient", patient(gender="f")),
                entry("PUT", f"Patient/{tag}", {**patient(), "id": tag}),
                entry("DELETE", "Patient/nobody"),
                entry("GET", "Patiant/1"),
                entry("JUMP", "Patient/1"),
                entry("GET", f"Patient?{tagged(tag)}&_summary=count"),
                entry("GET", "metadata"),
                entry("POST", "Patient/$validate", patient()),
            ],
        ),
    )

    tree = load(answer)
    assert (answer.status_code, tree["type"]) == (200, "batch-response")
    assert statuses(tree) == [200, 201, 404, 422, 201, 204, 404, 400, 200, 200, 200]
    for each in tree["entry"]:
        if int(each["response"]["status"][:3]) >= 400:
            check_outcome(each["response"]["outcome"])
    assert tree["entry"][0]["resource"]["id"] == patient_id
    assert tree["entry"][1]["response"]["location"].startswith(f"{BASE}/Patient/")
    assert tree["entry"][1]["response"]["etag"] == 'W/"1"'


def test_each_entry_has_its_own_conditions(server: Server, patient_id: str) -> None:
    tag = unique()
    address = f"Patient/{patient_id}"
    changed = {**patient(active=False), "id": patient_id}

    tree = load(
        server.post(
            "",
            bundle(
                "batch",
                [
                    entry("PUT", address, changed, ifMatch='W/"9"'),
                    entry("GET", address, ifNoneMatch='W/"1"'),
                    entry("GET", address, ifNoneMatch='W/"9"'),
                    entry("GET", address, ifModifiedSince="2999-01-01T00:00:00Z"),
                ],
            ),
        )
    )
    again = load(
        server.post(
            "", bundle("batch", [entry("POST", "Patient", patient(tag), ifNoneExist=tagged(tag))] * 2)
        )
    )

    assert statuses(tree) == [412, 304, 200, 304]
    assert sorted(statuses(again)) == [200, 201]


def test_a_reference_between_entries_of_a_batch_is_not_resolved(server: Server) -> None:
    urn = "urn:uuid:88f151c0-a954-468a-88bd-5ae15c08e059"
    tree = load(
        server.post(
            "",
            bundle(
                "batch",
                [
                    entry("POST", "Patient", patient(), full_url=urn),
                    entry("POST", "Observation", observation(urn)),
                ],
            ),
        )
    )

    assert statuses(tree) == [201, 201]
    stored = load(server.get(tree["entry"][1]["response"]["location"]))
    assert stored["subject"]["reference"] == urn


def test_an_empty_batch_is_answered_by_an_empty_one(server: Server) -> None:
    tree = load(server.post("", bundle("batch", [])))

    assert (tree["type"], tree.get("entry")) == ("batch-response", None)


@pytest.mark.parametrize("type_", ["collection", "searchset", "history", "document", "nonsense", None])
def test_a_bundle_of_another_type_is_400(server: Server, type_: str | None) -> None:
    tree = {"resourceType": "Bundle", **({"type": type_} if type_ else {})}

    refused(server.post("", tree), 400, "invalid", "Bundle.type")


def test_another_resource_at_the_service_base_is_400(server: Server) -> None:
    refused(server.post("", patient()), 400, "invalid")


def test_a_bundle_can_be_stored_as_a_resource_whatever_its_type(server: Server) -> None:
    stored = server.create(bundle("collection", [{"resource": patient()}]))

    assert load(server.get(f"Bundle/{stored['id']}"))["entry"][0]["resource"]["resourceType"] == "Patient"


def test_prefer_representation_returns_the_resources(server: Server) -> None:
    sent = bundle("batch", [entry("POST", "Patient", patient())])

    minimal = load(server.post("", sent))["entry"][0]
    whole = load(server.post("", sent, prefer="return=representation"))["entry"][0]
    told = load(server.post("", sent, prefer="return=OperationOutcome"))["entry"][0]

    assert "resource" not in minimal
    assert whole["resource"]["resourceType"] == "Patient"
    assert told["response"]["outcome"]["resourceType"] == "OperationOutcome"


def test_a_batch_within_a_batch_is_refused(server: Server) -> None:
    inner = bundle("batch", [entry("GET", "Patient/1")])

    tree = load(server.post("", bundle("batch", [entry("POST", "", inner), entry("GET", "metadata")])))

    assert statuses(tree) == [400, 200]


def test_too_many_entries_are_413_and_as_many_as_allowed_are_taken(serve: Callable[..., Server]) -> None:
    server = serve(max_entries=3)

    answer = server.post("", bundle("batch", [entry("GET", "metadata")] * 4))

    refused(answer, 413, "too-long", "Bundle.entry")
    assert server.post("", bundle("batch", [entry("GET", "metadata")] * 3)).status_code == 200
