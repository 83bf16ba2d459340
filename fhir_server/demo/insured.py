"""A patient and the coverage: who the person is and which scheme pays which share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from fhir_server.demo.codes import (
    ACT_CODE,
    ID_CARD,
    INSURANCE_CARD,
    MEMBER_NUMBER,
    MINTED,
    SCHEME,
    UCUM,
    concept,
    identifier,
)
from fhir_server.demo.entries import Entries, Tree
from fhir_server.demo.people import Person


@dataclass(frozen=True, slots=True)
class Scheme:
    """An insurance scheme (险种): its codes, the patient's share of costs, and the fund that pays the rest.

    ``account``: True when the person has a personal account (个人账户), which pays before cash does.
    """

    code: str
    text: str
    act_code: str
    person_class: str
    share: Decimal
    fund: str
    fund_text: str
    account: bool


IN_SERVICE = Scheme(
    "310",
    "职工基本医疗保险",
    "EHCPOL",
    "在职",
    Decimal("0.15"),
    "310100",
    "职工基本医疗保险统筹基金",
    account=True,
)
RETIRED = Scheme(
    "310",
    "职工基本医疗保险",
    "EHCPOL",
    "退休",
    Decimal("0.10"),
    "310100",
    "职工基本医疗保险统筹基金",
    account=True,
)
RESIDENT = Scheme(
    "390",
    "城乡居民基本医疗保险",
    "PUBLICPOL",
    "居民",
    Decimal("0.40"),
    "390100",
    "城乡居民基本医疗保险基金",
    account=False,
)


@dataclass(frozen=True, slots=True)
class Insured:
    """References to one person's records, and the scheme that pays."""

    patient: Tree
    coverage: Tree
    scheme: Scheme


def scheme_of(someone: Person, today: date, *, employed: bool) -> Scheme:
    """Say which scheme covers a person: employees retire at 60, everybody else is a resident."""
    if not employed:
        return RESIDENT
    return RETIRED if (today - someone.born).days // 365 >= 60 else IN_SERVICE


def patient(entries: Entries, someone: Person, hospital: Tree) -> Tree:
    """Add the Patient and return a reference. https://hl7.org/fhir/R4/patient.html"""
    region = someone.region
    return entries.add(
        {
            "resourceType": "Patient",
            "identifier": [
                {"use": "official", **identifier(ID_CARD, someone.id_number, "NI")},
                identifier(INSURANCE_CARD, someone.card_number, "HC"),
                identifier(MEMBER_NUMBER, someone.member_number, "MB"),
            ],
            "active": True,
            "name": [
                {"use": "official", "text": someone.name, "family": someone.surname, "given": [someone.given]}
            ],
            "telecom": [{"system": "phone", "value": someone.phone, "use": "mobile"}],
            "gender": someone.gender,
            "birthDate": someone.born.isoformat(),
            "address": [
                {
                    "use": "home",
                    "text": f"{region.province}{region.city}{region.district}{someone.street}",
                    "line": [someone.street],
                    "city": region.city,
                    "district": region.district,
                    "state": region.province,
                    "country": "CN",
                }
            ],
            "managingOrganization": hospital,
        }
    )


def coverage(
    entries: Entries, someone: Person, patient: Tree, payer: Tree, scheme: Scheme, since: date
) -> Tree:
    """Add the Coverage: scheme, person class and reimbursement ratio. https://hl7.org/fhir/R4/coverage.html"""
    coverage_class = "http://terminology.hl7.org/CodeSystem/coverage-class"
    copay_type = "http://terminology.hl7.org/CodeSystem/coverage-copay-type"
    return entries.add(
        {
            "resourceType": "Coverage",
            "identifier": [identifier(MEMBER_NUMBER, someone.member_number, "MB")],
            "status": "active",
            "type": {
                "coding": [
                    {"system": SCHEME, "code": scheme.code, "display": scheme.text},
                    {"system": ACT_CODE, "code": scheme.act_code},
                ],
                "text": scheme.text,
            },
            "subscriberId": someone.member_number,
            "beneficiary": patient,
            "relationship": concept(
                "http://terminology.hl7.org/CodeSystem/subscriber-relationship", "self", "Self", "本人"
            ),
            "period": {"start": since.isoformat()},
            "payor": [payer],
            "class": [
                {
                    "type": concept(coverage_class, "plan", "Plan", "统筹区"),
                    "value": someone.region.code,
                    "name": someone.region.city,
                },
                {
                    "type": concept(
                        f"{MINTED}/CodeSystem/coverage-class", "psn-type", "Person class", "人员类别"
                    ),
                    "value": scheme.person_class,
                },
            ],
            "costToBeneficiary": [
                {
                    "type": concept(copay_type, "copaypct", "Copay Percentage", "个人自付比例"),
                    "valueQuantity": {
                        "value": (scheme.share * 100).quantize(Decimal(1)),
                        "unit": "%",
                        "system": UCUM,
                        "code": "%",
                    },
                }
            ],
        }
    )
