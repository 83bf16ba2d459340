"""Converters of what was measured: a result with its unit, the bounds of a reference range; a constant.

https://hl7.org/fhir/R4/datatypes.html#Quantity and https://hl7.org/fhir/R4/observation.html
"""

from __future__ import annotations

import re
from decimal import Decimal
from random import Random
from typing import Any

from mappings.engine.converters.base import Converter, Options, chosen
from mappings.engine.converters.numbers import plain

_RESULT = re.compile(r"(<=|>=|<|>|≤|≥|＜|＞)?([+-]?\d{1,17}(?:\.\d{1,17})?)")
_SIGNS = {"≤": "<=", "≥": ">=", "＜": "<", "＞": ">"}
_RANGE = re.compile(r"([+-]?\d+(?:\.\d+)?)\s*(?:--|[-~～—–]+|至)\s*([+-]?\d+(?:\.\d+)?)")
_ONE_SIDED = re.compile(r"(<=|>=|<|>|≤|≥|＜|＞)\s*([+-]?\d+(?:\.\d+)?)")
_BETWEEN = "\u00a0"
"""Stands between a result that is no number and its unit: a no-break space, which no result holds."""


def measured(options: Options) -> Converter:
    """Read (result, unit) as a Quantity, a sign before the number as its comparator; else nothing."""
    chosen(options)

    def read(values: tuple[Any, ...]) -> dict[str, Any] | None:
        result, unit = values
        match = _RESULT.fullmatch(result) if result is not None else None
        if match is None:
            return None
        quantity: dict[str, Any] = {"value": Decimal(match[2])}
        if match[1]:
            quantity["comparator"] = _SIGNS.get(match[1], match[1])
        if unit is not None:
            quantity["unit"] = unit
        return quantity

    def write(value: Any) -> tuple[str | None, str | None]:
        if not isinstance(value, dict) or "value" not in value:
            raise ValueError("A Quantity with a value is expected here.")
        return f"{value.get('comparator', '')}{plain(value['value'])}", value.get("unit")

    def sample(random: Random) -> tuple[str, str | None]:
        sign = random.choice(("", "", "<", ">="))
        return f"{sign}{random.randint(0, 500)}.{random.randint(0, 99):02}", random.choice(("mmol/L", None))

    return Converter("measured", read, write, sample, many=True)


def unmeasured(options: Options) -> Converter:
    """Read (result, unit) as text when the result is no number, else nothing; beside ``measured``."""
    chosen(options)

    def read(values: tuple[Any, ...]) -> str | None:
        result, unit = values
        if result is None or _RESULT.fullmatch(result):
            return None
        return result if unit is None else f"{result}{_BETWEEN}{unit}"

    def write(value: Any) -> tuple[str | None, str | None]:
        result, between, unit = str(value).rpartition(_BETWEEN)
        return (result, unit) if between else (unit, None)

    return Converter(
        "unmeasured",
        read,
        write,
        lambda random: (
            random.choice(("阴性", "阳性(+)", "未检出", "1:80")),
            random.choice(("mmol/L", None)),
        ),
        many=True,
    )


def bound(options: Options) -> Converter:
    """Read one end of a range written as text: ``{bound: {which: low}}`` of "3.5-9.5" is 3.5; else nothing.

    It cannot be written back: the text of the range is to be mapped beside it.
    """
    which = chosen(options, which="low")["which"]
    if which not in {"low", "high"}:
        raise ValueError("'which' is low or high.")
    index = 1 if which == "low" else 2
    signs = {">", ">="} if which == "low" else {"<", "<="}

    def read(value: Any) -> Decimal | None:
        match = _RANGE.fullmatch(value)
        if match is not None:
            return Decimal(match[index])
        match = _ONE_SIDED.fullmatch(value)
        return Decimal(match[2]) if match and _SIGNS.get(match[1], match[1]) in signs else None

    def write(value: Any) -> str:
        number = plain(value)
        return f"{number}-{number}"

    return Converter("bound", read, write, lambda random: write(Decimal(random.randint(0, 500))))


def constant(options: Options) -> Converter:
    """Read any value as the one given: ``{constant: {value: finished}}``; for pairs that are read one way."""
    value = chosen(options, value=None)["value"]
    if value is None:
        raise ValueError("'constant' needs a value.")
    return Converter("constant", lambda _: value, lambda _: str(value), lambda _: str(value))
