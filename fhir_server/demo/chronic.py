"""Two years in the life of a chronic patient: visits, measurements, medicines, bills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

from fhir_server.demo.clinical import (
    Scene,
    blood_pressure,
    condition,
    measured,
    medication_request,
)
from fhir_server.demo.codes import (
    ACT_CODE,
    ATC,
    OUTPATIENT_NUMBER,
    VISIT_NUMBER,
    concept,
    identifier,
    quantity,
)
from fhir_server.demo.diseases import Disease, Drug, Test
from fhir_server.demo.entries import Entries, Tree
from fhir_server.demo.insured import Insured
from fhir_server.demo.money import Line, Visit, bill
from fhir_server.demo.organisations import Staffed

_FOUR_WEEKS = 28
_CONSULTATION = Line("110200001", "普通门诊诊查费", 1, Decimal("10.00"))


@dataclass(frozen=True, slots=True)
class Course:
    """One patient's diseases with the conditions that record them, where they are treated, who pays."""

    insured: Insured
    staffed: Staffed
    insurer: Tree
    diseases: tuple[Disease, ...]
    conditions: tuple[Tree, ...]


def begin(
    entries: Entries,
    insured: Insured,
    staffed: Staffed,
    insurer: Tree,
    diseases: Sequence[Disease],
    onset: datetime,
) -> Course:
    """Add the conditions and a plan of care for each, and return the course."""
    conditions = tuple(
        entries.add(
            condition(insured.patient, (disease.icd10, disease.display, disease.text), onset, staffed.doctor)
        )
        for disease in diseases
    )
    for disease, reference in zip(diseases, conditions, strict=True):
        entries.add(_plan(insured.patient, disease, reference, onset, staffed.doctor))
    return Course(insured, staffed, insurer, tuple(diseases), conditions)


def _plan(patient: Tree, disease: Disease, addresses: Tree, start: datetime, author: Tree) -> Tree:
    return {
        "resourceType": "CarePlan",
        "status": "active",
        "intent": "plan",
        "title": f"{disease.text}管理计划",
        "subject": patient,
        "period": {"start": start.date().isoformat()},
        "created": start.isoformat(),
        "author": author,
        "addresses": [addresses],
        "activity": [{"detail": {"status": "in-progress", "description": text}} for text in disease.plan],
    }


def visits(
    entries: Entries, random: Random, course: Course, start: datetime, end: datetime, number: int
) -> None:
    """Add an outpatient visit every ten to fifteen weeks from ``start`` until ``end``.

    ``number`` tells this patient's visits from all others.
    """
    when, count = start, 0
    while when < end:
        count += 1
        _visit(entries, random, course, when, f"{number:04d}{count:03d}")
        when += timedelta(days=random.randint(70, 105), minutes=random.randint(-90, 90))


def _visit(entries: Entries, random: Random, course: Course, when: datetime, number: str) -> None:
    over = when + timedelta(minutes=random.randint(15, 40))
    encounter = entries.add(_encounter(course, when, over, number))
    scene = Scene(course.insured.patient, encounter, course.staffed.doctor)
    entries.add(blood_pressure(scene, random.randint(118, 168), random.randint(68, 102), when))
    lines = [_CONSULTATION]
    tests = {test.loinc: test for disease in course.diseases for test in disease.tests}
    for test in tests.values():
        entries.add(measured(scene, test, _value(random, test), when + timedelta(minutes=10)))
        lines.append(Line(f"25{test.loinc}", test.text, 1, test.price))
    for disease, reference in zip(course.diseases, course.conditions, strict=True):
        for drug in disease.drugs:
            request = entries.add(medication_request(scene, drug, [reference], over))
            entries.add(_dispense(course, request, drug, over))
            lines.append(Line(f"X{drug.atc}", drug.text, 1, drug.price))
    visit = Visit(number, encounter, course.conditions, course.staffed.hospital, course.insurer, when, over)
    bill(entries, course.insured, visit, lines)


def _value(random: Random, test: Test) -> Decimal:
    exponent = int(test.low.as_tuple().exponent)
    scale = 10**-exponent
    return Decimal(random.randint(int(test.low * scale), int(test.high * scale))).scaleb(exponent)


def _encounter(course: Course, start: datetime, end: datetime, number: str) -> Tree:
    participant = concept("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "ATND", "attender")
    return {
        "resourceType": "Encounter",
        "identifier": [
            identifier(VISIT_NUMBER, f"V{number}"),
            {**identifier(OUTPATIENT_NUMBER, f"O{number}", "VN"), "assigner": course.staffed.hospital},
        ],
        "status": "finished",
        "class": {"system": ACT_CODE, "code": "AMB", "display": "ambulatory"},
        "subject": course.insured.patient,
        "participant": [{"type": [participant], "individual": course.staffed.doctor}],
        "period": {"start": start.isoformat(), "end": end.isoformat()},
        "reasonReference": list(course.conditions),
        "diagnosis": [
            {"condition": reference, "rank": rank} for rank, reference in enumerate(course.conditions, 1)
        ],
        "serviceProvider": course.staffed.department,
    }


def _dispense(course: Course, request: Tree, drug: Drug, when: datetime) -> Tree:
    return {
        "resourceType": "MedicationDispense",
        "status": "completed",
        "medicationCodeableConcept": concept(ATC, drug.atc, drug.display, drug.text),
        "subject": course.insured.patient,
        "performer": [{"actor": course.staffed.hospital}],
        "authorizingPrescription": [request],
        "quantity": {"value": Decimal(drug.daily * _FOUR_WEEKS), "unit": "片"},
        "daysSupply": quantity(Decimal(_FOUR_WEEKS), "天", "d"),
        "whenHandedOver": (when + timedelta(minutes=20)).isoformat(),
    }
