"""The audit through the front door: every access and every refusal is there before its answer is."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from fhir_server.audit.entry import Entry
from fhir_server.audit.files import FileHold
from fhir_server.audit.mongodb.hold import MongoHold
from fhir_server.interactions.context import Context
from fhir_server.interactions.request import CLIENT_GONE, Reply
from fhir_server.interactions.runner import INTERACTIONS
from fhir_server.rest import hangup
from tests.audit.hands import hands_on
from tests.audit.world import checked, shelf_in, written
from tests.http.server import Server, entry, load, refused, served, statuses

Tree = dict[str, Any]
EVENT: Tree = {
    "resourceType": "AuditEvent",
    "type": {"code": "rest"},
    "recorded": "2026-01-01T00:00:00Z",
    "agent": [{"requestor": True}],
    "source": {"observer": {"display": "x"}},
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with served(tmp_path) as one:
        yield one


def patient(server: Server, id_: str) -> None:
    assert server.put(f"Patient/{id_}", {"resourceType": "Patient", "id": id_}).status_code == 201


def observation(server: Server, id_: str, of: str) -> Tree:
    tree: Tree = {
        "resourceType": "Observation",
        "id": id_,
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": f"Patient/{of}"},
    }
    assert server.put(f"Observation/{id_}", tree).status_code == 201
    return tree


def log(server: Server) -> list[Entry]:
    return written(server.folder)


def last(server: Server) -> Entry:
    return log(server)[-1]


def index(server: Server) -> None:
    service = server._app._service
    assert service is not None
    assert service.audit is not None
    server._runner.run(service.audit.indexer.catch_up())


def events(server: Server, query: str) -> list[Tree]:
    index(server)
    return [each["resource"] for each in load(server.get(f"AuditEvent?{query}&_count=100")).get("entry", [])]


@pytest.mark.every_engine
def test_a_read_is_in_the_log_when_its_answer_is_there(server: Server) -> None:
    patient(server, "p1")
    observation(server, "o1", "p1")
    response = server.get("Observation/o1", x_request_id="my-id")

    found = last(server)
    assert response.headers["x-request-id"] == found.request == "my-id"
    assert (found.interaction, found.outcome, found.status) == ("read", 0, 200)
    assert [(item.type, item.id, item.version) for item in found.items] == [("Observation", "o1", 1)]
    assert found.patients == ("p1",)
    assert found.agent.client == "development"
    assert found.agent.address == "127.0.0.1"


@pytest.mark.parametrize(
    ("method", "path", "interaction"),
    [
        ("GET", "Patient/none", "read"),
        ("GET", "Patient?nonsense=1", "search-type"),
        ("GET", "Patient/p1/$nonsense", "operation"),
        ("POST", "Patient", "create"),
        ("DELETE", "AuditEvent/x", "delete"),
    ],
)
def test_every_refusal_is_in_the_log_too(server: Server, method: str, path: str, interaction: str) -> None:
    body = {"resourceType": "Patient", "gender": "planted"} if method == "POST" else None
    response = server(method, path, body)

    found = last(server)
    assert (found.interaction, found.status) == (interaction, response.status_code)
    assert found.outcome in {4, 8}
    assert found.text
    assert "planted" not in found.text


def test_a_body_that_cannot_be_read_is_a_refusal_in_the_log(server: Server) -> None:
    refused(server("POST", "Patient", b"{", content_type="application/fhir+json"), 400, "structure")

    assert (last(server).interaction, last(server).issue) == ("create", "structure")


def test_a_search_that_is_given_up_because_its_client_has_gone_is_in_the_log(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hung_up(_context: Context) -> Reply:
        await asyncio.sleep(60)
        raise AssertionError

    monkeypatch.setattr(hangup.Watched.__init__, "__defaults__", (0.0,))
    monkeypatch.setitem(INTERACTIONS, "search-type", hung_up)  # type: ignore[arg-type]  # it is a dict
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/fhir/Patient",
        "query_string": b"name=x",
        "headers": [(b"host", b"localhost")],
    }
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    server._runner.run(server._app(scope, receive, send))

    server.get("Patient/none")  # whose entry is durable, and stands behind the other one
    found = log(server)[-2]
    assert sent == []
    assert (found.interaction, found.query, found.issue) == ("search-type", "GET /Patient", "incomplete")
    assert found.text == CLIENT_GONE


def test_the_capabilities_are_open_and_not_recorded(server: Server) -> None:
    server.get("metadata")

    assert log(server) == []


def test_a_search_names_each_patient_once_and_none_of_its_results(server: Server) -> None:
    for id_ in ("p1", "p2", "p3"):
        patient(server, id_)
    for number, of in enumerate(("p1", "p2", "p1")):
        observation(server, f"o{number}", of)
    server.get("Observation?status=final")

    found = last(server)
    assert (set(found.patients), found.items) == ({"p1", "p2"}, ())
    mine = [e for e in events(server, "patient=Patient/p2") if e["action"] == "E"]
    assert len(mine) == 1
    (query,) = [e for e in mine[0]["entity"] if "query" in e]
    assert base64.b64decode(query["query"]) == b"GET /Observation?status=final"
    assert query["description"] == "Observation?status=final"


def test_a_page_says_what_was_searched_and_names_its_own_patients_alone(server: Server) -> None:
    for id_ in ("p1", "p2"):
        patient(server, id_)
    pages = list(server.pages("Patient?_count=1"))

    searches = [e for e in log(server) if e.interaction == "search-type"]
    assert len(pages) == len(searches) == 2
    assert [e.patients for e in searches] == [("p1",), ("p2",)]
    assert all("_count=1" in e.meaning for e in searches)


def test_what_is_included_names_its_patients_too(server: Server) -> None:
    patient(server, "p1")
    server.create({"resourceType": "Encounter", "status": "planned", "class": {"code": "AMB"}})
    observation(server, "o1", "p1")
    server.get("Patient?_id=p1&_revinclude=Observation:subject")

    assert last(server).patients == ("p1",)


def test_a_count_alone_names_nobody(server: Server) -> None:
    patient(server, "p1")
    server.get("Patient?_summary=count")

    assert last(server).patients == ()


def test_a_batch_and_a_transaction_are_recorded_entry_by_entry_under_one_id(server: Server) -> None:
    patient(server, "p1")
    for type_ in ("batch", "transaction"):
        body = {
            "resourceType": "Bundle",
            "type": type_,
            "entry": [
                entry("POST", "Patient", {"resourceType": "Patient"}),
                entry("GET", "Patient/p1"),
                entry("PUT", f"Patient/{type_}", {"resourceType": "Patient", "id": type_}),
            ],
        }
        before = len(log(server))
        assert statuses(load(server.post("", body, x_request_id=type_))) == [201, 200, 201]

        found = log(server)[before:]
        assert sorted(e.interaction for e in found) == ["create", "read", "update"]
        assert {e.request for e in found} == {type_}
        assert all(e.created for e in found if e.interaction != "read")


def test_an_entry_that_is_refused_is_recorded_as_refused(server: Server) -> None:
    body = {"resourceType": "Bundle", "type": "batch", "entry": [entry("GET", "Patient/none")]}
    server.post("", body)

    assert (last(server).interaction, last(server).status) == ("read", 404)


def test_a_refused_transaction_is_one_refusal_and_no_write(server: Server) -> None:
    bad = {"resourceType": "Patient", "gender": "?"}
    response = server.transact(
        entry("POST", "Patient", {"resourceType": "Patient"}), entry("POST", "Patient", bad)
    )

    assert response.status_code == 422
    assert [(e.interaction, e.status) for e in log(server)] == [("transaction", 422)]


def test_a_record_that_moves_to_another_patient_is_told_to_both(server: Server) -> None:
    for id_ in ("p1", "p2"):
        patient(server, id_)
    tree = observation(server, "o1", "p1")
    server.put("Observation/o1", {**tree, "subject": {"reference": "Patient/p2"}})

    assert set(last(server).patients) == {"p1", "p2"}


def test_a_deletion_is_told_to_the_patient_whose_record_it_was(server: Server) -> None:
    patient(server, "p1")
    observation(server, "o1", "p1")
    server.delete("Observation/o1")

    assert (last(server).interaction, last(server).patients) == ("delete", ("p1",))


@pytest.mark.every_engine
def test_a_patient_finds_who_looked_newest_first_and_nobody_elses(server: Server) -> None:
    for id_ in ("p1", "p2"):
        patient(server, id_)
        server.get(f"Patient/{id_}")

    found = events(server, "patient=Patient/p1&_sort=-date")

    assert [event["action"] for event in found] == ["R", "C"]
    assert "p2" not in str(found)
    assert load(server.get(f"AuditEvent/{found[0]['id']}")) == found[0]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "AuditEvent", EVENT),
        ("PUT", "AuditEvent/p00-1-0-0", {**EVENT, "id": "p00-1-0-0"}),
        ("PUT", "AuditEvent?outcome=0", EVENT),
        ("PATCH", "AuditEvent/p00-1-0-0", [{"op": "replace", "path": "/outcome", "value": "8"}]),
        ("DELETE", "AuditEvent/p00-1-0-0", None),
        ("DELETE", "AuditEvent?outcome=0", None),
        (
            "POST",
            "",
            {"resourceType": "Bundle", "type": "transaction", "entry": [entry("POST", "AuditEvent", EVENT)]},
        ),
        (
            "POST",
            "",
            {
                "resourceType": "Bundle",
                "type": "transaction",
                "entry": [entry("DELETE", "AuditEvent/p00-1-0-0")],
            },
        ),
        (
            "POST",
            "AuditEvent/p00-1-0-0/$meta-add",
            {
                "resourceType": "Parameters",
                "parameter": [{"name": "meta", "valueMeta": {"tag": [{"code": "x"}]}}],
            },
        ),
    ],
)
def test_nobody_writes_changes_or_deletes_an_audit_event(
    server: Server, method: str, path: str, body: Any
) -> None:
    patient(server, "p1")
    index(server)
    kept = load(server.get("AuditEvent/p00-1-0-0"))

    refused(server(method, path, body), 405, "not-supported")

    assert load(server.get("AuditEvent/p00-1-0-0")) == kept


def test_the_capabilities_claim_no_way_to_write_one(server: Server) -> None:
    resources = load(server.get("metadata"))["rest"][0]["resource"]
    (own,) = [each for each in resources if each["type"] == "AuditEvent"]

    codes = {each["code"] for each in own["interaction"]}
    assert codes == {"read", "vread", "history-instance", "history-type", "search-type"}
    assert not own["updateCreate"]


def test_a_search_through_the_audit_is_refused(server: Server) -> None:
    refused(server.get("AuditEvent?patient.name=x"), 400, "not-supported")
    refused(server.get("Patient?_has:AuditEvent:patient:outcome=0"), 400, "not-supported")


@contextmanager
def unwritable() -> Iterator[None]:
    """Have nothing written to the log: a full disk, or a database that does not answer."""

    def full(_self: object, _frames: bytes, _offset: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(FileHold, "append", full)
        broken.setattr(MongoHold, "append", full)
        yield


@pytest.mark.every_engine
def test_what_cannot_be_recorded_is_not_answered(server: Server) -> None:
    patient(server, "p1")
    with unwritable():
        response = server.get("Patient/p1")
    assert response.status_code == 503
    assert "Retry-After" in response.headers
    assert 'resourceType":"Patient' not in response.text

    assert server.get("Patient/p1").status_code == 200
    assert [e.interaction for e in log(server)] == ["update", "read"]


@pytest.mark.every_engine
def test_it_is_answered_with_an_alarm_when_the_setting_says_so(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with served(tmp_path, audit_failure="continue") as server:
        patient(server, "p1")
        with unwritable():
            assert server.get("Patient/p1").status_code == 200
    said = "".join(capfd.readouterr())
    assert "in no audit log" in said
    assert "p1" not in said


@pytest.mark.every_engine
def test_what_was_indexed_twice_is_there_once(server: Server) -> None:
    patient(server, "p1")
    index(server)
    with closing(shelf_in(server.folder)) as shelf:
        hands_on(shelf, server.folder / "audit").forget_positions()
    server.get("Patient/p1")

    ids = [event["id"] for event in events(server, "patient=Patient/p1&_sort=date")]

    assert ids == ["p00-1-0-0", "p00-1-1-0"]


@pytest.mark.every_engine
def test_an_index_that_is_lost_is_made_anew_of_the_log(server: Server) -> None:
    patient(server, "p1")
    before = events(server, "patient=Patient/p1&_sort=date")
    server.stop()
    with closing(shelf_in(server.folder)) as shelf:
        shelf.forget_index()
    server.start()

    # Who asked for the audit of p1 looked at p1's record as well.
    assert events(server, "patient=Patient/p1&_sort=date")[: len(before)] == before
    assert checked(server.folder).findings == ()
