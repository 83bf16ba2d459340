"""What was done in the stay: drugs, fluids, nutrition, tubes and drains, imaging."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from fhir_server.demo.clinical import Scene, medication_request
from fhir_server.demo.codes import LOINC, MINTED, concept, quantity
from fhir_server.demo.diseases import Drug
from fhir_server.demo.entries import Entries, Tree

_LOCAL = f"{MINTED}/CodeSystem/clinical-procedure"
_DICOM = "http://dicom.nema.org/resources/ontology/DCM"


class Given(NamedTuple):
    """A drug, the first day of the stay on which it was given, and the first on which it no longer was."""

    drug: Drug
    start: int
    stop: int
    route: str


class Tube(NamedTuple):
    """A tube or drain: code, name, why, the day it went in and the day it came out."""

    code: str
    display: str
    text: str
    start: int
    stop: int


class Image(NamedTuple):
    """An imaging study: DICOM modality, names, day, conclusion, and a number that makes its UID its own."""

    modality: str
    display: str
    text: str
    day: int
    conclusion: str
    number: int


def _drug(atc: str, display: str, text: str, dose: str, unit: str, daily: int) -> Drug:
    return Drug(atc, display, text, Decimal(dose), unit, daily, Decimal(0))


_DRUGS = (
    Given(_drug("H01CB01", "somatostatin", "注射用生长抑素", "6", "mg", 1), 0, 7, "持续静脉泵入"),
    Given(_drug("A02BC01", "omeprazole", "注射用奥美拉唑钠", "40", "mg", 2), 0, 8, "静脉滴注"),
    Given(
        _drug("J01DH51", "imipenem and cilastatin", "注射用亚胺培南西司他丁钠", "1", "g", 3), 1, 8, "静脉滴注"
    ),
    Given(_drug("B05BB01", "electrolytes", "乳酸钠林格注射液", "3000", "mL", 1), 0, 5, "静脉滴注"),
    Given(_drug("A10AB01", "insulin (human)", "胰岛素注射液", "24", "[IU]", 1), 0, 5, "持续静脉泵入"),
    Given(_drug("A12AA03", "calcium gluconate", "葡萄糖酸钙注射液", "2", "g", 1), 1, 4, "静脉注射"),
)

_TUBES = (
    Tube("nasogastric-tube", "Nasogastric tube", "鼻胃管, 胃肠减压", 0, 5),
    Tube("nasojejunal-tube", "Nasojejunal feeding tube", "鼻空肠营养管", 2, 9),
    Tube("peripancreatic-drain", "Percutaneous peripancreatic drain", "经皮胰周引流管", 3, 10),
    Tube("urinary-catheter", "Urinary catheter", "导尿管", 0, 6),
)

_IMAGES = (
    Image("US", "Ultrasound of abdomen", "腹部彩色多普勒超声", 0, "胆囊多发结石, 胰腺肿大, 胰周积液。", 1),
    Image("CT", "CT abdomen with contrast", "腹部增强CT", 1, "胰腺弥漫性肿大, 胰周渗出, Balthazar D级。", 2),
    Image("CT", "CT abdomen with contrast", "腹部增强CT", 9, "胰周渗出较前明显吸收, 未见坏死。", 3),
)


def add(entries: Entries, scene: Scene, diagnosis: Tree, admitted: datetime) -> None:
    """Add everything that was done for ``diagnosis``; ``admitted`` is day 0."""
    for given in _DRUGS:
        _medicate(entries, scene, given, diagnosis, admitted)
    for tube in _TUBES:
        _intubate(entries, scene, tube, diagnosis, admitted)
    for image in _IMAGES:
        _depict(entries, scene, image, admitted)
    _nourish(entries, scene, admitted)
    conservative = concept(_LOCAL, "conservative", "Conservative treatment", "非手术综合治疗")
    entries.add(_procedure(scene, conservative, diagnosis, admitted, admitted + timedelta(days=11)))


def _medicate(entries: Entries, scene: Scene, given: Given, reason: Tree, admitted: datetime) -> None:
    """Add one order, and one administration for each day. https://hl7.org/fhir/R4/medicationadministration.html"""
    ordered = medication_request(scene, given.drug, [reason], admitted + timedelta(days=given.start))
    request = entries.add(ordered)
    for day in range(given.start, given.stop):
        entries.add(
            {
                "resourceType": "MedicationAdministration",
                "status": "completed",
                "medicationCodeableConcept": ordered["medicationCodeableConcept"],
                "subject": scene.patient,
                "context": scene.encounter,
                "effectiveDateTime": (admitted + timedelta(days=day, hours=3)).isoformat(),
                "performer": [{"actor": scene.doctor}],
                "reasonReference": [reason],
                "request": request,
                "dosage": {
                    "route": {"text": given.route},
                    "dose": quantity(given.drug.dose * given.drug.daily, given.drug.unit),
                },
            }
        )


