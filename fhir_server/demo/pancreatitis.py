"""One stay in hospital for acute pancreatitis, from the emergency admission to the discharge.

The insured lives in one region and falls ill in the other: care outside the insured region (异地就医).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

from fhir_server.demo import stay_measurements, stay_treatment
from fhir_server.demo.clinical import Scene, condition
from fhir_server.demo.codes import ACT_CODE, INPATIENT_NUMBER, VISIT_NUMBER, concept, identifier
from fhir_server.demo.entries import Entries, Tree
from fhir_server.demo.insured import IN_SERVICE, Insured, coverage, patient
from fhir_server.demo.money import Line, Visit, bill
from fhir_server.demo.organisations import SECOND, Staffed, agency, staffed
from fhir_server.demo.people import NORTH, person

DAYS = 12
"""Days from admission to discharge."""

_LINES = (
    Line("110900001", "住院诊查费", DAYS, Decimal("28.00")),
    Line("210300001", "腹部增强CT", 2, Decimal("300.00"), share=Decimal("0.30")),
    Line("220301001", "腹部彩色多普勒超声", 1, Decimal("150.00"), share=Decimal("0.30")),
    Line("250300000", "检验费", 7, Decimal("186.00")),
    Line("310905000", "经皮穿刺置管引流术", 1, Decimal("1280.00")),
    Line("XH01CB01", "生长抑素", 7, Decimal("212.50")),
    Line("XJ01DH51", "亚胺培南西司他丁", 10, Decimal("168.00")),
    Line("120100000", "重症监护", 4, Decimal("420.00")),
)


def stay(entries: Entries, random: Random, number: int, end: datetime) -> None:
    """Add the ``number``-th patient with the whole stay, which ends a month before ``end``."""
    admitted = end - timedelta(days=30 + DAYS)
    discharged = admitted + timedelta(days=DAYS)
    today = end.date()
    where = staffed(entries, SECOND, "gastroenterology")
    someone = person(random, number, NORTH, (42, 55), today)
    who = patient(entries, someone, where.hospital)
    payer = agency(entries)
    since = today - timedelta(days=8 * 365)
    insured = Insured(who, coverage(entries, someone, who, payer, IN_SERVICE, since), IN_SERVICE)

    stones = _past(entries, who, where, admitted - timedelta(days=3 * 365))
    diagnosis = entries.add(
        condition(
            who,
            ("K85.1", "Biliary acute pancreatitis", "急性胆源性胰腺炎"),
            admitted,
            where.doctor,
            problem=False,
        )
    )
    visit_number = f"I{number:07d}"
    encounter = entries.add(
        _encounter(insured, where, visit_number, admitted, discharged, (diagnosis, stones))
    )
    scene = Scene(who, encounter, where.doctor)
    complications = _complications(entries, scene, admitted)
    stay_measurements.add(entries, random, scene, admitted)
    stay_treatment.add(entries, scene, diagnosis, admitted)
    visit = Visit(
        visit_number,
        encounter,
        (diagnosis, *complications),
        where.hospital,
        payer,
        admitted,
        discharged,
        inpatient=True,
    )
    bill(entries, insured, visit, _LINES)


def _past(entries: Entries, who: Tree, where: Staffed, since: datetime) -> Tree:
    """Add the history: gallstones, known for years."""
    return entries.add(
        condition(
            who, ("K80.2", "Calculus of gallbladder without cholecystitis", "胆囊结石"), since, where.doctor
        )
    )


def _complications(entries: Entries, scene: Scene, admitted: datetime) -> tuple[Tree, ...]:
    """Add what went wrong and got better: kidney injury and pleural effusion."""
    found = (
        (("N17.9", "Acute renal failure, unspecified", "急性肾损伤"), 1, 6),
        (("J90", "Pleural effusion, not elsewhere classified", "胸腔积液"), 2, 9),
    )
    added = []
    for code, began, ended in found:
        onset = admitted + timedelta(days=began)
        made = condition(scene.patient, code, onset, scene.doctor, problem=False)
        made["encounter"] = scene.encounter
        made["clinicalStatus"]["coding"][0].update(code="resolved", display="Resolved")
        made["abatementDateTime"] = (admitted + timedelta(days=ended)).date().isoformat()
        added.append(entries.add(made))
    return tuple(added)


def _encounter(
    insured: Insured,
    where: Staffed,
    number: str,
    start: datetime,
    end: datetime,
    conditions: tuple[Tree, Tree],
) -> Tree:
    role = "http://terminology.hl7.org/CodeSystem/diagnosis-role"
    diagnosis, past = conditions
    return {
        "resourceType": "Encounter",
        "identifier": [
            identifier(VISIT_NUMBER, f"V{number}"),
            {**identifier(INPATIENT_NUMBER, f"Z{number}", "VN"), "assigner": where.hospital},
        ],
        "status": "finished",
        "class": {"system": ACT_CODE, "code": "IMP", "display": "inpatient encounter"},
        "priority": concept("http://terminology.hl7.org/CodeSystem/v3-ActPriority", "EM", "emergency"),
        "subject": insured.patient,
        "participant": [{"individual": where.doctor}],
        "period": {"start": start.isoformat(), "end": end.isoformat()},
        "length": {"value": Decimal(DAYS), "unit": "天", "system": "http://unitsofmeasure.org", "code": "d"},
        "reasonReference": [diagnosis],
        "diagnosis": [
            {"condition": diagnosis, "use": concept(role, "AD", "Admission diagnosis"), "rank": 1},
            {"condition": diagnosis, "use": concept(role, "DD", "Discharge diagnosis"), "rank": 1},
            {"condition": past, "use": concept(role, "CM", "Comorbidity diagnosis"), "rank": 2},
        ],
        "hospitalization": {
            "admitSource": concept(
                "http://terminology.hl7.org/CodeSystem/admit-source",
                "emd",
                "From accident/emergency department",
            ),
            "dischargeDisposition": concept(
                "http://terminology.hl7.org/CodeSystem/discharge-disposition", "home", "Home", "好转出院"
            ),
        },
        "serviceProvider": where.department,
    }
