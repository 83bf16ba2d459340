"""What a column of a sample seems to hold: dates, money, sex, identity numbers, codes, keys, names.

A guess is a proposal for a person to look at; each comes with the reason why.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_DATE = re.compile(r"\d{4}[-/.年]?\d{1,2}[-/.月]?\d{1,2}日?")
_TIME = re.compile(r"\d{4}[-/.年]?\d{1,2}[-/.月]?\d{1,2}日?[ T]?\d{2}:?\d{2}(:?\d{2})?.*")
_CARD = re.compile(r"\d{17}[\dXx]|\d{15}")
_PHONE = re.compile(r"1\d{10}|0\d{2,3}-?\d{7,8}")
_MONEY = re.compile(r"-?\d+\.\d{2,4}")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_GENDERS = frozenset({"男", "女", "男性", "女性", "未知", "M", "F", "0", "1", "2", "9", "male", "female"})
_FLAGS = (frozenset({"0", "1"}), frozenset({"是", "否"}), frozenset({"Y", "N"}))
_MOST_CODES = 12

_NAMES = {
    "patient": r"患者|病人|姓名|patient|^name$|pat_name|xm$",
    "patient-number": r"病人id|患者id|patient_?id|病历号|就诊卡|档案号|门诊号|住院号|编号$|mrn",
    "gender": r"性别|sex|gender|xb$",
    "birth": r"出生|birth|dob|brdy|csrq",
    "card": r"身份证|证件号|id_?no|certno|id_?card|sfzh",
    "phone": r"电话|手机|phone|mobile|tel",
    "address": r"地址|住址|addr",
    "money": r"金额|费用|价|cost|charge|fee|amount|price",
    "nation": r"民族|nation|naty",
    "visit-number": r"就诊号|就诊id|visit_?(id|no)|流水号|挂号",
    "dept": r"科室|dept",
    "doctor": r"医生|医师|doctor|dr_name",
    "diagnosis": r"诊断|diag",
    "time": r"时间|日期|date|time",
}


@dataclass(frozen=True, slots=True)
class Guess:
    """A column: what it seems to be (``kind``), why, and for codes the values that occur."""

    name: str
    kind: str
    why: str
    values: tuple[str, ...] = ()
    is_unique: bool = False


def guess(name: str, cells: Sequence[str]) -> Guess:
    """Guess what a column holds, by its name and the cells of the sample."""
    given = [cell for cell in cells if cell]
    unique = len(given) > 1 and len(set(given)) == len(given)
    if not given:
        return Guess(name, "empty", "the sample has no value in it")
    kind, why = _by_content(name, given)
    values = tuple(sorted(set(given))) if kind in {"codes", "flag"} else ()
    return Guess(name, kind, why, values, unique)


def means(name: str, *kinds: str) -> bool:
    """Tell whether a column's name speaks of one of the kinds."""
    return any(re.search(_NAMES[kind], name, re.IGNORECASE) for kind in kinds)


def _by_content(name: str, given: list[str]) -> tuple[str, str]:  # noqa: C901, PLR0911 - one line for each kind
    distinct = set(given)
    if means(name, "gender") and distinct <= _GENDERS:
        return "gender", f"the name speaks of sex, and the values are {_some(distinct)}"
    if _all(_CARD, given) and (means(name, "card") or len(given[0]) == 18):
        return "card", "identity card numbers have 18 digits"
    if means(name, "phone") and _all(re.compile(r"[\d+() -]{5,20}"), given):
        return "phone", "the name speaks of a telephone"
    if _all(_TIME, given) and any(":" in cell or len(cell) >= 12 for cell in given):
        return "datetime", "the values are dates with times"
    if _all(_DATE, given) and (means(name, "birth", "time") or not _all(_NUMBER, given)):
        return "date", "the values are dates"
    if _all(_PHONE, given):
        return "phone", "the values look like telephone numbers"
    if _all(_NUMBER, given) and means(name, "money"):
        return "money", "the name speaks of money, and the values are numbers"
    if _all(_MONEY, given):
        return "decimal", "the values have decimals"
    if means(name, "patient-number", "visit-number", "card"):
        return "key", "the name speaks of a number that names something"
    if distinct in _FLAGS or (len(distinct) == 1 and any(distinct <= flags for flags in _FLAGS[1:])):
        return "flag", f"the values are {_some(distinct)}"
    if (
        len(distinct) <= _MOST_CODES
        and len(given) >= 3 * len(distinct)
        and all(len(cell) <= 20 for cell in distinct)
    ):
        return "codes", f"{len(distinct)} values repeat in {len(given)} rows"
    return "text", "nothing else fits"


def _all(pattern: re.Pattern[str], given: Sequence[str]) -> bool:
    return all(pattern.fullmatch(cell) for cell in given)


def _some(values: set[str]) -> str:
    return ", ".join(sorted(values)[:5])
