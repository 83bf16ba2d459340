"""Resources for tests, made of invented people; what is planted in them must appear in no refusal."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import uuid4

Tree = dict[str, Any]

FAMILY = "Plantedsson"
GIVEN = "柳青禾"
PHONE = "13900010002"
ID_NUMBER = "990000197001010017"
STREET = "Plantation Row 9"
PLANTED = (FAMILY, GIVEN, PHONE, ID_NUMBER, STREET)

CITIZEN = "http://hospital.example.org/citizen"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"


def unique() -> str:
    """Return a word that no other call returns, to tell one test's resources from another's."""
    return f"t{uuid4().hex[:12]}"


def patient(tag: str | None = None, **elements: Any) -> Tree:
    """Return a Patient with planted values; ``tag`` is a second identifier to find it by."""
    identifiers = [{"system": CITIZEN, "value": ID_NUMBER}]
    if tag is not None:
        identifiers.append({"system": "urn:tag", "value": tag})
    made = {
        "resourceType": "Patient",
        "identifier": identifiers,
        "active": True,
        "name": [{"use": "official", "text": GIVEN, "family": FAMILY, "given": ["Ada", "B."]}],
        "telecom": [{"system": "phone", "value": PHONE}],
        "gender": "female",
        "birthDate": "1970-01-01",
        "address": [{"line": [STREET], "city": "Hangzhou"}],
    }
    return {**made, **elements}


def observation(
    subject: str, *, code: str = "8480-6", value: str = "120.50", when: str = "2026-03-01", **more: Any
) -> Tree:
    """Return a final Observation of ``subject`` ("Patient/1")."""
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": code}]},
        "subject": {"reference": subject},
        "effectiveDateTime": when,
        "valueQuantity": {"value": Decimal(value), "unit": "mmHg", "system": UCUM, "code": "mm[Hg]"},
        **more,
    }


def tagged(tag: str) -> str:
    """Return the search criteria that find the Patient made with ``tag``."""
    return f"identifier=urn:tag|{tag}"
