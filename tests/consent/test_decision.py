"""Patient/$consent-decision: what it answers is what the asker gets, and nobody else is answered."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest

from fhir_server.access.agreements import contract
from tests.consent.filed import MINE, PSY, consent, sad
from tests.http.server import Tree, load, refused
from tests.leak.house import DOCTOR, HOSPITAL, PROXY, ROOT, Guarded, guarded, token
from tests.leak.test_agreements import SIGNATURE, agreement, store

PURPOSES = ["TREAT", "HPAYMT", "HRESCH"]
HERE, THERE = "Organization/here", "Organization/there"
PRIVACY = token("user/*.rs", fhirUser="Practitioner/officer", roles=["security-administrator"])


def actor(*references: str) -> Tree:
    role = {"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}
    return {"actor": [{"role": {"coding": [role]}, "reference": {"reference": each}} for each in references]}


def shared(server: Guarded) -> None:
    """Share what ``here`` has with ``there`` by a signed agreement, for any purpose."""
    covered = agreement(
        receiver=THERE,
        grantors=(HERE,),
        types=frozenset({"Patient", "Observation", "Condition"}),
        purposes=frozenset(),
    )
    store(server, contract(covered, SIGNATURE))


@pytest.fixture(scope="module")
def sad_id() -> list[str]:
    return []


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, sad_id: list[str]) -> Iterator[Guarded]:
    """Serve a patient of ``here`` with a sad diagnosis, whose records are shared with ``there``."""
    with guarded(tmp_path_factory.mktemp("decision")) as server:
        sad_id.append(sad(server))
        shared(server)
        with server.as_(MINE):
            server.create(consent(PSY, actor(THERE), permit=False, uri="urn:1", purpose=["TREAT"]))
            server.create(consent(permit=True, uri="urn:2", purpose=["HPAYMT"]))
        yield server


def value(part: Tree) -> object:
    return next(held for name, held in part.items() if name.startswith("value"))


def decided(house: Guarded, query: str, bearer: str = MINE) -> Tree:
    with house.as_(bearer):
        response = house.get(f"Patient/mine/$consent-decision?{query}")
    assert response.status_code == 200, response.text
    parts = load(response)["parameter"]
    found: Tree = {each["name"]: value(each) for each in parts if each["name"] != "verdict"}
    found["verdicts"] = [each["part"] for each in parts if each["name"] == "verdict"]
    return found


def of(verdict: list[Tree], name: str) -> list[object]:
    return [each["part"] if "part" in each else value(each) for each in verdict if each["name"] == name]


@pytest.mark.parametrize(("organization", "purpose"), list(product((HERE, THERE), PURPOSES)))
def test_the_answer_is_what_the_asker_gets(
    house: Guarded, sad_id: list[str], organization: str, purpose: str
) -> None:
    bearer = token("system/*.rs", client_id="x", organization=organization, purposes=PURPOSES)
    outcomes = set()
    for record in (f"Condition/{sad_id[0]}", "Observation/mine-1", "Patient/mine", "List/mine-list"):
        asked = f"organization={organization}&purpose={purpose}&resource={record}"
        answer = decided(house, asked)
        (verdict,) = answer["verdicts"]
        with house.as_(bearer):
            read = house.get(record, x_purpose_of_use=purpose)
        gets = answer["decision"] != "deny" and of(verdict, "reach") != ["none"]
        assert gets == (read.status_code == 200), (record, answer)
        if gets:
            assert (answer["decision"] == "masked") == ('"REDACTED"' in read.text)
        outcomes.add(answer["decision"])
    assert outcomes - {"deny"} or purpose == "HRESCH"


def test_it_names_the_consent_and_the_provision_in_both_languages(house: Guarded, sad_id: list[str]) -> None:
    answer = decided(house, f"organization={THERE}&purpose=TREAT&resource=Condition/{sad_id[0]}")

    (verdict,) = answer["verdicts"]
    assert answer["decision"] == "deny"
    assert of(verdict, "reason") == ["provision"]
    (ground,) = of(verdict, "ground")
    reference, provision = (value(each) for each in ground)  # type: ignore[attr-defined]
    with house.as_(MINE):
        named = load(house.get(reference["reference"]))  # type: ignore[index]
    assert named["policy"] == [{"uri": "urn:1"}]
    assert provision == "Consent.provision"
    assert "精神科" in str(of(verdict, "zh"))
    assert "psychiatry" in str(of(verdict, "en"))


def test_silence_is_told_as_silence_and_names_no_consent(house: Guarded) -> None:
    (verdict,) = decided(house, f"organization={THERE}&purpose=TREAT&resource=Observation/mine-1")["verdicts"]

    assert of(verdict, "reason") == ["silence"]
    assert of(verdict, "ground") == []


def test_a_type_is_answered_for_all_of_its_records(house: Guarded) -> None:
    assert decided(house, f"organization={THERE}&purpose=TREAT&type=Observation")["decision"] == "permit"
    assert decided(house, f"organization={THERE}&purpose=HRESCH&type=Observation")["decision"] == "deny"
    assert decided(house, f"organization={THERE}&purpose=TREAT&type=Coverage")["decision"] == "nothing"
    with house.as_(ROOT):
        other = house.create({"resourceType": "Condition", "subject": {"reference": "Patient/mine"}})
    answer = decided(house, f"organization={THERE}&purpose=TREAT&type=Condition")
    with house.as_(ROOT):
        house.delete(f"Condition/{other['id']}")
    assert answer["decision"] == "partly"
    assert sorted((of(each, "decision"), of(each, "records")) for each in answer["verdicts"]) == [
        (["deny"], [1]),
        (["permit"], [1]),
    ]


def test_it_answers_for_another_time(house: Guarded) -> None:
    ended = consent(actor(HERE), permit=False, uri="urn:3", purpose=["TREAT"])
    ended["provision"]["period"] = {"start": "2020-01-01", "end": "2020-12-31"}
    with house.as_(MINE):
        house.create(ended)
    asked = f"organization={HERE}&purpose=TREAT&resource=Observation/mine-1"

    assert decided(house, asked)["decision"] == "permit"
    assert decided(house, f"{asked}&when=2020-06-01")["decision"] == "deny"


@pytest.mark.parametrize("bearer", [MINE, PROXY, DOCTOR, HOSPITAL, PRIVACY, ROOT])
def test_patient_proxy_custodian_and_privacy_officer_are_answered(house: Guarded, bearer: str) -> None:
    answer = decided(house, f"organization={THERE}&purpose=TREAT&resource=Observation/mine-1", bearer)

    assert answer["decision"] == "permit"


def test_nobody_else_is_answered_and_hidden_is_as_unknown(house: Guarded) -> None:
    receiver = token("system/*.rs", client_id="x", organization=THERE, purposes=PURPOSES)
    query = f"$consent-decision?organization={THERE}&purpose=TREAT&resource=Observation/mine-1"
    with house.as_(receiver):
        assert house.get("Patient/mine", x_purpose_of_use="TREAT").status_code == 200
        answer = house.get(f"Patient/mine/{query}", x_purpose_of_use="TREAT")
        unknown = house.get(f"Patient/nobody/{query}", x_purpose_of_use="TREAT")
        refused(answer, 404, "not-found")
        assert answer.text.replace("mine", "nobody") == unknown.text
    with house.as_(MINE):
        refused(house.get(f"Patient/hidden/{query}"), 404, "not-found")
        hidden = house.get(f"Patient/mine/{query.replace('mine-1', 'hidden-1')}")
        absent = house.get(f"Patient/mine/{query.replace('mine-1', 'absent')}")
        refused(hidden, 404, "not-found")
        assert hidden.text.replace("hidden-1", "absent") == absent.text
    with house.as_(token("patient/Patient.rs", patient="mine", fhirUser="Patient/mine")):
        refused(house.get(f"Patient/mine/{query}"), 403, "forbidden")


@pytest.mark.parametrize(
    "query",
    [
        "purpose=TREAT&type=Observation",
        f"organization={THERE}&purpose=FUN&type=Observation",
        f"organization={THERE}",
        f"organization={THERE}&type=Observation&resource=Observation/mine-1",
        f"organization={THERE}&type=AuditEvent",
        f"organization={THERE}&type=Medication",
        f"organization={THERE}&resource=what",
        "organization=Patient/mine&type=Observation",
        "practitioner=Patient/mine&type=Observation",
        f"organization={THERE}&type=Observation&when=soon",
        f"organization={THERE}&type=Observation&color=red",
    ],
)
def test_a_question_that_cannot_be_read_is_refused(house: Guarded, query: str) -> None:
    with house.as_(MINE):
        assert house.get(f"Patient/mine/$consent-decision?{query}").status_code == 400


def test_of_a_record_about_others_too_nothing_of_their_consents_is_told(house: Guarded) -> None:
    with house.as_(ROOT):
        visit = {
            "resourceType": "Appointment",
            "status": "proposed",
            "participant": [
                {"actor": {"reference": f"Patient/{id_}"}, "status": "accepted"} for id_ in ("mine", "hidden")
            ],
        }
        both = house.create(visit)["id"]
    asked = f"organization={THERE}&purpose=TREAT&resource=Appointment/{both}"
    before = decided(house, asked, ROOT)
    with house.as_(token("patient/*.cruds", patient="hidden", fhirUser="Patient/hidden")):
        house.create(consent(permit=False, patient="hidden"))
    after = decided(house, asked, ROOT)

    (verdict,) = after["verdicts"]
    assert of(verdict, "others") == [True]
    assert after["verdicts"] == before["verdicts"]
    (alone,) = decided(house, f"organization={THERE}&purpose=TREAT&resource=Patient/mine")["verdicts"]
    assert of(alone, "others") == []
