"""The span of time that a FHIR date stands for: its precision says how long it is.

``2024`` is a whole year, ``2024-02-29T10:00:00Z`` a whole second. https://hl7.org/fhir/R4/search.html#date
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, tzinfo
from functools import lru_cache

OPEN_START = -(10**15)
"""Where a Period without a start begins, in milliseconds: before every date that FHIR can write."""
OPEN_END = 10**15
"""Where a Period without an end ends, in milliseconds: after every date that FHIR can write."""

_EPOCH = date(1970, 1, 1).toordinal()
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
_DAY, _HOUR, _MINUTE, _SECOND = 86_400_000, 3_600_000, 60_000, 1000
_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:[0-5]\d(?:\.(\d+))?(?:Z|[+-](?:0\d|1[0-3]):[0-5]\d|[+-]14:00)", re.ASCII
)
_FORM = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d:\d\d)?)?)?)?", re.ASCII
)


@lru_cache(maxsize=16384)
def span(text: str, zone: tzinfo) -> tuple[int, int]:
    """Return the first and the last millisecond since the epoch, both included, of a FHIR date.

    ``text``: a date, dateTime or instant of any precision, a minute's included (searches may write it).
    ``zone`` holds for what carries no zone. Second 60 (a leap second) counts on from second 59.
    Raises ValueError for what is no date.
    """
    match = _MOMENT.fullmatch(text)
    if match is not None:
        # The usual moment, to the second and with its zone, at a third of the cost of what follows.
        return _widened(_milliseconds(datetime.fromisoformat(text)), match[1])
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(text)
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    first = date(int(year), int(month or 1), int(day or 1))
    if hour is None:
        start = _midnight(first.toordinal(), zone)
        return start, _midnight(_day_after(first, month, day), zone) - 1
    if int(hour) > 23 or int(minute) > 59 or int(second or 0) > 60:
        raise ValueError(text)
    clock = int(hour) * _HOUR + int(minute) * _MINUTE + int(second or 0) * _SECOND
    start = (first.toordinal() - _EPOCH) * _DAY + clock - _offset(offset, first, int(hour), int(minute), zone)
    if second is None:
        return start, start + _MINUTE - 1
    return _widened(start + int((fraction or "")[:3].ljust(3, "0")), fraction)


def _milliseconds(moment: datetime) -> int:
    since = moment - _EPOCH_UTC
    return (since.days * 86400 + since.seconds) * _SECOND + since.microseconds // 1000


def _widened(start: int, fraction: str | None) -> tuple[int, int]:
    """Return the span of a second, or of its part when a fraction says more."""
    return start, start + 10 ** max(0, 3 - len(fraction or "")) - 1


def _day_after(first: date, month: str | None, day: str | None) -> int:
    """Return the ordinal of the day after the year, month or day that begins on ``first``."""
    if day is not None:
        return first.toordinal() + 1
    if month is not None and first.month < 12:
        return first.replace(month=first.month + 1).toordinal()
    # 1 January of the next year, reckoned from this year's 31 December: year 10000 does not exist.
    return date(first.year, 12, 31).toordinal() + 1


def _midnight(ordinal: int, zone: tzinfo) -> int:
    # 10000-01-01 takes the offset of the last day that exists.
    day = date.fromordinal(min(ordinal, date.max.toordinal()))
    return (ordinal - _EPOCH) * _DAY - _zone_offset(datetime(day.year, day.month, day.day, tzinfo=zone))


def _offset(written: str | None, day: date, hour: int, minute: int, zone: tzinfo) -> int:
    """Return what to take from local time, in ms: the offset as written, else that of ``zone`` then."""
    if written is None:
        return _zone_offset(datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone))
    if written == "Z":
        return 0
    hours, minutes = int(written[1:3]), int(written[4:6])
    if hours * 60 + minutes > 840 or minutes > 59:
        raise ValueError(written)
    size = hours * _HOUR + minutes * _MINUTE
    return -size if written[0] == "-" else size


def _zone_offset(moment: datetime) -> int:
    offset = moment.utcoffset()
    return 0 if offset is None else (offset.days * 86400 + offset.seconds) * _SECOND
