"""Consent over HTTP: who sees what once a patient has spoken, from the very next request on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.http.server import Tree, load, matches, refused
from tests.leak.house import ROOT, Guarded, guarded, token

ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
ICD = "http://hl7.org/fhir/sid/icd-10"
MINE = token("patient/*.cruds", patient="mine", fhirUser="Patient/mine")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Guarded]:
    with guarded(tmp_path) as server:
        yield server


def consent(*provisions: Tree, permit: bool = True, **more: Any) -> Tree:
    scope = {"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": {"coding": [scope]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": "Patient/mine"},
        "dateTime": "2026-01-01",
        "policy": [{"uri": "https://hospital.example.org/policies/privacy"}],
        "provision": {
            "type": "permit" if permit else "deny",
            **{k: v for p in provisions for k, v in p.items()},
        },
        **more,
    }


HERE = {
    "actor": [
        {
            "role": {
                "coding": [
                    {"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}
                ]
            },
            "reference": {"reference": "Organization/here"},
        }
    ]
}
PSY = {"securityLabel": [{"system": ACT, "code": "PSY"}]}
HOSPITAL = token("system/*.cruds", client_id="his", organization="Organization/here", purposes=["TREAT"])


def sad(house: Guarded) -> str:
    with house.as_(ROOT):
        return str(
            house.create(
                {
                    "resourceType": "Condition",
                    "subject": {"reference": "Patient/mine"},
                    "code": {"coding": [{"system": ICD, "code": "F32.9"}]},
                }
            )["id"]
        )


def test_a_patient_denies_a_hospital_mental_health_and_takes_it_back(house: Guarded) -> None:
    hidden = sad(house)
    with house.as_(HOSPITAL):
        before = load(house.get("Condition?patient=mine&_total=accurate"))
        assert hidden in matches(before)
    with house.as_(MINE):
        filed = house.create(consent(HERE, PSY, permit=False))
    with house.as_(HOSPITAL):
        after = load(house.get("Condition?patient=mine&_total=accurate"))
        assert hidden not in matches(after)
        assert after["total"] == before["total"] - 1
        assert house.get(f"Condition/{hidden}").status_code == 404
        assert house.get(f"Condition/{hidden}/_history").status_code == 404
        assert matches(load(house.get("Patient?_has:Condition:patient:code=F32.9"))) == []
    with house.as_(MINE):
        assert house.get(f"Condition/{hidden}").status_code == 200
        refused(house.delete(f"Consent/{filed['id']}"), 405, "not-supported")
        assert house.put(f"Consent/{filed['id']}", {**filed, "status": "inactive"}).status_code == 200
    with house.as_(HOSPITAL):
        assert house.get(f"Condition/{hidden}").status_code == 200


def test_nobody_files_for_another_and_what_cannot_be_enforced_is_refused(house: Guarded) -> None:
    with house.as_(MINE):
        other = consent(HERE, permit=False, patient={"reference": "Patient/hidden"})
        assert house.post("Consent", other).status_code == 403
        answer = house.post("Consent", consent(HERE, permit=False, modifierExtension=[{"url": "urn:x"}]))
        assert answer.status_code == 422, answer.text
    with house.as_(token("user/*.cruds", fhirUser="RelatedPerson/mother")):
        assert house.post("Consent", consent(HERE, permit=False)).status_code == 403
