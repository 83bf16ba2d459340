"""AuditEvents after BALP: valid, in the right direction, one for each patient, and silent about secrets."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from fhir.resources.R4B.auditevent import AuditEvent
from hypothesis import given

from fhir_server.audit.coding import Origin
from fhir_server.audit.entry import Agent, Entry, Item
from fhir_server.audit.events import audit_events
from fhir_server.resources.codec import encode, with_meta
from fhir_server.validation import errors
from tests.audit.world import BACKEND, NOW, NURSE, entries

READ, WRITTEN, ASKED = ("read", "vread"), ("create", "update", "patch"), ("search-type", "search-compartment")


def entry(interaction: str, agent: Agent = NURSE, *patients: str, **changes: Any) -> Entry:
    item = () if interaction in ASKED else (Item("Observation", "o1", 2),)
    query = "" if item else "GET /Observation"
    made = Entry(NOW, interaction, 0, 200, "req-1", agent, "Observation", item, patients, query)
    return Entry(**{name: changes.get(name, getattr(made, name)) for name in made.__struct_fields__})


def events(of: Entry) -> list[dict[str, Any]]:
    return list(audit_events(of, Origin("https://a.example/fhir", "a.example")))


def codes(event: dict[str, Any]) -> list[str]:
    return [agent["type"]["coding"][0]["code"] for agent in event["agent"]]


@pytest.mark.parametrize("interaction", [*READ, *WRITTEN, *ASKED, "delete", "history-type", "operation"])
@pytest.mark.parametrize("agent", [NURSE, BACKEND, Agent("development")], ids=lambda agent: agent.client)
def test_every_event_is_valid_r4_to_our_validator_and_to_the_second_opinion(
    interaction: str, agent: Agent
) -> None:
    for event in events(entry(interaction, agent, "p1", "p2")):
        complete = with_meta(event, "p00-1-0-0", 1, "2026-01-01T00:00:00.000Z")

        assert errors(complete) == []
        assert AuditEvent.model_validate_json(encode(complete)).action == event["action"]


@pytest.mark.parametrize(
    ("interaction", "client", "server", "action"),
    [
        *((name, "110152", "110153", "R") for name in READ),
        *((name, "110153", "110152", name[0].upper().replace("P", "U")) for name in WRITTEN),
        *((name, "110153", "110152", "E") for name in ASKED),
        ("delete", "110150", "custodian", "D"),
    ],
)
def test_source_and_destination_are_as_balp_has_them(
    interaction: str, client: str, server: str, action: str
) -> None:
    event = events(entry(interaction))[0]

    assert codes(event)[:2] == [client, server]
    assert event["action"] == action


def test_there_is_one_event_for_each_patient() -> None:
    found = events(entry("search-type", NURSE, "p1", "p2", "p3"))

    named = [
        e["what"]["reference"] for event in found for e in event["entity"] if "role" in e and "what" in e
    ]
    assert named == ["Patient/p1", "Patient/p2", "Patient/p3"]
    assert all(event["meta"]["profile"][0].endswith("PatientQuery") for event in found)


def test_without_a_patient_there_is_one_event_and_no_patient_profile() -> None:
    (event,) = events(entry("read"))

    assert event["meta"]["profile"] == [
        "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.Read"
    ]


def test_a_query_is_kept_as_it_was_sent_and_told_as_it_was_understood() -> None:
    asked = entry(
        "search-type", query="GET /Observation", parameters=(("code", "a|<b>"),), meaning="Observation"
    )
    (query,) = [e for e in events(asked)[0]["entity"] if "query" in e]

    assert base64.b64decode(query["query"]).decode() == "GET /Observation?code=a%7C%3Cb%3E"
    assert query["description"] == "Observation"
    assert "what" not in query


def test_the_request_id_and_the_purpose_stand_on_every_event() -> None:
    for event in events(entry("read", NURSE, "p1", "p2")):
        assert event["entity"][0]["what"]["identifier"]["value"] == "req-1"
        assert event["purposeOfEvent"][0]["coding"][0]["code"] == "TREAT"
        assert event["agent"][2]["purposeOfUse"][0]["coding"][0]["code"] == "TREAT"


def test_a_token_is_told_by_its_id_on_the_one_who_asked() -> None:
    person, client = events(entry("read", NURSE))[0], events(entry("read", BACKEND))[0]

    assert person["agent"][2]["policy"] == ["urn:ietf:params:oauth:jti:jti-1"]
    assert "policy" not in person["agent"][0]
    assert client["agent"][0]["policy"] == ["urn:ietf:params:oauth:jti:jti-2"]


def test_exactly_one_agent_is_the_requestor() -> None:
    for agent in (NURSE, BACKEND):
        assert sum(each["requestor"] for each in events(entry("read", agent))[0]["agent"]) == 1


def test_a_refusal_says_so_and_claims_no_profile_of_success() -> None:
    refused = entry("read", outcome=8, status=403, issue="forbidden", text="Your scopes do not include it.")
    (event,) = events(refused)

    assert event["outcome"] == "8"
    assert event["outcomeDesc"] == "forbidden: Your scopes do not include it."
    assert "meta" not in event


def test_reasons_of_the_decision_are_details() -> None:
    (event,) = events(entry("read", reason=("Contract/7: expired",)))

    assert event["entity"][-1]["detail"][0]["valueString"] == "Contract/7: expired"


@given(entries)
def test_any_entry_becomes_events_as_many_as_patients(one: Entry) -> None:
    assert len(events(one)) == max(1, len(one.patients))
