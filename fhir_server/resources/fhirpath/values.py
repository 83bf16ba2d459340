"""How FHIRPath values compare, equal and add up: numbers, strings, dates of any precision, quantities.

None always means "cannot be decided", which FHIRPath writes as the empty collection.
http://hl7.org/fhirpath/N1/#operations
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, DecimalException
from typing import Any

from fhir_server.resources.fhirpath.node import Node, is_a

_DAY = 86_400
_WIDEST_ZONE = 14 * 3600
_FURTHEST = 10**9
"""No date of FHIR is so many units away from another."""
_TEMPORAL = re.compile(
    r"(?:(\d{4})(?:-(\d\d)(?:-(\d\d))?)?)?(?:T?(?:(\d\d)(?::(\d\d)(?::(\d\d(?:\.\d+)?))?)?)?(Z|[+-]\d\d:\d\d)?)?",
    re.ASCII,
)
_TEMPORAL_TYPES = frozenset(
    {"date", "dateTime", "instant", "time", "System.Date", "System.DateTime", "System.Time"}
)
_UNITS = {
    "years": "a",
    "months": "mo",
    "weeks": "wk",
    "days": "d",
    "hours": "h",
    "minutes": "min",
    "seconds": "s",
}
_UNITS |= {name.removesuffix("s"): code for name, code in _UNITS.items()}
_UNITS |= {"milliseconds": "ms", "millisecond": "ms"}
_SECONDS: dict[str, Decimal | int] = {
    "wk": 7 * _DAY,
    "d": _DAY,
    "h": 3600,
    "min": 60,
    "s": 1,
    "ms": Decimal("0.001"),
}


@dataclass(frozen=True, slots=True)
class Moment:
    """A date, dateTime or time: the parts given, and the distance from UTC in seconds (None: unsaid)."""

    parts: tuple[Decimal | int, ...]
    offset: int | None
    is_time: bool

    def bounds(self) -> tuple[Decimal, Decimal] | None:
        """Return the first and last second (from year 1, UTC) that it may mean; None for no such day."""
        padded: tuple[Decimal | int | None, ...] = (*self.parts, *(None,) * 6)
        year, month, day, hour, minute, second = padded[:6]
        try:
            first = date(int(year or 1), int(month or 1), int(day or 1)).toordinal()
            if day is not None:
                last = first + 1
            elif month is not None:
                last = first + 32 - (date.fromordinal(first) + timedelta(31)).day
            else:
                last = date(int(year or 1), 12, 31).toordinal() + 1
        except (ValueError, OverflowError):
            return None
        low, high = Decimal(first * _DAY), Decimal(last * _DAY)
        for part, size in ((hour, 3600), (minute, 60), (second, 1)):
            if part is not None:
                low += Decimal(part) * size
                high = low + size if size > 1 else low
        zone = self.offset or 0
        slack = _WIDEST_ZONE if self.offset is None else 0
        return low - zone - slack, high - zone + slack


def moment(text: Any) -> Moment | None:
    """Read a FHIR date, dateTime, instant or time; None when it is none of them."""
    match = _TEMPORAL.fullmatch(text) if type(text) is str and text else None
    if match is None:
        return None
    year, month, day, hour, minute, second, zone = match.groups()
    numbers = [int(part) for part in (year, month, day) if part]
    clock: list[int | Decimal] = [int(part) for part in (hour, minute) if part]
    if second:
        clock.append(Decimal(second))
    if not year:
        return Moment(tuple(clock), None, is_time=True) if clock and not zone else None
    if hour and not day:
        return None
    offset = None
    if zone:
        sign = -1 if zone[0] == "-" else 1
        offset = 0 if zone == "Z" else sign * (int(zone[1:3]) * 3600 + int(zone[4:]) * 60)
    return Moment((*numbers, *clock), offset, is_time=False)


def compare_moments(a: Moment, b: Moment) -> int | None:  # noqa: PLR0911 - one way out per certainty
    """Return -1, 0 or 1, or None when precision or time zone leave it open."""
    if a.is_time != b.is_time:
        return None
    if a.offset is None and b.offset is None:
        for x, y in zip(a.parts, b.parts, strict=False):
            if x != y:
                return -1 if x < y else 1
        return 0 if len(a.parts) == len(b.parts) else None
    first, second = a.bounds(), b.bounds()
    if first is None or second is None:
        return None
    if first[1] < second[0] or (first[1] == second[0] and first[0] != first[1]):
        return -1
    if first[0] > second[1] or (first[0] == second[1] and second[0] != second[1]):
        return 1
    same = a.offset is not None and b.offset is not None and len(a.parts) == len(b.parts)
    return 0 if same and first == second else None


def number(value: Any) -> Decimal | int | None:
    """Return a finite number, None for anything else (a boolean is no number)."""
    if type(value) is int:
        return value
    return value if type(value) is Decimal and value.is_finite() else None


def unit_of(quantity: dict[str, Any]) -> Any:
    """Return the unit that two quantities must share: code, else unit; calendar words as UCUM codes."""
    code = quantity.get("code") or quantity.get("unit") or "1"
    return _UNITS.get(code, code) if type(code) is str else None


def is_quantity(node: Node) -> bool:
    """Tell whether the node is a FHIR or System quantity."""
    return type(node.value) is dict and (
        node.type_name == "System.Quantity" or is_a(node.type_name, "Quantity")
    )


def is_temporal(node: Node) -> bool:
    """Tell whether the node's type is a date, dateTime, instant or time."""
    return node.type_name in _TEMPORAL_TYPES


