"""One way of writing for each type of column, so that keys agree between tables and extracts.

``2024/1/5``, ``20240105`` and ``2024-01-05 00:00:00`` are one day, ``3.0`` is ``3``, ``.5`` is ``0.5``.
What is not understood stays as it is: the map's converter then says so, with the place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from unicodedata import normalize

from mappings.his.tables import Table

_MOMENT = re.compile(
    r"(\d{4})(?:[-/.年]\s?(\d{1,2})[-/.月]\s?(\d{1,2})日?|(\d{2})(\d{2}))"
    r"(?:[ T]*(\d{1,2})[:时点](\d{1,2})(?:[:分](\d{1,2})(?:\.(\d+))?秒?|分)?)?"
)
_PACKED = re.compile(r"(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})")
_WHOLE = re.compile(r"([+-]?\d+)(?:\.0*)?")
_NUMBER = re.compile(r"([+-]?)(\d*)(\.\d*)?")


def _moment(text: str) -> str:
    match = _MOMENT.fullmatch(text)
    if match is None:
        packed = _PACKED.fullmatch(text)
        return "{}-{}-{} {}:{}:{}".format(*packed.groups()) if packed else text
    year, month, day, month2, day2, hour, minute, second, fraction = match.groups()
    written = f"{year}-{int(month or month2):02}-{int(day or day2):02}"
    if hour is not None:
        written += f" {int(hour):02}:{int(minute):02}:{int(second or 0):02}"
        written += f".{fraction}" if fraction and fraction.strip("0") else ""
    return written


def day(text: str) -> str:
    """Write a date as YYYY-MM-DD; a time other than midnight stays behind it."""
    if text[4:5] == text[7:8] == "-" and (len(text) == 10 or text[10:] == " 00:00:00"):
        return text[:10]
    written = _moment(text)
    return written[:10] if written[10:] == " 00:00:00" else written


def moment(text: str) -> str:
    """Write a date and time as YYYY-MM-DD HH:MM:SS; a date without a time stays one."""
    if len(text) == 19 and text[4] == text[7] == "-" and text[10] == " ":
        return text
    return _moment(text)


def whole(text: str) -> str:
    """Write a whole number without leading zeros, without ".0"."""
    if text.isdecimal() and text.isascii() and (text[0] != "0" or len(text) == 1):
        return text
    match = _WHOLE.fullmatch(text)
    return str(int(match[1])) if match else text


def number(text: str) -> str:
    """Write a decimal number with a digit before the point, without currency sign and thousands' commas."""
    if text[0].isdigit() and "," not in text and text[-1] != ".":
        return text
    bare = text.strip().lstrip("￥¥").replace(",", "")
    match = _NUMBER.fullmatch(bare)
    if match is None or not (match[2] or match[3]) or (match[3] == "." and not match[2]):
        return text
    sign, digits, fraction = match.groups()
    return f"{sign.replace('+', '')}{digits or '0'}{fraction if fraction and fraction != '.' else ''}"


_WRITERS: Mapping[str, Callable[[str], str]] = {
    "date": day,
    "datetime": moment,
    "int": whole,
    "flag": whole,
    "decimal": number,
}


def normal(tree: dict[str, str], table: Table) -> None:
    """Write a row's dates, numbers, flags and codes the one way, in place; texts stay as they are."""
    types = table.types
    for column, value in tree.items():
        kind = types.get(column)
        if kind is None:
            continue
        text = value if value.isascii() else normalize("NFKC", value).strip()
        writer = _WRITERS.get(kind)
        written = writer(text) if writer is not None and text else text
        if written != value:
            tree[column] = written
