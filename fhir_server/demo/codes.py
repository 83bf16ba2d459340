"""The code systems, identifier systems and units that the demo data speaks.

National identifiers carry the systems that Chinese documents use (OIDs of WS/T 500); what has no published
system is minted under ``example.org``, which RFC 2606 keeps for examples.
"""

from __future__ import annotations

from decimal import Decimal

from fhir_server.demo.entries import Tree

MINTED = "https://example.org/fhir"
ID_CARD = "urn:oid:2.16.156.10011.1.3"
"""居民身份证: the resident identity card."""
INSURANCE_CARD = "urn:oid:2.16.840.1.113883.2.23.1.19.2"
"""社会保障卡: the social security card, which is the insurance card."""
INPATIENT_NUMBER = "urn:oid:2.16.156.10011.1.12"
OUTPATIENT_NUMBER = "urn:oid:2.16.156.10011.1.11"
ORGANISATION_CODE = f"{MINTED}/NamingSystem/nhsa-fixmedins-code"
PRACTITIONER_CODE = f"{MINTED}/NamingSystem/nhsa-practitioner"
REGION_CODE = f"{MINTED}/NamingSystem/nhsa-admdvs"
MEMBER_NUMBER = f"{MINTED}/NamingSystem/nhsa-psn-no"
VISIT_NUMBER = f"{MINTED}/NamingSystem/nhsa-mdtrt-id"
SETTLEMENT_NUMBER = f"{MINTED}/NamingSystem/nhsa-setl-id"
SCHEME = f"{MINTED}/CodeSystem/nhsa-insutype"
FUND = f"{MINTED}/CodeSystem/nhsa-fund-pay-type"
SERVICE = f"{MINTED}/CodeSystem/nhsa-service-item"

LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
ICD10 = "http://hl7.org/fhir/sid/icd-10"
ATC = "http://www.whocc.no/atc"
ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
CONDITION_CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
CONDITION_VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
CONDITION_CATEGORY = "http://terminology.hl7.org/CodeSystem/condition-category"
OBSERVATION_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
INTERPRETATION = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
IDENTIFIER_TYPE = "http://terminology.hl7.org/CodeSystem/v2-0203"
ADJUDICATION = "http://terminology.hl7.org/CodeSystem/adjudication"
C4BB_ADJUDICATION = "http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBAdjudication"


def concept(system: str, code: str, display: str, text: str | None = None) -> Tree:
    """Make a CodeableConcept of one coding. https://hl7.org/fhir/R4/datatypes.html#CodeableConcept"""
    made: Tree = {"coding": [{"system": system, "code": code, "display": display}]}
    if text is not None:
        made["text"] = text
    return made


def identifier(system: str, value: str, kind: str | None = None) -> Tree:
    """Make an Identifier; ``kind`` is a code of HL7 table 0203. https://hl7.org/fhir/R4/datatypes.html#Identifier"""
    made: Tree = {"system": system, "value": value}
    if kind is not None:
        made["type"] = {"coding": [{"system": IDENTIFIER_TYPE, "code": kind}]}
    return made


def quantity(value: Decimal, unit: str, code: str | None = None) -> Tree:
    """Make a Quantity in UCUM; ``code`` defaults to ``unit``. https://hl7.org/fhir/R4/datatypes.html#Quantity"""
    return {"value": value, "unit": unit, "system": UCUM, "code": code or unit}


def yuan(amount: Decimal) -> Tree:
    """Make Money in CNY with two digits. https://hl7.org/fhir/R4/datatypes.html#Money"""
    return {"value": amount.quantize(Decimal("0.01")), "currency": "CNY"}