def compare(a: Node, b: Node) -> int | None:
    """Return -1, 0 or 1; None when the two have no order."""
    if is_quantity(a) and is_quantity(b):
        low, high = number(a.value.get("value")), number(b.value.get("value"))
        if low is None or high is None or unit_of(a.value) != unit_of(b.value):
            return None
        return (low > high) - (low < high)
    if is_temporal(a) or is_temporal(b):
        first, second = moment(a.value), moment(b.value)
        return None if first is None or second is None else compare_moments(first, second)
    if type(a.value) is str and type(b.value) is str:
        return (a.value > b.value) - (a.value < b.value)
    left, right = number(a.value), number(b.value)
    return None if left is None or right is None else (left > right) - (left < right)


def equal(a: Node, b: Node) -> bool | None:
    """Tell whether two items are equal (``=``); None when it cannot be decided."""
    if (is_temporal(a) or is_temporal(b)) and type(a.value) is str and type(b.value) is str:
        if a.value == b.value:
            return True
        first, second = moment(a.value), moment(b.value)
        if first is None or second is None:
            return False
        order = compare_moments(first, second)
        return None if order is None else order == 0
    if is_quantity(a) and is_quantity(b) and "System.Quantity" in (a.type_name, b.type_name):
        order = compare(a, b)
        return None if order is None else order == 0
    if a.value is None or b.value is None:
        return None
    return same_json(a.value, b.value)


