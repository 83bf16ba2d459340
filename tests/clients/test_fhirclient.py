"""fhirclient (SMART on FHIR's Python client) reads and writes the server. https://github.com/smart-on-fhir/client-py"""

from __future__ import annotations

import pytest
from fhirclient import client as smart
from fhirclient.models.bundle import Bundle
from fhirclient.models.observation import Observation
from fhirclient.models.patient import Patient
from fhirclient.server import FHIRNotFoundException, FHIRServer

from tests.clients.test_fhirpy import plain
from tests.http.samples import observation, patient, unique
from tests.http.server import bundle, entry

URN = "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"


@pytest.fixture(scope="module")
def server(base: str) -> FHIRServer:
    """Connect; the client reads the CapabilityStatement and accepts it."""
    connected = smart.FHIRClient(settings={"app_id": "tests", "api_base": base})
    assert connected.prepare()
    return connected.server


def test_the_capability_statement_is_one_that_the_client_understands(server: FHIRServer) -> None:
    statement = server.capabilityStatement

    assert statement.fhirVersion == "4.0.1"
    assert len(statement.rest[0].resource) == 146


def test_creates_reads_updates_and_deletes(server: FHIRServer) -> None:
    made = Patient(patient()).create(server)
    person = Patient.read(made["id"], server)
    person.active = False
    updated = person.update(server)

    again = Patient.read(made["id"], server)
    assert (again.active, again.meta.versionId, updated["meta"]["versionId"]) == (False, "2", "2")
    assert again.name[0].family == patient()["name"][0]["family"]
    history = Bundle(server.request_json(f"Patient/{made['id']}/_history"))
    assert [e.request.method for e in history.entry] == ["PUT", "POST"]

    again.delete()
    with pytest.raises(Exception, match="410"):
        Patient.read(made["id"], server)
    with pytest.raises(FHIRNotFoundException):
        Patient.read("nobody", server)


def test_searches_and_follows_pages_to_the_end(server: FHIRServer) -> None:
    tag = unique()
    for _ in range(5):
        Patient(patient(tag)).create(server)
    search = Patient.where({"identifier": f"urn:tag|{tag}", "_count": "2"})

    pages = list(search.perform_iter(server))
    found = [person.id for page in pages for person in (e.resource for e in page.entry)]

    assert [len(page.entry) for page in pages] == [2, 2, 1]
    assert len(set(found)) == 5
    assert len(list(search.perform_resources_iter(server))) == 5


def test_a_transaction_and_includes(server: FHIRServer) -> None:
    tag = unique()
    sent = Bundle(
        bundle(
            "transaction",
            [
                entry("POST", "Patient", patient(tag), full_url=URN),
                entry("POST", "Observation", plain(observation(URN))),
            ],
        )
    )

    answer = Bundle(server.post_json("", sent.as_json()).json())
    search = Observation.where({"patient.identifier": f"urn:tag|{tag}"}).include("subject")
    found = next(search.perform_iter(server))

    assert [e.response.status[:3] for e in answer.entry] == ["201", "201"]
    assert [e.resource.resource_type for e in found.entry] == ["Observation", "Patient"]
    assert found.entry[0].resource.valueQuantity.value == 120.5
