"""What was measured in the stay: vital signs, laboratory, blood gas, fluids, APACHE II, the outcome."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

from fhir_server.demo.clinical import Scene, blood_pressure, component, measured, observation
from fhir_server.demo.codes import LOINC, MINTED, concept, quantity
from fhir_server.demo.diseases import CREATININE, GLUCOSE, OXYGEN, UREA, Test
from fhir_server.demo.entries import Entries, Tree

_LOCAL = f"{MINTED}/CodeSystem/clinical-observation"


def _test(loinc: str, display: str, text: str, unit: str, normal: tuple[str, str]) -> Test:
    low, high = Decimal(normal[0]), Decimal(normal[1])
    return Test(loinc, display, text, unit, low, high, (low, high), Decimal(0))


_TEMPERATURE = _test("8310-5", "Body temperature", "体温", "Cel", ("36.0", "37.2"))
_PULSE = _test("8867-4", "Heart rate", "心率", "/min", ("60", "100"))
_BREATHS = _test("9279-1", "Respiratory rate", "呼吸频率", "/min", ("12", "20"))

_COURSE: tuple[tuple[Test, tuple[str, ...]], ...] = (
    (
        _test(
            "6690-2",
            "Leukocytes [#/volume] in Blood by Automated count",
            "白细胞计数",
            "10*9/L",
            ("3.5", "9.5"),
        ),
        ("17.8", "19.2", "16.4", "13.7", "10.9", "8.6", "7.1"),
    ),
    (CREATININE, ("118", "164", "148", "121", "96", "82", "78")),
    (UREA, ("9.6", "13.2", "12.1", "9.4", "7.2", "6.0", "5.4")),
    (
        _test(
            "1798-8",
            "Amylase [Enzymatic activity/volume] in Serum or Plasma",
            "血淀粉酶",
            "U/L",
            ("30", "110"),
        ),
        ("1286", "964", "612", "318", "164", "108", "86"),
    ),
    (
        _test("1799-6", "Amylase [Enzymatic activity/volume] in Urine", "尿淀粉酶", "U/L", ("0", "450")),
        ("4120", "5230", "3310", "1840", "920", "510", "360"),
    ),
    (
        _test("2000-8", "Calcium [Moles/volume] in Serum or Plasma", "血钙", "mmol/L", ("2.11", "2.52")),
        ("1.92", "1.78", "1.86", "1.98", "2.10", "2.18", "2.24"),
    ),
    (GLUCOSE, ("14.2", "13.1", "11.4", "9.2", "7.8", "6.4", "5.8")),
)
_LAB_DAYS = (0, 1, 2, 3, 5, 7, 10)

_GASES = (
    (0, "7.31", "62", "31", "15.8", "-9.2"),
    (1, "7.34", "68", "33", "18.1", "-6.9"),
    (3, "7.39", "81", "37", "22.4", "-2.1"),
    (7, "7.41", "92", "40", "24.6", "0.3"),
)
"""Day, pH, pO2 and pCO2 in mmHg, bicarbonate and base excess in mmol/L."""

_FLUIDS = (
    (0, 5200, 1150, 620),
    (1, 4800, 2300, 1480),
    (2, 4100, 3050, 2100),
    (3, 3600, 3400, 2450),
    (5, 3000, 2900, 2200),
    (7, 2600, 2500, 1950),
)
"""Day, taken in, given out, urine: millilitres in 24 hours."""


def add(entries: Entries, random: Random, scene: Scene, admitted: datetime) -> None:
    """Add every measurement of the stay."""
    for day in range(12):
        for hour in (8, 20) if day < 4 else (8,):
            _vitals(entries, random, scene, day, admitted + timedelta(days=day, hours=hour))
    for test, course in _COURSE:
        for day, value in zip(_LAB_DAYS, course, strict=True):
            entries.add(measured(scene, test, Decimal(value), admitted + timedelta(days=day, hours=1)))
    for row in _GASES:
        entries.add(_gas(scene, row, admitted))
    for day, taken, given, urine in _FLUIDS:
        entries.add(_fluids(scene, (taken, given, urine), admitted + timedelta(days=day)))
    _apache(entries, scene, "治疗前", 14, Decimal("0.186"), admitted + timedelta(hours=2))
    _apache(entries, scene, "治疗后", 4, Decimal("0.035"), admitted + timedelta(days=10))
    outcome = observation(
        scene, "survey", concept(_LOCAL, "outcome", "Outcome of treatment", "治疗转归"), admitted
    )
    outcome["effectiveDateTime"] = (admitted + timedelta(days=12)).isoformat()
    outcome["valueCodeableConcept"] = concept(_LOCAL, "improved", "Improved", "好转")
    entries.add(outcome)


def _vitals(entries: Entries, random: Random, scene: Scene, day: int, when: datetime) -> None:
    """Fever, a fast pulse and fast breathing that settle over a week."""
    ill = max(0, 7 - day)
    values = (
        (_TEMPERATURE, Decimal(366 + 3 * ill + random.randint(0, 3)).scaleb(-1)),
        (_PULSE, Decimal(76 + 6 * ill + random.randint(0, 6))),
        (_BREATHS, Decimal(16 + ill + random.randint(0, 2))),
        (replace(OXYGEN, price=Decimal(0)), Decimal(98 - ill + random.randint(0, 1))),
    )
    for test, value in values:
        entries.add(measured(scene, test, value, when, "vital-signs"))
    entries.add(
        blood_pressure(scene, 126 - 4 * ill + random.randint(0, 9), 76 - 2 * ill + random.randint(0, 6), when)
    )


def _gas(scene: Scene, row: tuple[int, str, str, str, str, str], admitted: datetime) -> Tree:
    day, ph, oxygen, carbon_dioxide, bicarbonate, excess = row
    code = concept(LOINC, "24336-0", "Gas panel - Arterial blood", "动脉血气分析")
    return {
        **observation(scene, "laboratory", code, admitted + timedelta(days=day, hours=1)),
        "component": [
            component("2744-1", "pH of Arterial blood", Decimal(ph), "[pH]", "pH"),
            component(
                "2703-7", "Oxygen [Partial pressure] in Arterial blood", Decimal(oxygen), "mm[Hg]", "mmHg"
            ),
            component(
                "2019-8",
                "Carbon dioxide [Partial pressure] in Arterial blood",
                Decimal(carbon_dioxide),
                "mm[Hg]",
                "mmHg",
            ),
            component(
                "1960-4", "Bicarbonate [Moles/volume] in Arterial blood", Decimal(bicarbonate), "mmol/L"
            ),
            component("1925-7", "Base excess in Arterial blood by calculation", Decimal(excess), "mmol/L"),
        ],
    }


def _fluids(scene: Scene, volumes: tuple[int, int, int], start: datetime) -> Tree:
    code = concept(_LOCAL, "fluid-balance", "Fluid balance of 24 hours", "24小时出入量")
    parts = (
        ("fluid-intake", "Fluid intake", "入量"),
        ("fluid-output", "Fluid output", "出量"),
        ("urine-output", "Urine output", "尿量"),
    )
    made = observation(scene, "vital-signs", code, start)
    del made["effectiveDateTime"]
    made["effectivePeriod"] = {"start": start.isoformat(), "end": (start + timedelta(days=1)).isoformat()}
    made["component"] = [
        {"code": concept(_LOCAL, *part), "valueQuantity": quantity(Decimal(volume), "mL")}
        for part, volume in zip(parts, volumes, strict=True)
    ]
    return made


def _apache(
    entries: Entries, scene: Scene, text: str, score: int, mortality: Decimal, when: datetime
) -> None:
    code = concept(_LOCAL, "apache-ii", "APACHE II score", f"APACHE II 评分({text})")
    made = observation(scene, "survey", code, when)
    made["valueQuantity"] = quantity(Decimal(score), "分", "{score}")
    basis = entries.add(made)
    entries.add(
        {
            "resourceType": "RiskAssessment",
            "status": "final",
            "subject": scene.patient,
            "encounter": scene.encounter,
            "occurrenceDateTime": when.isoformat(),
            "performer": scene.doctor,
            "basis": [basis],
            "prediction": [{"outcome": {"text": "住院死亡"}, "probabilityDecimal": mortality}],
        }
    )