def same_json(a: Any, b: Any) -> bool:
    """Tell whether two JSON values are the same; ``1`` is ``1.0`` but not ``true``."""
    if (type(a) is bool) != (type(b) is bool):
        return False
    if type(a) is dict and type(b) is dict:
        return a.keys() == b.keys() and all(same_json(a[key], b[key]) for key in a)
    if type(a) is list and type(b) is list:
        return len(a) == len(b) and all(same_json(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def fingerprint(node: Node) -> Any:
    """Return a hashable value that is the same for items that are equal as JSON."""
    return _frozen(node.value)


def _frozen(value: Any) -> Any:
    if type(value) is dict:
        return frozenset((key, _frozen(each)) for key, each in value.items())
    if type(value) is list:
        return tuple(_frozen(each) for each in value)
    return (type(value) is bool, value)


def equivalent(a: Node, b: Node) -> bool:
    """Tell whether two items are equivalent (``~``): case, spacing and the last digits do not count."""
    if type(a.value) is str and type(b.value) is str and not (is_temporal(a) or is_temporal(b)):
        return _loose(a.value) == _loose(b.value)
    left, right = number(a.value), number(b.value)
    if left is not None and right is not None:
        places = min(_places(left), _places(right))
        return shift(left, places) == shift(right, places)
    return equal(a, b) is True


def _loose(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _places(value: Decimal | int) -> int:
    exponent = value.as_tuple().exponent if type(value) is Decimal else 0
    return min(max(0, -exponent), 40) if type(exponent) is int else 0


def shift(value: Decimal | int, places: int) -> Decimal | None:
    """Round a number to ``places`` digits behind the point; None when that takes more digits than we keep."""
    try:
        return Decimal(value).quantize(Decimal(1).scaleb(-places))
    except DecimalException:
        return None


def add_duration(node: Node, quantity: dict[str, Any], sign: int) -> Node | None:
    """Add (``sign`` 1) or take away (-1) a duration; None when the sum is no date of FHIR."""
    start, amount = moment(node.value), number(quantity.get("value"))
    unit = unit_of(quantity)
    if (
        start is None
        or amount is None
        or not -_FURTHEST <= amount <= _FURTHEST
        or unit not in (*_SECONDS, "a", "mo")
    ):
        return None
    try:
        parts = _moved(start, amount * sign, unit)
    except (ValueError, OverflowError):
        return None
    zone = re.search(r"(Z|[+-]\d\d:\d\d)$", node.value) if len(parts) > 3 and not start.is_time else None
    return Node(_written(parts, start, zone.group() if zone else ""), node.type_name)


def _moved(start: Moment, amount: Decimal | int, unit: str) -> tuple[Decimal | int, ...]:
    if start.is_time:
        clock: tuple[Decimal | int, ...] = (*start.parts, 0, 0, 0)[:3]
        seconds = (clock[0] * 3600 + clock[1] * 60 + clock[2] + amount * _SECONDS[unit]) % _DAY
        return (int(seconds // 3600), int(seconds // 60 % 60), seconds % 60)[: len(start.parts)]
    rest_of_day: tuple[Decimal | int, ...] = (1, 1, 1, 0, 0, 0)[len(start.parts) :]
    padded: tuple[Decimal | int, ...] = (*start.parts, *rest_of_day)
    year, month, day, hour, minute, second = padded
    if unit in ("a", "mo"):
        months = int(year) * 12 + int(month) - 1 + int(amount) * (12 if unit == "a" else 1)
        year, month = months // 12, months % 12 + 1
        following = date(int(year) + (month == 12), int(month) % 12 + 1, 1)
        day = min(int(day), (following - timedelta(1)).day)
    else:
        total = hour * 3600 + minute * 60 + second + amount * _SECONDS[unit]
        moved = date(int(year), int(month), int(day)) + timedelta(int(total // _DAY))
        year, month, day = moved.year, moved.month, moved.day
        rest = total % _DAY
        hour, minute, second = int(rest // 3600), int(rest // 60 % 60), rest % 60
    return (year, month, day, hour, minute, second)[: len(start.parts)]


def _written(parts: tuple[Decimal | int, ...], start: Moment, zone: str) -> str:
    first = 0 if start.is_time else 3
    days, clock = parts[:first], parts[first:]
    text = "-".join(f"{part:04d}" if i == 0 else f"{part:02d}" for i, part in enumerate(map(int, days)))
    times = [f"{int(part):02d}" for part in clock[:2]]
    if len(clock) > 2:
        whole, _, fraction = format(Decimal(clock[2]), "f").partition(".")
        times.append(whole.zfill(2) + ("." + fraction if fraction else ""))
    joined = ":".join(times)
    return joined if start.is_time else text + ("T" + joined if joined else "") + zone
