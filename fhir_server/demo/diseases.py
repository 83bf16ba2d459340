"""Five chronic diseases as data: how each is coded, treated and followed.

Codes are those of ICD-10 (WHO), ATC, LOINC and UCUM; ranges are typical of a treated patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Test:
    """A measurement: LOINC code, unit, what patients show (``low`` to ``high``) and what is normal."""

    loinc: str
    display: str
    text: str
    unit: str
    low: Decimal
    high: Decimal
    normal: tuple[Decimal, Decimal]
    price: Decimal


@dataclass(frozen=True, slots=True)
class Drug:
    """A medicine: ATC code, one dose, doses a day, and the price of four weeks in yuan."""

    atc: str
    display: str
    text: str
    dose: Decimal
    unit: str
    daily: int
    price: Decimal


@dataclass(frozen=True, slots=True)
class Disease:
    """A chronic disease, the department that follows it, its tests, medicines and plan of care."""

    icd10: str
    display: str
    text: str
    department: str
    tests: tuple[Test, ...]
    drugs: tuple[Drug, ...]
    plan: tuple[str, ...]


def _test(
    loinc: str, display: str, text: str, unit: str, low: str, high: str, normal: str, price: str
) -> Test:
    least, greatest = normal.split("-")
    return Test(
        loinc,
        display,
        text,
        unit,
        Decimal(low),
        Decimal(high),
        (Decimal(least), Decimal(greatest)),
        Decimal(price),
    )


def _drug(atc: str, display: str, text: str, dose: str, daily: int, price: str) -> Drug:
    amount, unit = dose.split(" ")
    return Drug(atc, display, text, Decimal(amount), unit, daily, Decimal(price))


CREATININE = _test(
    "14682-9",
    "Creatinine [Moles/volume] in Serum or Plasma",
    "血肌酐",
    "umol/L",
    "58",
    "104",
    "57-111",
    "8.00",
)
GLUCOSE = _test(
    "14749-6", "Glucose [Moles/volume] in Serum or Plasma", "血糖", "mmol/L", "5.6", "11.8", "3.9-6.1", "6.00"
)
HBA1C = _test(
    "4548-4",
    "Hemoglobin A1c/Hemoglobin.total in Blood",
    "糖化血红蛋白",
    "%",
    "6.1",
    "9.6",
    "4.0-6.0",
    "70.00",
)
CHOLESTEROL = _test(
    "14647-2",
    "Cholesterol [Moles/volume] in Serum or Plasma",
    "总胆固醇",
    "mmol/L",
    "3.80",
    "6.90",
    "2.80-5.20",
    "10.00",
)
TRIGLYCERIDE = _test(
    "14927-8",
    "Triglyceride [Moles/volume] in Serum or Plasma",
    "甘油三酯",
    "mmol/L",
    "0.90",
    "3.40",
    "0.40-1.70",
    "10.00",
)
LDL = _test(
    "22748-8",
    "Cholesterol in LDL [Moles/volume] in Serum or Plasma",
    "低密度脂蛋白胆固醇",
    "mmol/L",
    "1.60",
    "4.30",
    "1.30-3.40",
    "15.00",
)
OXYGEN = _test(
    "59408-5",
    "Oxygen saturation in Arterial blood by Pulse oximetry",
    "血氧饱和度",
    "%",
    "90",
    "97",
    "95-100",
    "5.00",
)
UREA = _test(
    "14937-7",
    "Urea nitrogen [Moles/volume] in Serum or Plasma",
    "尿素氮",
    "mmol/L",
    "6.2",
    "16.8",
    "3.1-8.0",
    "8.00",
)
CREATININE_CKD = _test(
    "14682-9",
    "Creatinine [Moles/volume] in Serum or Plasma",
    "血肌酐",
    "umol/L",
    "132",
    "248",
    "57-111",
    "8.00",
)

DISEASES = (
    Disease(
        "I10",
        "Essential (primary) hypertension",
        "原发性高血压",
        "cardiology",
        (CREATININE, CHOLESTEROL, LDL),
        (
            _drug("C08CA01", "amlodipine", "苯磺酸氨氯地平片 5 mg", "5 mg", 1, "18.60"),
            _drug("C09CA03", "valsartan", "缬沙坦胶囊 80 mg", "80 mg", 1, "22.40"),
        ),
        ("低盐饮食, 每日食盐少于 5 g", "每日测量血压并记录", "每周运动 150 分钟"),
    ),
    Disease(
        "E11.9",
        "Type 2 diabetes mellitus without complications",
        "2型糖尿病",
        "endocrinology",
        (GLUCOSE, HBA1C, TRIGLYCERIDE),
        (
            _drug("A10BA02", "metformin", "盐酸二甲双胍片 500 mg", "500 mg", 2, "12.80"),
            _drug("A10BK01", "dapagliflozin", "达格列净片 10 mg", "10 mg", 1, "61.60"),
        ),
        ("控制总热量饮食", "每周测量血糖 3 次", "每年检查眼底和足部"),
    ),
    Disease(
        "I25.1",
        "Atherosclerotic heart disease",
        "冠状动脉粥样硬化性心脏病",
        "cardiology",
        (CHOLESTEROL, TRIGLYCERIDE, LDL),
        (
            _drug("B01AC06", "acetylsalicylic acid", "阿司匹林肠溶片 100 mg", "100 mg", 1, "13.90"),
            _drug("C10AA05", "atorvastatin", "阿托伐他汀钙片 20 mg", "20 mg", 1, "25.20"),
        ),
        ("戒烟", "低脂饮食", "胸痛时含服硝酸甘油并就医"),
    ),
    Disease(
        "J44.9",
        "Chronic obstructive pulmonary disease, unspecified",
        "慢性阻塞性肺疾病",
        "respiratory",
        (OXYGEN,),
        (_drug("R03BB04", "tiotropium bromide", "噻托溴铵粉吸入剂 18 ug", "18 ug", 1, "118.00"),),
        ("戒烟", "每年接种流感疫苗", "呼吸康复训练"),
    ),
    Disease(
        "N18.3",
        "Chronic kidney disease, stage 3",
        "慢性肾脏病3期",
        "nephrology",
        (CREATININE_CKD, UREA),
        (_drug("C09AA05", "ramipril", "雷米普利片 5 mg", "5 mg", 1, "33.60"),),
        ("优质低蛋白饮食", "避免肾毒性药物", "每三个月复查肾功能"),
    ),
)

DEPRESSION = Disease(
    "F32.1",
    "Moderate depressive episode",
    "中度抑郁发作",
    "psychiatry",
    (
        _test(
            "44261-6",
            "Patient Health Questionnaire 9 item (PHQ-9) total score [Reported]",
            "PHQ-9 抑郁症筛查量表总分",
            "{score}",
            "6",
            "17",
            "0-4",
            "20.00",
        ),
    ),
    (_drug("N06AB06", "sertraline", "盐酸舍曲林片 50 mg", "50 mg", 1, "39.80"),),
    ("规律作息", "每四周复诊并填写量表", "情绪明显变化时及时联系医生"),
)
"""What some patients do not want everybody to see: the labels of mental health are given to its records."""