def _intubate(entries: Entries, scene: Scene, tube: Tube, reason: Tree, admitted: datetime) -> None:
    """Add a Device, and the Procedure that put it in and later took it out."""
    kind = concept(_LOCAL, tube.code, tube.display, tube.text)
    device = entries.add(
        {
            "resourceType": "Device",
            "status": "inactive",
            "type": kind,
            "deviceName": [{"name": tube.display, "type": "user-friendly-name"}],
            "patient": scene.patient,
        }
    )
    inserted = admitted + timedelta(days=tube.start, hours=4)
    code = concept(
        _LOCAL, f"{tube.code}-placement", f"Placement of {tube.display.lower()}", f"{tube.text}置入"
    )
    entries.add(
        {
            **_procedure(scene, code, reason, inserted, admitted + timedelta(days=tube.stop)),
            "focalDevice": [{"manipulated": device}],
            "usedReference": [device],
        }
    )


def _procedure(scene: Scene, code: Tree, reason: Tree, start: datetime, end: datetime) -> Tree:
    return {
        "resourceType": "Procedure",
        "status": "completed",
        "code": code,
        "subject": scene.patient,
        "encounter": scene.encounter,
        "performedPeriod": {"start": start.isoformat(), "end": end.isoformat()},
        "performer": [{"actor": scene.doctor}],
        "reasonReference": [reason],
    }


def _depict(entries: Entries, scene: Scene, image: Image, admitted: datetime) -> None:
    """Add a ServiceRequest, the ImagingStudy it led to, and the report."""
    when = (admitted + timedelta(days=image.day, hours=6)).isoformat()
    code = concept(f"{MINTED}/CodeSystem/imaging", f"{image.modality}-abdomen", image.display, image.text)
    order = entries.add(
        {
            "resourceType": "ServiceRequest",
            "status": "completed",
            "intent": "order",
            "code": code,
            "subject": scene.patient,
            "encounter": scene.encounter,
            "authoredOn": when,
            "requester": scene.doctor,
        }
    )
    modality = {"system": _DICOM, "code": image.modality}
    study = entries.add(
        {
            "resourceType": "ImagingStudy",
            "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:2.25.9900000{image.number}"}],
            "status": "available",
            "modality": [modality],
            "subject": scene.patient,
            "encounter": scene.encounter,
            "started": when,
            "basedOn": [order],
            "description": image.text,
            "series": [
                {"uid": f"2.25.9900000{image.number}.1", "modality": modality, "numberOfInstances": 24}
            ],
        }
    )
    entries.add(
        {
            "resourceType": "DiagnosticReport",
            "basedOn": [order],
            "status": "final",
            "category": [concept(LOINC, "18748-4", "Diagnostic imaging study")],
            "code": code,
            "subject": scene.patient,
            "encounter": scene.encounter,
            "effectiveDateTime": when,
            "issued": when,
            "performer": [scene.doctor],
            "imagingStudy": [study],
            "conclusion": image.conclusion,
        }
    )


def _nourish(entries: Entries, scene: Scene, admitted: datetime) -> None:
    """Order nothing by mouth, then a tube, then a diet without fat. https://hl7.org/fhir/R4/nutritionorder.html"""
    steps: tuple[tuple[int, Tree], ...] = (
        (0, {"oralDiet": {"type": [{"text": "禁食禁水"}], "instruction": "胃肠减压期间禁食"}}),
        (
            2,
            {
                "enteralFormula": {
                    "baseFormulaProductName": "短肽型肠内营养剂",
                    "routeofAdministration": {"text": "经鼻空肠管"},
                    "maxVolumeToDeliver": quantity(Decimal(1500), "mL"),
                }
            },
        ),
        (9, {"oralDiet": {"type": [{"text": "低脂流质饮食"}]}}),
    )
    for day, content in steps:
        entries.add(
            {
                "resourceType": "NutritionOrder",
                "status": "completed",
                "intent": "order",
                "patient": scene.patient,
                "encounter": scene.encounter,
                "dateTime": (admitted + timedelta(days=day)).isoformat(),
                "orderer": scene.doctor,
                **content,
            }
        )
