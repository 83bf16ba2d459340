"""The institutions of the demo data: two hospitals of different regions, one insurance agency, their people.

All are conditional creates, so that loading twice makes no second hospital.
"""

from __future__ import annotations

from dataclasses import dataclass

from fhir_server.demo.codes import (
    IDENTIFIER_TYPE,
    MINTED,
    ORGANISATION_CODE,
    PRACTITIONER_CODE,
    REGION_CODE,
    concept,
    identifier,
)
from fhir_server.demo.entries import Entries, Tree
from fhir_server.demo.people import NORTH, SOUTH, Region

_TYPE = "http://terminology.hl7.org/CodeSystem/organization-type"

DEPARTMENTS = {
    "cardiology": "心血管内科",
    "endocrinology": "内分泌科",
    "respiratory": "呼吸与危重症医学科",
    "nephrology": "肾内科",
    "gastroenterology": "消化内科",
    "psychiatry": "临床心理科",
}
_DOCTORS = {
    "cardiology": ("林", "示远"),
    "endocrinology": ("高", "示宁"),
    "respiratory": ("何", "示清"),
    "nephrology": ("罗", "示安"),
    "gastroenterology": ("郭", "示和"),
    "psychiatry": ("唐", "示心"),
}


@dataclass(frozen=True, slots=True)
class Hospital:
    """A designated medical institution (定点医疗机构)."""

    code: str
    name: str
    region: Region


FIRST = Hospital("H99010100001", "示例市第一医院", NORTH)
SECOND = Hospital("H99020100001", "样例市人民医院", SOUTH)


@dataclass(frozen=True, slots=True)
class Staffed:
    """References to one hospital's department and the doctor who works there."""

    hospital: Tree
    department: Tree
    doctor: Tree
    role: Tree


def _address(region: Region) -> Tree:
    return {
        "text": f"{region.province}{region.city}{region.district}演示路1号",
        "state": region.province,
        "city": region.city,
        "district": region.district,
        "country": "CN",
    }


def agency(entries: Entries) -> Tree:
    """Add the insurance agency (医疗保障经办机构) and return a reference to it."""
    return entries.add_once(
        {
            "resourceType": "Organization",
            "identifier": [identifier(REGION_CODE, "990000")],
            "active": True,
            "type": [concept(_TYPE, "pay", "Payer", "医疗保障经办机构")],
            "name": "示例医疗保障经办中心",
            "telecom": [{"system": "phone", "value": "12900000001", "use": "work"}],
            "address": [_address(NORTH)],
        }
    )


def hospital(entries: Entries, which: Hospital) -> Tree:
    """Add a hospital and return a reference to it."""
    return entries.add_once(
        {
            "resourceType": "Organization",
            "identifier": [identifier(ORGANISATION_CODE, which.code)],
            "active": True,
            "type": [concept(_TYPE, "prov", "Healthcare Provider", "医院")],
            "name": which.name,
            "telecom": [{"system": "phone", "value": "12900000002", "use": "work"}],
            "address": [_address(which.region)],
        }
    )


def staffed(entries: Entries, which: Hospital, department: str) -> Staffed:
    """Add a hospital's department, its doctor and the doctor's role there, and return references to them."""
    owner = hospital(entries, which)
    code = f"{which.code}-{department}"
    unit = entries.add_once(
        {
            "resourceType": "Organization",
            "identifier": [identifier(ORGANISATION_CODE, code)],
            "active": True,
            "type": [concept(_TYPE, "dept", "Hospital Department", "科室")],
            "name": DEPARTMENTS[department],
            "partOf": owner,
        }
    )
    surname, given = _DOCTORS[department]
    doctor = entries.add_once(
        {
            "resourceType": "Practitioner",
            "identifier": [identifier(PRACTITIONER_CODE, f"D-{code}")],
            "active": True,
            "name": [{"use": "official", "text": surname + given, "family": surname, "given": [given]}],
            "qualification": [
                {"code": {"coding": [{"system": IDENTIFIER_TYPE, "code": "MD"}], "text": "主任医师"}}
            ],
        }
    )
    role = entries.add_once(
        {
            "resourceType": "PractitionerRole",
            "identifier": [identifier(PRACTITIONER_CODE, f"R-{code}")],
            "active": True,
            "practitioner": doctor,
            "organization": unit,
            "code": [
                concept(
                    "http://terminology.hl7.org/CodeSystem/practitioner-role", "doctor", "Doctor", "主任医师"
                )
            ],
            "specialty": [concept(f"{MINTED}/CodeSystem/department", department, DEPARTMENTS[department])],
        }
    )
    return Staffed(owner, unit, doctor, role)
