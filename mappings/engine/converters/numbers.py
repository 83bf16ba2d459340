"""Converters of numbers: decimals keep their digits (``1.10`` stays ``1.10``), money, integers, flags."""

from __future__ import annotations

import re
from decimal import Decimal
from random import Random
from typing import Any

from mappings.engine.converters.base import Converter, Options, chosen, words

_DECIMAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_MOST_DIGITS = 40
"""More digits than any amount has; a hostile number of a million digits would cost much time."""


def _decimal(value: Any) -> Decimal:
    if isinstance(value, Decimal):
        return value
    text = str(value).replace(",", "")
    if len(text) > _MOST_DIGITS or not _DECIMAL.fullmatch(text):
        raise ValueError("The value is no number.")
    return Decimal(text)


def plain(value: Any) -> str:
    """Write a number without an exponent, digits as they are."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("The element's value is no number.")
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def _some(random: Random) -> str:
    digits = random.choice((0, 1, 2, 2, 4))
    number = random.randint(-10_000_000, 10_000_000)
    return f"{Decimal(number).scaleb(-digits):f}"


def decimal(options: Options) -> Converter:
    """Read a decimal number; its digits stay, trailing zeros too."""
    chosen(options)
    return Converter("decimal", _decimal, plain, _some)


def scale(options: Options) -> Converter:
    """Move the decimal point: ``{scale: {digits: 2}}`` reads 0.15 as 15, a share as per cent."""
    digits = int(chosen(options, digits=2)["digits"])
    return Converter(
        "scale",
        lambda value: _decimal(value).scaleb(digits),
        lambda value: plain(Decimal(plain(value)).scaleb(-digits)),
        lambda random: f"{Decimal(random.randint(0, 10_000)).scaleb(-digits - 2):f}",
    )


def money(options: Options) -> Converter:
    """Read an amount as Money: ``{money: {currency: CNY}}``. https://hl7.org/fhir/R4/datatypes.html#Money"""
    currency = str(chosen(options, currency="CNY")["currency"])

    def write(value: Any) -> str:
        if not isinstance(value, dict) or "value" not in value:
            raise ValueError("Money with a value is expected here.")
        if value.get("currency", currency) != currency:
            raise ValueError(f"The amount is not in {currency}.")
        return plain(value["value"])

    return Converter("money", lambda value: {"value": _decimal(value), "currency": currency}, write, _some)


def integer(options: Options) -> Converter:
    """Read a whole number; ``{integer: {least: 1}}`` refuses smaller ones. ``5.0`` counts as 5."""
    least = chosen(options, least=None)["least"]

    def read(value: Any) -> int:
        number = _decimal(value)
        if number.adjusted() > 18 or number != number.to_integral_value():
            raise ValueError("The value is no whole number.")
        if least is not None and number < int(least):
            raise ValueError(f"The value is less than {least}.")
        return int(number)

    def write(value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError("The element's value is no whole number.")
        return str(value)

    low = 0 if least is None else int(least)
    return Converter("integer", read, write, lambda random: str(random.randint(low, low + 10_000)))


def boolean(options: Options) -> Converter:
    """Read a flag: ``{boolean: {"true": [1, 是], "false": [0, 否]}}``; the first of each is written."""
    chosen_ = chosen(options, true=["1", "是", "Y", "true"], false=["0", "否", "N", "false"])
    yes, no = words(chosen_["true"]), words(chosen_["false"])
    if not yes or not no:
        raise ValueError("'boolean' needs at least one value for true and one for false.")
    there = dict.fromkeys(yes, True) | dict.fromkeys(no, False)

    def read(value: Any) -> bool:
        if value not in there:
            raise ValueError("The value is neither of the two that the flag has.")
        return there[value]

    def write(value: Any) -> str:
        if not isinstance(value, bool):
            raise ValueError("The element's value is neither true nor false.")
        return yes[0] if value else no[0]

    return Converter("boolean", read, write, lambda random: random.choice((yes[0], no[0])))
