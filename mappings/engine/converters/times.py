"""Converters of dates and times. https://hl7.org/fhir/R4/datatypes.html#date and #dateTime

A date without a time stays one: no hour is made up. Native times are those of the context's zone.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from random import Random
from typing import Any

from mappings.engine.converters.base import Converter, Options, chosen, words

_CLOCK = r"(?:[ T]*(\d{2}):?(\d{2})(?::?(\d{2})(?:\.?(\d{1,6}))?)?)?(Z|[+-]\d{2}:?\d{2})?"
_COMPACT = re.compile(r"(\d{4})(?:(\d{2})(\d{2})?)?" + _CLOCK, re.ASCII)
_SPACED = re.compile(r"(\d{4})(?:[-/.年](\d{1,2})(?:[-/.月](\d{1,2})日?|月)?)?" + _CLOCK, re.ASCII)
_FHIR = re.compile(
    r"(\d{4})(?:-(\d{2})(?:-(\d{2})(?:T(\d{2}):(\d{2})(?::(\d{2})(?:\.(\d+))?)?(Z|[+-]\d{2}:\d{2}))?)?)?",
    re.ASCII,
)
_FIELDS = {"yyyy": 0, "MM": 1, "dd": 2, "HH": 3, "mm": 4, "ss": 5, "SSS": 6}
_LETTERS = re.compile("|".join(sorted(_FIELDS, key=len, reverse=True)))
_USUAL = re.compile(r"(\d{4}-\d{2}-\d{2})(?: (\d{2}:\d{2}:\d{2}))?", re.ASCII)

Parts = tuple[str | None, ...]
"""Year, month, day, hour, minute, second, fraction, zone; what is not said is None."""


def _parts(text: str) -> Parts:
    match = _COMPACT.fullmatch(text) or _SPACED.fullmatch(text)
    if match is None:
        raise ValueError("The value is no date.")
    year, month, day, *time = match.groups()
    parts = (year, month and month.zfill(2), day and day.zfill(2), *time)
    _check(parts)
    return parts


def _check(parts: Parts) -> None:
    year, month, day, hour, minute, second = (int(part) if part else None for part in parts[:6])
    if parts[7] and hour is None:
        raise ValueError("The value has a zone but no time of the day.")
    try:
        date(year or 0, 1 if month is None else month, 1 if day is None else day)
    except ValueError:
        raise ValueError("The value is no date of the calendar.") from None
    if (hour or 0) > 23 or (minute or 0) > 59 or (second or 0) > 59 or (hour is not None and day is None):
        raise ValueError("The value has no time of the day.")


def _layout(text: str, parts: Parts) -> str:
    """Write parts in a layout (``yyyyMMdd``); of it only what the parts have: a date has no hours."""
    known = [name for name, index in _FIELDS.items() if parts[index] is not None or name == "SSS"]
    layout, last = text, 0
    for match in _LETTERS.finditer(text):
        if match[0] not in known:
            layout = text[:last]
            break
        last = match.end()

    def value(match: re.Match[str]) -> str:
        if match[0] == "SSS":
            return (parts[6] or "").ljust(3, "0")[:3]
        return str(parts[_FIELDS[match[0]]])

    return _LETTERS.sub(value, layout)


def _fhir_parts(value: Any) -> Parts:
    match = _FHIR.fullmatch(str(value))
    if match is None:
        raise ValueError("The element's value is no date.")
    return match.groups()


def date_(options: Options) -> Converter:
    """Read a date: ``{date: {layout: yyyyMMdd, absent: ["1900-01-01"]}}``.

    ``absent``: values that stand for "no date" (native form). A midnight behind the date is dropped.
    """
    chosen_ = chosen(options, layout="yyyy-MM-dd", absent=())
    layout, absent = str(chosen_["layout"]), frozenset(words(chosen_["absent"]))

    def read(value: str) -> str | None:
        if value in absent:
            return None
        if len(value) == 10 and value[4] == value[7] == "-" and value[:4] != "0000":
            try:
                date.fromisoformat(value)
            except ValueError:
                raise ValueError("The value is no date of the calendar.") from None
            return value
        parts = _parts(value)
        if "-".join(part for part in parts[:3] if part) in absent:
            return None
        if any(int(part) for part in parts[3:7] if part):
            raise ValueError("The value has a time, but a date is expected.")
        return "-".join(part for part in parts[:3] if part)

    def write(value: Any) -> str:
        return _layout(layout, (*_fhir_parts(value)[:3], None, None, None, None))

    return Converter("date", read, write, lambda random: write(_some_day(random).isoformat()))


def datetime_(options: Options) -> Converter:
    """Read a date and time: ``{datetime: {layout: yyyyMMddHHmmss, absent: […]}}``, in the context's zone."""
    chosen_ = chosen(options, layout="yyyy-MM-dd HH:mm:ss", absent=())
    layout, absent = str(chosen_["layout"]), frozenset(words(chosen_["absent"]))
    zone = str(options.get("zone", "+08:00"))

    def read(value: str) -> str | None:
        if value in absent:
            return None
        usual = _USUAL.fullmatch(value)
        if usual:
            try:
                datetime.fromisoformat(value)
            except ValueError:
                raise ValueError("The value is no date of the calendar, or no time of the day.") from None
            return f"{usual[1]}T{usual[2]}{zone}" if usual[2] else usual[1]
        year, month, day, hour, minute, second, fraction, own = _parts(value)
        days = "-".join(part for part in (year, month, day) if part)
        if days in absent:
            return None
        if hour is None:
            return days
        offset = own if own in {None, "Z"} or ":" in str(own) else f"{own[:3]}:{own[3:]}"
        return f"{days}T{hour}:{minute}:{second or '00'}{f'.{fraction}' if fraction else ''}{offset or zone}"

    def write(value: Any) -> str:
        parts = _fhir_parts(value)
        if parts[7] not in {None, zone}:
            parts = _fhir_parts(_moved(str(value), zone))
        return _layout(layout, parts)

    return Converter(
        "datetime", read, write, lambda random: write(f"{_some_day(random)}T{_some_time(random)}{zone}")
    )


def _moved(value: str, zone: str) -> str:
    """Return the same moment in another zone."""
    hours, minutes = int(zone[:3]), int(zone[0] + zone[4:6])
    moment = datetime.fromisoformat(value).astimezone(timezone(timedelta(hours=hours, minutes=minutes)))
    return moment.isoformat()


def _some_day(random: Random) -> date:
    return date(1930, 1, 1) + timedelta(days=random.randint(0, 36_500))


def _some_time(random: Random) -> str:
    return (datetime(2000, 1, 1, tzinfo=UTC) + timedelta(seconds=random.randint(0, 86_399))).strftime(
        "%H:%M:%S"
    )
