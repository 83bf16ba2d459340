"""Custom search parameters: defined, indexed by $reindex, searched by. https://hl7.org/fhir/R4/async.html"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from fhir_server.app import create_app
from fhir_server.jobs.runner import JobRunner
from fhir_server.resources.codec import decode
from fhir_server.search import custom
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import Store
from tests.http.samples import unique
from tests.http.server import BASE, Server, Tree, load, matches, refused

RACE = "http://hospital.example.org/fhir/StructureDefinition/ethnic-group"


def definition(**changes: Any) -> Tree:
    code = changes.get("code", "ethnic-group")
    made: Tree = {
        "resourceType": "SearchParameter",
        "url": f"http://hospital.example.org/fhir/SearchParameter/{code}",
        "name": "EthnicGroup",
        "status": "active",
        "description": "Search by ethnic group (民族).",
        "code": code,
        "base": ["Patient"],
        "type": "token",
        "expression": f"Patient.extension('{RACE}').value.ofType(CodeableConcept)",
    }
    return {**made, **changes}


def person(code: str, **more: Any) -> Tree:
    value = {"coding": [{"system": "urn:gb:3304", "code": code}]}
    return {"resourceType": "Patient", "extension": [{"url": RACE, "valueCodeableConcept": value}], **more}


def wait(server: Server) -> None:
    """Let the server's own tasks run for a moment."""
    server._runner.run(asyncio.sleep(0.02))


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Keep jobs from being begun for as long as the list is not emptied."""
    holding, run_next = [True], JobRunner.run_next

    async def run(self: JobRunner) -> bool:
        return False if holding else await run_next(self)

    monkeypatch.setattr(JobRunner, "run_next", run)
    return holding


def ended(server: Server, address: str) -> httpx.Response:
    """Ask until the job has ended."""
    until = time.monotonic() + 20
    while True:
        answer = server.get(address)
        if answer.status_code != 202:
            return answer
        assert time.monotonic() < until, "the reindex does not end"
        wait(server)


def reindexed(server: Server, path: str = "$reindex") -> Tree:
    """Run a reindex to its end, which must be good."""
    answer = server.post(path, None)
    assert answer.status_code == 202, answer.text
    done = ended(server, answer.headers["content-location"])
    assert done.status_code == 200, done.text
    return load(done)


def test_a_parameter_finds_old_and_new_resources_after_reindex(serve: Callable[..., Server]) -> None:
    server = serve()
    old = server.create(person("HA"))["id"]
    server.create(person("ZA"))
    server.create(definition())
    refused(server.get("Patient?ethnic-group=HA"), 400, "not-supported")

    told = reindexed(server)

    values = {each["name"]: each for each in told["parameter"]}
    assert values["resources"]["valueInteger"] == 3
    assert server.find("Patient?ethnic-group=urn:gb:3304|HA") == [old]
    new = server.create(person("HA"))["id"]
    assert server.find("Patient?ethnic-group=HA&_sort=_id") == sorted([old, new])
    assert server.find("Patient?ethnic-group:not=HA&ethnic-group:missing=false") != []
    assert server.find("Observation?patient.ethnic-group=HA") == []


def test_an_updated_or_deleted_resource_leaves_no_row_behind(serve: Callable[..., Server]) -> None:
    server = serve()
    changed, deleted = (server.create(person("HA"))["id"] for _ in range(2))
    server.create(definition())
    reindexed(server)

    server.put(f"Patient/{changed}", person("ZA", id=changed))
    server.delete(f"Patient/{deleted}")

    assert server.find("Patient?ethnic-group=HA") == []
    assert server.find("Patient?ethnic-group=ZA") == [changed]


def test_the_capability_statement_lists_it_once_it_is_active(serve: Callable[..., Server]) -> None:
    server = serve()

    def listed() -> bool:
        [rest] = load(server.get("metadata"))["rest"]
        [patient] = [each for each in rest["resource"] if each["type"] == "Patient"]
        return "ethnic-group" in {each["name"] for each in patient["searchParam"]}

    server.create(definition())
    assert not listed()
    reindexed(server)
    assert listed()


def test_it_is_still_active_after_a_restart(serve: Callable[..., Server]) -> None:
    server = serve()
    found = server.create(person("HA"))["id"]
    server.create(definition())
    reindexed(server)

    server.stop()
    server.start()

    assert server.find("Patient?ethnic-group=HA") == [found]


def test_another_process_notices_the_activation_and_writes_by_it(serve: Callable[..., Server]) -> None:
    server = serve()
    old = server.create(person("HA"))["id"]
    server.create(definition())
    other = create_app(server._settings)
    server._runner.run(other.start())
    client = httpx.AsyncClient(transport=httpx.ASGITransport(other), base_url=f"{BASE}/", timeout=60)
    try:
        ask = client.get("Patient?ethnic-group=HA")
        assert server._runner.run(ask).status_code == 400
        reindexed(server)

        made = server._runner.run(client.post("Patient", json=person("HA")))
        assert made.status_code == 201

        found = matches(load(server._runner.run(client.get("Patient?ethnic-group=HA"))))
        assert sorted(found) == sorted([old, load(made)["id"]])
        assert sorted(server.find("Patient?ethnic-group=HA")) == sorted(found)
    finally:
        server._runner.run(client.aclose())
        server._runner.run(other.stop())


def test_a_changed_definition_is_built_anew(serve: Callable[..., Server]) -> None:
    server = serve()
    made = server.create(person("HA", maritalStatus={"coding": [{"code": "M"}]}))["id"]
    id_ = server.create(definition())["id"]
    reindexed(server)

    server.put(f"SearchParameter/{id_}", definition(id=id_, expression="Patient.maritalStatus"))
    assert server.find("Patient?ethnic-group=HA") == [made]
    reindexed(server)

    assert server.find("Patient?ethnic-group=M") == [made]
    assert server.find("Patient?ethnic-group=HA") == []


def test_a_retired_or_deleted_definition_is_gone_after_reindex(serve: Callable[..., Server]) -> None:
    server = serve()
    server.create(person("HA"))
    id_ = server.create(definition())["id"]
    reindexed(server)
    server.delete(f"SearchParameter/{id_}")

    reindexed(server)

    refused(server.get("Patient?ethnic-group=HA"), 400, "not-supported")


def test_while_it_is_built_a_search_says_so(serve: Callable[..., Server]) -> None:
    server = serve()
    for _ in range(3):
        server.create(person("HA"))
    server.create(definition())
    assert server._app._service is not None
    assert server._runner.run(_first_step(server._app._service.store)) == 1

    answer = refused(server.get("Patient?ethnic-group=HA"), 400, "not-supported")
    assert "being built" in answer["diagnostics"]
    lenient = load(server.get("Patient?ethnic-group=HA", prefer="handling=lenient"))
    [told] = [e["resource"] for e in lenient["entry"] if e["search"]["mode"] == "outcome"]
    assert "being built" in told["issue"][0]["diagnostics"]


async def _first_step(store: Store) -> int:
    """Write the new set of parameters down as a reindex does first, and stop there."""
    wanted = [
        each
        async for stored in store.scan(Visibility.everything("test"), "SearchParameter")
        if (each := custom.compiled(decode(stored.body)))
    ]
    generation, _ = await store.parameters.read()
    await store.parameters.write(custom.write(wanted), generation)
    return len(wanted)


def test_one_type_may_be_reindexed_alone(serve: Callable[..., Server]) -> None:
    server = serve()
    server.create(person("HA"))

    told = reindexed(server, "Patient/$reindex")

    assert {each["name"]: each for each in told["parameter"]}["resources"]["valueInteger"] == 1


def test_a_second_reindex_waits_for_the_first_to_end(serve: Callable[..., Server], held: list[bool]) -> None:
    server = serve()
    first = server.post("$reindex", None)

    second = server.post("$reindex", None)

    refused(second, 409, "conflict")
    assert second.headers["content-location"] == first.headers["content-location"]
    held.clear()
    assert ended(server, first.headers["content-location"]).status_code == 200


def test_a_reindex_can_be_cancelled(serve: Callable[..., Server], held: list[bool]) -> None:
    server = serve()
    address = server.post("$reindex", None).headers["content-location"]

    assert server.delete(address).status_code == 202

    held.clear()
    refused(ended(server, address), 404, "not-found")
    reindexed(server)


def test_two_definitions_of_one_code_fail_the_reindex_with_a_sentence(serve: Callable[..., Server]) -> None:
    server = serve()
    server.create(definition())
    server.create(definition(url="http://hospital.example.org/fhir/SearchParameter/other"))

    answer = server.post("$reindex", None)

    issue = refused(ended(server, answer.headers["content-location"]), 422, "processing")
    assert "Two SearchParameters define ethnic-group of Patient" in issue["diagnostics"]


@pytest.mark.parametrize("query", ["", "?job=unknown", "?other=1"])
def test_a_job_that_is_not_known_is_refused(server: Server, query: str) -> None:
    assert server.get(f"$reindex-status{query}").status_code in {400, 404}


def test_reindex_changes_data_and_so_takes_no_get(server: Server) -> None:
    refused(server.get("$reindex"), 405, "not-supported")
    refused(server.post("$reindex?type=Nothing", None), 400, "value")
    refused(server.post("$reindex?since=2020", None), 400, "not-supported")


@pytest.mark.parametrize(
    ("changes", "element"),
    [
        ({"code": "birthdate"}, "code"),
        ({"code": "_mine"}, "code"),
        ({"type": "composite"}, "type"),
        ({"type": "special"}, "type"),
        ({"base": ["Resource"]}, "base"),
        ({"expression": None}, "expression"),
        ({"expression": "Patient.name.where("}, "expression"),
        ({"expression": "Patient.name.first().family"}, "expression"),
        ({"expression": "Patient.noSuchElement"}, "expression"),
        ({"expression": "Observation.code"}, "expression"),
        ({"expression": "Patient.photo"}, "expression"),
        ({"expression": "(" * 70 + "Patient.gender" + ")" * 70}, "expression"),
    ],
)
def test_a_definition_that_cannot_be_searched_by_is_refused(
    server: Server, changes: Tree, element: str
) -> None:
    tree = {
        key: value for key, value in definition(**{"code": unique(), **changes}).items() if value is not None
    }

    answer = server.post("SearchParameter", tree)

    refused(answer, 422, "business-rule", f"SearchParameter.{element}")
    told = load(server.post("SearchParameter/$validate", tree))["issue"]
    wrong = [issue["expression"] for issue in told if issue["severity"] == "error"]
    assert wrong == [[f"SearchParameter.{element}"]]


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "http://hl7.org/fhir/SearchParameter/individual-birthdate", "code": "birthdate"},
        {
            "code": "birthdate",
            "derivedFrom": "http://hl7.org/fhir/SearchParameter/individual-birthdate",
        },
        {"status": "retired", "expression": "Patient.noSuchElement"},
    ],
)
def test_r4s_own_definitions_and_retired_ones_are_stored_as_they_are(server: Server, changes: Tree) -> None:
    assert server.post("SearchParameter", definition(**{"code": unique(), **changes})).status_code == 201
