"""Breaking the glass: who may, what it lifts, until when, and who is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fhir_server.clock import now_ms
from fhir_server.consent.asking import Asking, breaker
from fhir_server.consent.compile import compile_rule
from fhir_server.consent.rule import NO_TERMS, clause, rule
from fhir_server.search.predicate import NOTHING
from fhir_server.store.mongo.store import Options as MongoOptions
from fhir_server.store.sqlite.store import Options as SqliteOptions
from tests.consent.filed import ACT, HERE, MINE, PSY, consent, deny_all, sad
from tests.http.server import Tree, load, matches, refused
from tests.leak.house import ROOT, Guarded, guarded, token

REASON = {"resourceType": "Parameters", "parameter": [{"name": "reason", "valueString": "unconscious, 昏迷"}]}
EMERGENCY = {"x_purpose_of_use": "BTG"}
MINUTE = 60_000


def _an_hour_later() -> int:
    return now_ms() + 61 * MINUTE


def doctor(user: str = "Practitioner/doctor", organization: str = "Organization/here") -> str:
    return token("user/*.rs", fhirUser=user, organization=organization, purposes=["TREAT", "BTG", "HRESCH"])


DOCTOR = doctor()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Guarded]:
    """Serve a patient who denies the own hospital mental health, and a doctor by role."""
    with guarded(tmp_path) as server:
        with server.as_(ROOT):
            role = {
                "resourceType": "PractitionerRole",
                "practitioner": {"reference": "Practitioner/doctor"},
                "organization": {"reference": "Organization/here"},
                "code": [
                    {
                        "coding": [
                            {
                                "system": "http://terminology.hl7.org/CodeSystem/practitioner-role",
                                "code": "doctor",
                            }
                        ]
                    }
                ],
            }
            server.create(role)
        server.hidden = sad(server)  # type: ignore[attr-defined]
        with server.as_(MINE):
            server.create(consent(HERE, PSY, permit=False))
        yield server


def opened(house: Guarded, bearer: str = DOCTOR, **headers: str) -> Tree:
    with house.as_(bearer):
        answer = house.post("Patient/mine/$break-glass", REASON, **(headers or EMERGENCY))
        assert answer.status_code == 200, answer.text
        return {each["name"]: each for each in load(answer)["parameter"]}


def sees(house: Guarded, bearer: str = DOCTOR, purpose: str = "BTG") -> bool:
    hidden: str = house.hidden  # type: ignore[attr-defined]
    with house.as_(bearer):
        answer = house.get(f"Condition/{hidden}", x_purpose_of_use=purpose)
        found = load(house.get("Condition?patient=mine", x_purpose_of_use=purpose))
        assert (answer.status_code == 200) == (hidden in matches(found))
        return answer.status_code == 200


def test_a_doctor_sees_for_a_while_what_was_hidden_and_for_that_purpose_alone(
    house: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not sees(house)
    opened(house)

    assert sees(house)
    assert not sees(house, purpose="TREAT")
    assert not sees(house, purpose="HRESCH")
    assert not sees(house, doctor("Practitioner/other"))
    for options in (SqliteOptions, MongoOptions):
        defaults = options.__init__.__defaults__
        shifted = tuple(_an_hour_later if each is now_ms else each for each in defaults or ())
        monkeypatch.setattr(options.__init__, "__defaults__", shifted)
    house.stop()
    house.start()
    assert not sees(house)


@pytest.mark.parametrize(
    ("organization", "is_open"), [("Organization/a", True), ("Organization/b", False), (None, False)]
)
def test_glass_that_was_broken_as_staff_of_one_organisation_is_whole_for_another(
    organization: str | None, *, is_open: bool
) -> None:
    denied = rule([clause(NO_TERMS, (), permit=False)], [breaker("Practitioner/1", "Organization/a")])
    asking = Asking(organization=organization, user="Practitioner/1", purpose="BTG")

    assert (compile_rule(denied, asking, "Condition") != NOTHING) is is_open


def test_the_patient_and_the_privacy_officer_are_told(house: Guarded) -> None:
    told = opened(house)

    with house.as_(MINE):
        message = load(house.get(told["communication"]["valueReference"]["reference"]))
        assert "unconscious" in message["payload"][0]["contentString"]
        assert "昏迷" in message["payload"][1]["contentString"]
    with house.as_(token("system/Task.rs", client_id="office", organization="Organization/here")):
        task = load(house.get(told["task"]["valueReference"]["reference"]))
        assert task["code"]["coding"][0]["code"] == "break-glass-review"
        assert task["owner"] == {"reference": "Organization/here"}
        assert task["requester"] == {"reference": "Practitioner/doctor"}


def test_a_patient_who_denies_the_hospital_everything_hides_no_review_of_who_broke_the_glass(
    house: Guarded,
) -> None:
    """Nor any other Task for the patient than the review is shown for that, nor the review to others."""
    with house.as_(ROOT):
        for tree in deny_all("mine", "Organization/here"):
            house.create(tree)
        other = {
            "resourceType": "Task",
            "status": "requested",
            "intent": "order",
            "for": {"reference": "Patient/mine"},
        }
        hidden_task = house.create({**other, "owner": {"reference": "Organization/here"}})["id"]
    told = opened(house)
    review, message = (told[name]["valueReference"]["reference"] for name in ("task", "communication"))

    office = {"client_id": "office", "organization": "Organization/here"}
    for bearer in (token("system/*.rs", **office), token("system/*.rs", purposes=["TREAT"], **office)):
        with house.as_(bearer):
            assert house.find("Task") == [review.partition("/")[2]]
            assert house.get(review).status_code == 200
            assert house.get(f"Task/{hidden_task}").status_code == 404
    with house.as_(token("system/*.rs", client_id="office", organization="Organization/there")):
        assert house.get(review).status_code == 404
    with house.as_(token("system/*.rs", client_id="portal", purposes=["TREAT"])):
        assert house.get(review).status_code == 404
    with house.as_(MINE):
        assert house.get(message).status_code == 200


def test_what_is_proof_against_emergencies_stays_closed(house: Guarded) -> None:
    with house.as_(ROOT):
        note = {
            "resourceType": "Observation",
            "status": "final",
            "code": {"text": "session"},
            "subject": {"reference": "Patient/mine"},
            "meta": {"security": [{"system": ACT, "code": "PSYTHPN"}]},
        }
        secret = house.create(note)["id"]
    opened(house)

    with house.as_(DOCTOR):
        assert house.get(f"Observation/{secret}", **EMERGENCY).status_code == 404
    assert sees(house)


@pytest.mark.parametrize(
    ("bearer", "purpose", "body", "status"),
    [
        (DOCTOR, "TREAT", REASON, 403),
        (doctor("Practitioner/nobody"), "BTG", REASON, 403),
        (doctor("RelatedPerson/mother"), "BTG", REASON, 403),
        (DOCTOR, "BTG", {"resourceType": "Parameters"}, 400),
        (
            DOCTOR,
            "BTG",
            {"resourceType": "Parameters", "parameter": [{"name": "reason", "valueString": " "}]},
            400,
        ),
    ],
    ids=["purpose", "role", "proxy", "no reason", "blank reason"],
)
def test_who_lacks_purpose_role_or_reason_opens_nothing(
    house: Guarded, bearer: str, purpose: str, body: Tree, status: int
) -> None:
    with house.as_(bearer):
        answer = house.post("Patient/mine/$break-glass", body, x_purpose_of_use=purpose)
        assert answer.status_code == status, answer.text
    assert not sees(house)


def test_a_patient_out_of_reach_is_not_known_broken_glass_or_not(house: Guarded) -> None:
    """It lifts consent: no scope, no compartment and no agreement."""
    with house.as_(DOCTOR):
        refused(house.post("Patient/hidden/$break-glass", REASON, **EMERGENCY), 404, "not-found")
        refused(house.post("Patient/nobody/$break-glass", REASON, **EMERGENCY), 404, "not-found")
        refused(house.get("Patient/mine/$break-glass?reason=x", **EMERGENCY), 405, "not-supported")
