"""fhirpy, synchronous and asynchronous, reads and writes the server. https://github.com/beda-software/fhir-py"""

from __future__ import annotations

from typing import Any

import pytest
from fhirpy import AsyncFHIRClient, SyncFHIRClient
from fhirpy.base.exceptions import MultipleResourcesFound, OperationOutcome, ResourceNotFound

from tests.http.samples import CITIZEN, observation, patient, unique
from tests.http.server import bundle, entry

Tree = dict[str, Any]
URN = "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"


@pytest.fixture
def client(base: str) -> SyncFHIRClient:
    """Return a client of the server."""
    return SyncFHIRClient(base)


def plain(tree: Tree) -> Tree:
    """Return a resource with floats for Decimals: fhirpy writes JSON by the standard library."""
    quantity = tree.get("valueQuantity")
    return {**tree, "valueQuantity": {**quantity, "value": float(quantity["value"])}} if quantity else tree


def test_creates_reads_updates_and_deletes(client: SyncFHIRClient) -> None:
    person = client.resource(**{"resource_type": "Patient", **_without_type(patient())})
    person.save()
    id_, first = person.id, person["meta"]["versionId"]
    person["active"] = False
    person.save()

    again = client.reference("Patient", id_).to_resource()
    assert (first, again["meta"]["versionId"], again["active"]) == ("1", "2", False)
    assert again["name"][0]["family"] == patient()["name"][0]["family"]
    history = client.execute(f"Patient/{id_}/_history", method="get")
    assert history["total"] == 2

    person.delete()
    with pytest.raises(ResourceNotFound, match="deleted"):
        client.reference("Patient", id_).to_resource()


def test_searches_and_follows_pages_to_the_end(client: SyncFHIRClient) -> None:
    tag = unique()
    for _ in range(7):
        client.resource("Patient", **_without_type(patient(tag))).save()
    found = client.resources("Patient").search(identifier=f"urn:tag|{tag}")

    assert len(found.limit(3).fetch_all()) == 7
    assert len(found.limit(3).fetch()) == 3
    assert len(list(found.limit(2))) == 7
    assert client.resources("Patient").search(identifier="urn:tag|nobody").first() is None


def test_counting_by_a_parameter_that_is_not_fhir_needs_lenient_handling(base: str) -> None:
    lenient = SyncFHIRClient(base, extra_headers={"Prefer": "handling=lenient"})
    tag = unique()
    lenient.resource("Patient", **_without_type(patient(tag))).save()

    assert lenient.resources("Patient").search(identifier=f"urn:tag|{tag}").count() == 1
    with pytest.raises(OperationOutcome, match="_totalMethod"):
        SyncFHIRClient(base).resources("Patient").count()


def test_a_conditional_update_makes_one(client: SyncFHIRClient) -> None:
    tag = unique()
    found = client.resources("Patient").search(identifier=f"urn:tag|{tag}")

    first, made = found.update(client.resource("Patient", **_without_type(patient(tag))))
    second, again = found.update(client.resource("Patient", **_without_type(patient(tag, active=False))))

    assert (made, again, first.id) == (True, False, second.id)
    assert len(found.fetch_all()) == 1


def test_criteria_sent_with_a_create_are_refused_rather_than_ignored(client: SyncFHIRClient) -> None:
    tag = unique()
    found = client.resources("Patient").search(identifier=f"urn:tag|{tag}")

    with pytest.raises(OperationOutcome, match="If-None-Exist"):
        found.get_or_create(client.resource("Patient", **_without_type(patient(tag))))

    assert found.first() is None


def test_a_transaction_and_includes(client: SyncFHIRClient) -> None:
    tag = unique()
    sent = bundle(
        "transaction",
        [
            entry("POST", "Patient", patient(tag), full_url=URN),
            entry("POST", "Observation", plain(observation(URN))),
        ],
    )

    answer = client.resource("Bundle", **_without_type(sent))
    result = client.execute("", method="post", data=answer.serialize())
    found = (
        client.resources("Observation")
        .search(patient__identifier=f"urn:tag|{tag}")
        .include("Observation", "subject")
    )
    page = found.fetch_raw()

    assert [e["response"]["status"][:3] for e in result["entry"]] == ["201", "201"]
    assert [e["resource"]["resourceType"] for e in page["entry"]] == ["Observation", "Patient"]


def test_refusals_reach_the_caller_as_outcomes(client: SyncFHIRClient) -> None:
    with pytest.raises(OperationOutcome) as refused:
        client.resource("Patient", gender="f").save()
    assert "Patient.gender" in str(refused.value)
    with pytest.raises(OperationOutcome):
        client.resources("Patient").search(nickname="x").fetch()
    with pytest.raises(ResourceNotFound):
        client.resources("Patient").search(identifier=f"{CITIZEN}|nobody").get()
    tag = unique()
    for _ in range(2):
        client.resource("Patient", **_without_type(patient(tag))).save()
    with pytest.raises(MultipleResourcesFound):
        client.execute("Patient", method="put", data=patient(tag), params={"identifier": f"urn:tag|{tag}"})


def test_a_merge_patch_which_is_not_fhir_is_refused_with_advice(client: SyncFHIRClient) -> None:
    person = client.resource("Patient", **_without_type(patient()))
    person.save()

    with pytest.raises(OperationOutcome, match="JSON Patch"):
        client.patch("Patient", person.id, active=False)


async def test_the_asynchronous_client_does_the_same(base: str) -> None:
    client, tag = AsyncFHIRClient(base), unique()
    for _ in range(5):
        await client.resource("Patient", **_without_type(patient(tag))).save()
    found = client.resources("Patient").search(identifier=f"urn:tag|{tag}").limit(2)

    people = await found.fetch_all()
    people[0]["active"] = False
    await people[0].save()
    await people[1].delete()

    assert len(people) == 5
    assert (await client.reference("Patient", people[0].id).to_resource())["meta"]["versionId"] == "2"
    assert len(await client.resources("Patient").search(identifier=f"urn:tag|{tag}").fetch_all()) == 4
    with pytest.raises(ResourceNotFound):
        await client.reference("Patient", people[1].id).to_resource()
    history = await client.execute(f"Patient/{people[1].id}/_history", method="get")
    assert [e["request"]["method"] for e in history["entry"]] == ["DELETE", "POST"]


def _without_type(tree: Tree) -> Tree:
    return {key: value for key, value in tree.items() if key != "resourceType"}
