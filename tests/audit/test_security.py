"""Security events as AuditEvents: valid R4, DICOM's words, and the page that lists them."""

from __future__ import annotations

from pathlib import Path

import pytest
from fhir.resources.R4B.auditevent import AuditEvent

from fhir_server.audit.coding import Origin
from fhir_server.audit.entry import Agent, Entry
from fhir_server.audit.events import audit_events
from fhir_server.audit.security import EVENTS
from fhir_server.resources.codec import encode, with_meta
from fhir_server.validation import errors
from tests.audit.world import NOW

PERSON = Agent("app", "Patient/1", roles=("patient",), address="10.0.0.1", account="li")
SCRIPT = Agent("robot", token="jti-1")
PAGE = Path(__file__).parents[2] / "docs" / "audit.md"


def entry(event: str, agent: Agent, target: str = "", *details: tuple[str, str]) -> Entry:
    return Entry(NOW, event, 0, 200, "", agent, target=target, details=details)


@pytest.mark.parametrize("agent", [PERSON, SCRIPT, Agent(""), Agent("", account="li")], ids=str)
@pytest.mark.parametrize("event", EVENTS)
def test_every_event_is_one_valid_audit_event(event: str, agent: Agent) -> None:
    for target in ("", "account li", "client app", "issuer x", "grant g", "token j"):
        [tree] = audit_events(entry(event, agent, target, ("scope", "a b")), Origin())
        complete = with_meta(tree, "p00-1-0-0", 1, "2026-01-01T00:00:00.000Z")

        assert errors(complete) == []
        assert AuditEvent.model_validate_json(encode(complete)).action == EVENTS[event].action
        assert sum(each["requestor"] for each in tree["agent"]) == 1


def test_a_log_in_has_dicoms_codes_and_names_person_app_and_server() -> None:
    [tree] = audit_events(entry("login", PERSON, "", ("methods", "pwd otp")), Origin("https://a.example"))

    assert tree["type"]["code"] == "110114"
    assert [each["code"] for each in tree["subtype"]] == ["110122", "login"]
    assert [agent["who"] for agent in tree["agent"]] == [
        {"identifier": {"system": "urn:fhir-server:client", "value": "app"}},
        {"identifier": {"system": "urn:fhir-server:account", "value": "li"}, "reference": "Patient/1"},
        {"display": "https://a.example"},
    ]
    assert tree["entity"] == [{"detail": [{"type": "methods", "valueString": "pwd otp"}]}]


def test_what_was_done_to_whom_is_the_entity() -> None:
    [tree] = audit_events(entry("account-add", PERSON, "account bo", ("roles", "patient")), Origin())

    assert tree["entity"][0]["what"]["identifier"] == {"system": "urn:fhir-server:account", "value": "bo"}
    assert tree["entity"][0]["role"]["code"] == "11"


def test_the_token_that_was_shown_is_the_policy_as_with_every_access() -> None:
    [tree] = audit_events(entry("client-remove", SCRIPT, "client app"), Origin())

    assert tree["agent"][0]["policy"] == ["urn:ietf:params:oauth:jti:jti-1"]


def test_the_page_lists_every_event_and_no_other() -> None:
    text = PAGE.read_text(encoding="utf-8")
    listed = {line.split("`")[1] for line in text.splitlines() if line.startswith("| `") and "1101" in line}

    assert listed == set(EVENTS)
