"""Seven valid resources of the types that the server is for, rich in what validation looks at."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

DIV = '<div xmlns="http://www.w3.org/1999/xhtml"><p>%s</p></div>'
_V3 = "http://terminology.hl7.org/CodeSystem/v3-ActCode"


def _concept(system: str, code: str, display: str = "") -> dict[str, Any]:
    coding = {"system": system, "code": code} | ({"display": display} if display else {})
    return {"coding": [coding]}


def _money(value: str) -> dict[str, Any]:
    return {"value": Decimal(value), "currency": "CNY"}


PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p-1",
    "meta": {
        "versionId": "3",
        "lastUpdated": "2026-02-03T04:05:06.789+08:00",
        "profile": ["http://example.org/fhir/StructureDefinition/patient|1.0"],
        "security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "N"}],
    },
    "language": "zh-CN",
    "text": {"status": "generated", "div": DIV % "张<b>示例</b> &#160; <a href='#n1'>姓名</a>"},
    "contained": [{"resourceType": "Organization", "id": "org", "name": "示例市第一医院"}],
    "extension": [
        {
            "url": "http://example.org/fhir/StructureDefinition/ethnicity",
            "valueCodeableConcept": _concept("http://example.org/mz", "01", "汉族"),
        },
        {
            "url": "http://example.org/fhir/StructureDefinition/address-codes",
            "extension": [
                {"url": "province", "valueCode": "990000"},
                {"url": "note", "valueString": " text with spaces around "},
            ],
        },
    ],
    "identifier": [
        {
            "use": "official",
            "system": "http://example.org/sid",
            "value": "99010119800101001X",
            "period": {"start": "1998-01", "end": "2030-01-01"},
            "assigner": {"display": "公安局"},
        }
    ],
    "active": True,
    "name": [
        {
            "id": "n1",
            "use": "official",
            "family": "张",
            "given": ["示", None, "例"],
            "_given": [
                None,
                {"extension": [{"url": "http://example.org/masked", "valueBoolean": True}]},
                None,
            ],
            "period": {"start": "1980-01-01"},
        },
        {"use": "nickname", "text": "Z"},
    ],
    "telecom": [{"system": "phone", "value": "000-0000", "use": "mobile", "rank": 1}],
    "gender": "female",
    "birthDate": "1980-02-29",
    "_birthDate": {
        "extension": [
            {
                "url": "http://hl7.org/fhir/StructureDefinition/patient-birthTime",
                "valueDateTime": "1980-02-29T08:30:00+08:00",
            }
        ]
    },
    "deceasedBoolean": False,
    "address": [
        {"use": "home", "type": "both", "line": ["1 Example Road"], "city": "示例市", "country": "CN"}
    ],
    "maritalStatus": _concept("http://terminology.hl7.org/CodeSystem/v3-MaritalStatus", "M"),
    "multipleBirthInteger": 2,
    "photo": [{"contentType": "image/png", "data": "aGVs bG8="}],
    "contact": [{"relationship": [{"text": "配偶"}], "name": {"family": "李"}, "gender": "male"}],
    "communication": [{"language": {"text": "中文"}, "preferred": True}],
    "generalPractitioner": [{"reference": "Practitioner/d-1", "type": "Practitioner"}],
    "managingOrganization": {"reference": "#org"},
    "link": [{"other": {"reference": "Patient/p-2/_history/1"}, "type": "seealso"}],
}

CONDITION: dict[str, Any] = {
    "resourceType": "Condition",
    "id": "c-1",
    "text": {"status": "additional", "div": DIV % "高血压"},
    "clinicalStatus": _concept("http://terminology.hl7.org/CodeSystem/condition-clinical", "resolved"),
    "verificationStatus": _concept("http://terminology.hl7.org/CodeSystem/condition-ver-status", "confirmed"),
    "category": [_concept("http://terminology.hl7.org/CodeSystem/condition-category", "problem-list-item")],
    "severity": _concept("http://snomed.info/sct", "24484000", "Severe"),
    "code": _concept("http://hl7.org/fhir/sid/icd-10", "I10", "Essential hypertension"),
    "bodySite": [{"text": "whole body"}],
    "subject": {"reference": "Patient/p-1", "display": "张"},
    "encounter": {"reference": "urn:uuid:8a9bb1a4-38f5-4d1b-9a55-3a9f7f4f9d0e"},
    "onsetAge": {
        "value": Decimal("42.0"),
        "unit": "years",
        "system": "http://unitsofmeasure.org",
        "code": "a",
    },
    "abatementDateTime": "2024",
    "recordedDate": "2023-11-05T09:00:00Z",
    "asserter": {"reference": "https://other.example.org/fhir/Practitioner/9"},
    "stage": [{"summary": {"text": "2"}, "assessment": [{"reference": "Observation/o-1"}]}],
    "evidence": [{"code": [{"text": "raised pressure"}], "detail": [{"reference": "Observation/o-1"}]}],
    "note": [{"authorString": "d-1", "time": "2023-11-05T09:00:00Z", "text": "Follow up\nin a month."}],
}

MEDICATION_REQUEST: dict[str, Any] = {
    "resourceType": "MedicationRequest",
    "id": "m-1",
    "contained": [
        {
            "resourceType": "Medication",
            "id": "med",
            "code": _concept("http://www.nlm.nih.gov/research/umls/rxnorm", "314076"),
            "ingredient": [
                {
                    "itemReference": {"reference": "Substance/s-1"},
                    "strength": {
                        "numerator": {"value": 10, "system": "http://unitsofmeasure.org", "code": "mg"},
                        "denominator": {"value": 1, "unit": "tablet"},
                    },
                }
            ],
        }
    ],
    "status": "active",
    "intent": "order",
    "priority": "routine",
    "reportedBoolean": False,
    "medicationReference": {"reference": "#med"},
    "subject": {"reference": "Patient/p-1"},
    "authoredOn": "2026-01-01",
    "requester": {"reference": "Practitioner/d-1"},
    "dosageInstruction": [
        {
            "sequence": 1,
            "text": "one tablet a day",
            "timing": {
                "repeat": {
                    "boundsPeriod": {"start": "2026-01-01", "end": "2026-02-01T10:00:00+08:00"},
                    "frequency": 1,
                    "period": Decimal("1.0"),
                    "periodUnit": "d",
                    "timeOfDay": ["08:00:00"],
                }
            },
            "asNeededBoolean": False,
            "doseAndRate": [
                {"doseRange": {"low": {"value": 1, "unit": "tablet"}, "high": {"value": 2, "unit": "tablet"}}}
            ],
        }
    ],
    "dispenseRequest": {
        "validityPeriod": {"start": "2026-01-01", "end": "2026-01-01"},
        "numberOfRepeatsAllowed": 0,
        "expectedSupplyDuration": {
            "value": 30,
            "unit": "days",
            "system": "http://unitsofmeasure.org",
            "code": "d",
        },
    },
    "substitution": {"allowedBoolean": True},
}

COVERAGE: dict[str, Any] = {
    "resourceType": "Coverage",
    "id": "cov-1",
    "identifier": [{"system": "http://example.org/card", "value": "A0000001"}],
    "status": "active",
    "type": _concept(_V3, "EHCPOL"),
    "subscriber": {"reference": "Patient/p-1"},
    "subscriberId": "A0000001",
    "beneficiary": {"reference": "Patient/p-1"},
    "dependent": "0",
    "relationship": _concept("http://terminology.hl7.org/CodeSystem/subscriber-relationship", "self"),
    "period": {"start": "2026-01-01", "end": "2026-12-31"},
    "payor": [{"identifier": {"system": "http://example.org/agency", "value": "99"}}],
    "class": [
        {"type": _concept("http://terminology.hl7.org/CodeSystem/coverage-class", "plan"), "value": "310"}
    ],
    "order": 1,
    "costToBeneficiary": [
        {
            "type": _concept("http://terminology.hl7.org/CodeSystem/coverage-copay-type", "copay"),
            "valueMoney": _money("20.00"),
            "exception": [{"type": {"text": "retired"}, "period": {"start": "2026-01-01"}}],
        }
    ],
    "subrogation": False,
}

CLAIM: dict[str, Any] = {
    "resourceType": "Claim",
    "id": "cl-1",
    "status": "active",
    "type": _concept("http://terminology.hl7.org/CodeSystem/claim-type", "institutional"),
    "use": "claim",
    "patient": {"reference": "Patient/p-1"},
    "billablePeriod": {"start": "2026-01-01T00:00:00+08:00", "end": "2026-01-09T00:00:00+08:00"},
    "created": "2026-01-10",
    "provider": {"reference": "Organization/h-1"},
    "priority": _concept("http://terminology.hl7.org/CodeSystem/processpriority", "normal"),
    "diagnosis": [{"sequence": 1, "diagnosisReference": {"reference": "Condition/c-1"}}],
    "supportingInfo": [{"sequence": 1, "category": {"text": "info"}, "timingDate": "2026-01-01"}],
    "insurance": [{"sequence": 1, "focal": True, "coverage": {"reference": "Coverage/cov-1"}}],
    "item": [
        {
            "sequence": 1,
            "diagnosisSequence": [1],
            "productOrService": {"text": "bed"},
            "servicedDate": "2026-01-02",
            "quantity": {"value": 8, "unit": "d"},
            "unitPrice": _money("60.00"),
            "factor": Decimal("1.00"),
            "net": _money("480.00"),
            "detail": [{"sequence": 1, "productOrService": {"text": "nursing"}}],
        }
    ],
    "total": _money("480.00"),
}

EOB: dict[str, Any] = {
    "resourceType": "ExplanationOfBenefit",
    "id": "eob-1",
    "status": "active",
    "type": _concept("http://terminology.hl7.org/CodeSystem/claim-type", "institutional"),
    "use": "claim",
    "patient": {"reference": "Patient/p-1"},
    "created": "2026-01-11T10:00:00.5Z",
    "insurer": {"reference": "Organization/a-1"},
    "provider": {"reference": "Organization/h-1"},
    "claim": {"reference": "Claim/cl-1"},
    "outcome": "complete",
    "careTeam": [{"sequence": 1, "provider": {"reference": "Practitioner/d-1"}, "responsible": True}],
    "insurance": [{"focal": True, "coverage": {"reference": "Coverage/cov-1"}}],
    "item": [
        {
            "sequence": number,
            "productOrService": {"text": f"service {number}"},
            "servicedPeriod": {"start": "2026-01-01", "end": "2026-01-02"},
            "quantity": {"value": number},
            "net": _money("480.10"),
            "adjudication": [
                {
                    "category": _concept("http://terminology.hl7.org/CodeSystem/adjudication", code),
                    "amount": _money("400.00"),
                    "value": Decimal("0.80"),
                }
                for code in ("submitted", "benefit", "copay")
            ],
        }
        for number in range(1, 9)
    ],
    "total": [
        {
            "category": _concept("http://terminology.hl7.org/CodeSystem/adjudication", "benefit"),
            "amount": _money("3200.00"),
        }
    ],
    "payment": {"date": "2026-01-12", "amount": _money("3200.00")},
    "processNote": [{"number": 1, "type": "display", "text": "基金支付"}],
}

OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation",
    "id": "o-1",
    "identifier": [{"system": "urn:oid:1.2.3", "value": "x"}],
    "status": "final",
    "category": [_concept("http://terminology.hl7.org/CodeSystem/observation-category", "vital-signs")],
    "code": _concept("http://loinc.org", "85354-9", "Blood pressure panel"),
    "subject": {"reference": "Patient/p-1"},
    "focus": [{"reference": "Device/any"}],
    "effectiveInstant": "2026-01-01T08:00:00Z",
    "issued": "2026-01-01T08:00:00.000+08:00",
    "performer": [{"reference": "Organization/h-1"}],
    "valueQuantity": {
        "value": Decimal("120.10"),
        "comparator": ">=",
        "unit": "mmHg",
        "system": "http://unitsofmeasure.org",
        "code": "mm[Hg]",
    },
    "interpretation": [{"text": "high"}],
    "referenceRange": [{"low": {"value": 90, "unit": "mmHg"}, "text": "90 to 120"}],
    "component": [
        {
            "code": _concept("http://loinc.org", "8462-4"),
            "valueSampledData": {
                "origin": {"value": 0},
                "period": Decimal("1E+1"),
                "dimensions": 1,
                "data": "E 1 2",
            },
        },
        {"code": _concept("http://loinc.org", "8480-6"), "valueInteger": -3},
        {
            "code": _concept("http://loinc.org", "8478-0"),
            "dataAbsentReason": {"text": "not measured"},
        },
    ],
}

SAMPLES: dict[str, dict[str, Any]] = {
    each["resourceType"]: each
    for each in (PATIENT, CONDITION, MEDICATION_REQUEST, COVERAGE, CLAIM, EOB, OBSERVATION)
}

REMOVE = object()
"""A value of ``changed`` that takes the element away."""


def changed(name: str, *changes: tuple[str, Any]) -> dict[str, Any]:
    """Return a copy of a sample with each (dotted path, value) put in; numbers are array indexes."""
    tree = copy.deepcopy(SAMPLES[name])
    for path, value in changes:
        *way, last = [int(part) if part.isdecimal() else part for part in path.split(".")]
        place: Any = tree
        for part in way:
            place = place[part]
        if value is REMOVE:
            del place[last]
        elif isinstance(place, list) and last == len(place):
            place.append(value)
        else:
            place[last] = value
    return tree
