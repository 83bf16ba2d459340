"""Converters of numbers that name people: the identity card number (公民身份号码), telephone numbers."""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache
from random import Random

from stdnum.cn import ric
from stdnum.exceptions import ValidationError

from mappings.engine.converters.base import Converter, Options, Warned, as_text, chosen

_PHONE = re.compile(r"\+?[\d()（） \-—转extEXT.,#*]{3,40}")


def cn_id(options: Options) -> Converter:
    """Read an identity card number (GB 11643), ``x`` at its end as ``X``; one that does not hold warns.

    It never refuses: the standards' own examples have wrong check digits, and a record is not to be lost
    for one. Numbers of 15 digits (before 1999) have no check digit.
    """
    chosen(options)

    def read(value: str) -> str | Warned:
        number = value.upper()
        if len(number) == 15 and number.isdecimal():
            return number
        if not _holds(number):
            return Warned(
                number, "The identity card number does not hold: wrong length, date, region or check digit."
            )
        return number

    return Converter("cn-id", read, as_text, some_number, warns=True)


def _holds(number: str) -> bool:
    """Tell whether region, date and check digit hold, as ``ric.validate`` does, several times faster."""
    if len(number) != 18 or not number[:17].isdecimal() or not number.isascii():
        return False
    try:
        day = date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return False
    return number[17] == ric.calc_check_digit(number) and _is_region(number[:6], day.year)


@lru_cache(maxsize=65_536)
def _is_region(code: str, year: int) -> bool:
    """Tell whether somebody born in that year can be of there: python-stdnum's table of counties."""
    try:
        ric.get_birth_place(f"{code}{year:04}0101001X")
    except ValidationError:
        return False
    return True


def some_number(random: Random) -> str:
    """Return a random well-formed identity card number, of a region code (999999) that nobody has."""
    day = f"{random.randint(1940, 2020)}{random.randint(1, 12):02}{random.randint(1, 28):02}"
    body = f"999999{day}{random.randint(0, 999):03}"
    return body + ric.calc_check_digit(f"{body}0")


def phone(options: Options) -> Converter:
    """Read a telephone number as it is; one with letters in it warns."""
    chosen(options)

    def read(value: str) -> str | Warned:
        return (
            value
            if _PHONE.fullmatch(value)
            else Warned(value, "The telephone number holds other characters.")
        )

    return Converter(
        "phone", read, as_text, lambda random: f"1{random.randint(3_000_000_000, 9_999_999_999)}", warns=True
    )
