"""Consents as a patient files them in the house of tests/leak, and who acts there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.http.server import Tree
from tests.leak.house import ROOT, Guarded, token

ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
ICD = "http://hl7.org/fhir/sid/icd-10"
MINE = token("patient/*.cruds", patient="mine", fhirUser="Patient/mine")
"""The patient ``mine``."""


def consent(
    *provisions: Tree,
    permit: bool = True,
    patient: str = "mine",
    uri: str = "https://hospital.example.org/policies/privacy",
    purpose: Sequence[str] = (),
    **more: Any,
) -> Tree:
    """Return a Consent to file: its root has the elements of ``provisions`` and these purposes."""
    root: Tree = {"type": "permit" if permit else "deny"}
    for each in provisions:
        root.update(each)
    if purpose:
        root["purpose"] = [{"system": REASON, "code": code} for code in purpose]
    scope = {"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": {"coding": [scope]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": f"Patient/{patient}"},
        "dateTime": "2026-01-01",
        "policy": [{"uri": uri}],
        "provision": root,
        **more,
    }


def deny_all(patient: str, *named: str) -> list[Tree]:
    """Return Consents that deny everybody everything, whoever is ``named`` at their own records too."""
    role = {
        "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]
    }
    actors = [{"role": role, "reference": {"reference": each}} for each in named]
    everybody = consent(permit=False, patient=patient, uri="urn:policy:everybody")
    return [everybody, consent({"actor": actors}, permit=False, patient=patient, uri="urn:policy:named")]


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
