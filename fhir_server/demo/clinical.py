"""Small builders of clinical resources that the chronic visits and the hospital stay share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from fhir_server.demo.codes import (
    ATC,
    CONDITION_CATEGORY,
    CONDITION_CLINICAL,
    CONDITION_VERIFICATION,
    ICD10,
    INTERPRETATION,
    LOINC,
    OBSERVATION_CATEGORY,
    concept,
    quantity,
)
from fhir_server.demo.diseases import Drug, Test
from fhir_server.demo.entries import Tree


@dataclass(frozen=True, slots=True)
class Scene:
    """Whom a record is about, in which encounter, and who wrote it."""

    patient: Tree
    encounter: Tree
    doctor: Tree


def condition(
    patient: Tree, icd10: tuple[str, str, str], onset: datetime, recorder: Tree, *, problem: bool = True
) -> Tree:
    """Make an active, confirmed Condition of (code, display, text). https://hl7.org/fhir/R4/condition.html"""
    category = (
        ("problem-list-item", "Problem List Item")
        if problem
        else ("encounter-diagnosis", "Encounter Diagnosis")
    )
    return {
        "resourceType": "Condition",
        "clinicalStatus": concept(CONDITION_CLINICAL, "active", "Active"),
        "verificationStatus": concept(CONDITION_VERIFICATION, "confirmed", "Confirmed"),
        "category": [concept(CONDITION_CATEGORY, *category)],
        "code": concept(ICD10, *icd10),
        "subject": patient,
        "onsetDateTime": onset.date().isoformat(),
        "recordedDate": onset.isoformat(),
        "recorder": recorder,
    }


def observation(scene: Scene, category: str, code: Tree, when: datetime) -> Tree:
    """Make a final Observation without a value yet. https://hl7.org/fhir/R4/observation.html"""
    return {
        "resourceType": "Observation",
        "status": "final",
        "category": [concept(OBSERVATION_CATEGORY, category, category.replace("-", " ").title())],
        "code": code,
        "subject": scene.patient,
        "encounter": scene.encounter,
        "effectiveDateTime": when.isoformat(),
        "performer": [scene.doctor],
    }


def measured(scene: Scene, test: Test, value: Decimal, when: datetime, category: str = "laboratory") -> Tree:
    """Make an Observation of ``test`` with its value, normal range and interpretation (L, N or H)."""
    low, high = test.normal
    flag = ("L", "Low") if value < low else ("H", "High") if value > high else ("N", "Normal")
    made = observation(scene, category, concept(LOINC, test.loinc, test.display, test.text), when)
    made["valueQuantity"] = quantity(value, test.unit)
    made["interpretation"] = [concept(INTERPRETATION, *flag)]
    made["referenceRange"] = [{"low": quantity(low, test.unit), "high": quantity(high, test.unit)}]
    return made


def component(code: str, display: str, value: Decimal, unit: str, printed: str | None = None) -> Tree:
    """Make a component of a panel, in LOINC and UCUM."""
    return {"code": concept(LOINC, code, display), "valueQuantity": quantity(value, printed or unit, unit)}


def blood_pressure(scene: Scene, systolic: int, diastolic: int, when: datetime) -> Tree:
    """Make a blood pressure of two components, in mmHg. https://hl7.org/fhir/R4/bp.html"""
    code = concept(LOINC, "85354-9", "Blood pressure panel with all children optional", "血压")
    return {
        **observation(scene, "vital-signs", code, when),
        "component": [
            component("8480-6", "Systolic blood pressure", Decimal(systolic), "mm[Hg]", "mmHg"),
            component("8462-4", "Diastolic blood pressure", Decimal(diastolic), "mm[Hg]", "mmHg"),
        ],
    }


def medication_request(scene: Scene, drug: Drug, reasons: list[Tree], when: datetime) -> Tree:
    """Make a MedicationRequest for four weeks. https://hl7.org/fhir/R4/medicationrequest.html"""
    return {
        "resourceType": "MedicationRequest",
        "status": "completed",
        "intent": "order",
        "medicationCodeableConcept": concept(ATC, drug.atc, drug.display, drug.text),
        "subject": scene.patient,
        "encounter": scene.encounter,
        "authoredOn": when.isoformat(),
        "requester": scene.doctor,
        "reasonReference": reasons,
        "dosageInstruction": [
            {
                "text": f"每次 {drug.dose} {drug.unit}, 每日 {drug.daily} 次",
                "timing": {"repeat": {"frequency": drug.daily, "period": 1, "periodUnit": "d"}},
                "doseAndRate": [{"doseQuantity": quantity(drug.dose, drug.unit)}],
            }
        ],
    }
