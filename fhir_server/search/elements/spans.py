"""Rows of what is ordered: dates, numbers, quantities and their spans.

https://hl7.org/fhir/R4/search.html#prefix
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import tzinfo
from decimal import Decimal
from typing import Any

from fhir_server.search.dates import OPEN_END, OPEN_START, span
from fhir_server.search.elements.base import Codes, text
from fhir_server.search.ucum import UCUM, unit
from fhir_server.search.values import Values

LARGEST = sys.float_info.max
"""The bound of an open Range, and of numbers that a float cannot hold."""

_CURRENCY = "urn:iso:std:iso:4217"


def date(values: Values, codes: Codes, element: Any, zone: tzinfo) -> None:
    """Add a date, dateTime or instant: the span that its precision leaves open."""
    found = _span(element, zone)
    if found is not None:
        for code in codes:
            values.dates.append((code, *found))


def period(values: Values, codes: Codes, element: Any, zone: tzinfo) -> None:
    """Add a Period from its start to its end; an end that is missing is open."""
    found = _period(element, zone)
    if found is not None:
        for code in codes:
            values.dates.append((code, *found))


def timing(values: Values, codes: Codes, element: Any, zone: tzinfo) -> None:
    """Add the outer limits of a Timing, over its events and bounds: no more of it matters to a search."""
    if not isinstance(element, dict):
        return
    events, repeat = element.get("event"), element.get("repeat")
    spans = [_span(event, zone) for event in events] if isinstance(events, list) else []
    if isinstance(repeat, dict):
        spans.append(_period(repeat.get("boundsPeriod"), zone))
    known = [found for found in spans if found is not None]
    if known:
        lo, hi = min(lo for lo, _ in known), max(hi for _, hi in known)
        for code in codes:
            values.dates.append((code, lo, hi))


def _span(text: Any, zone: tzinfo) -> tuple[int, int] | None:
    if not isinstance(text, str):
        return None
    try:
        return span(text, zone)
    except ValueError:
        return None


def _period(element: Any, zone: tzinfo) -> tuple[int, int] | None:
    if not isinstance(element, dict):
        return None
    start, end = _span(element.get("start"), zone), _span(element.get("end"), zone)
    if start is None and end is None:
        return None
    return start[0] if start else OPEN_START, end[1] if end else OPEN_END


def number(values: Values, codes: Codes, element: Any) -> None:
    """Add a decimal or integer."""
    value = as_float(element)
    if value is not None:
        for code in codes:
            values.numbers.append((code, value, value))


def number_range(values: Values, codes: Codes, element: Any) -> None:
    """Add a Range, as a number from its low to its high."""
    for _, lo, hi in _ranges(element):
        for code in codes:
            values.numbers.append((code, lo, hi))


def quantity(values: Values, codes: Codes, element: Any) -> None:
    """Add a Quantity or its kin; a comparator opens one side: "< 5" reaches from the least number to 5."""
    value = _value(element)
    if value is not None:
        comparator = str(element.get("comparator", ""))
        lo = -LARGEST if comparator.startswith("<") else value
        hi = LARGEST if comparator.startswith(">") else value
        _quantities(values, codes, element, lo, hi)


def quantity_range(values: Values, codes: Codes, element: Any) -> None:
    """Add a Range from its low to its high, in the unit of either."""
    for bound, lo, hi in _ranges(element):
        _quantities(values, codes, bound, lo, hi)


def money(values: Values, codes: Codes, element: Any) -> None:
    """Add a Money, whose currency is the code of a unit."""
    value = _value(element)
    if value is not None:
        _quantities(values, codes, {"system": _CURRENCY, "code": element.get("currency")}, value, value)


def _quantities(values: Values, codes: Codes, named: dict[str, Any], lo: float, hi: float) -> None:
    """Add a quantity in the unit that ``named`` names; one of UCUM also in its canonical unit."""
    system, code, name = (text(named.get(key)) for key in ("system", "code", "unit"))
    for param in codes:
        values.quantities.append((param, system, code, name, lo, hi))
    canonical = unit(code) if system == UCUM else None
    if canonical is not None:
        lo, hi = canonical.convert(lo), canonical.convert(hi)
        for param in codes:
            values.quantities.append((param + ":ucum", "", canonical.canonical, "", lo, hi))


def _ranges(element: Any) -> Iterator[tuple[dict[str, Any], float, float]]:
    """Yield the one span of a Range, with the bound that names its unit; nothing when both ends are open."""
    if isinstance(element, dict):
        low, high = _value(element.get("low")), _value(element.get("high"))
        if low is not None or high is not None:
            bound = element["low" if low is not None else "high"]
            yield bound, -LARGEST if low is None else low, LARGEST if high is None else high


def _value(element: Any) -> float | None:
    return as_float(element.get("value")) if isinstance(element, dict) else None


def as_float(value: Any) -> float | None:
    """Return the nearest float, within ±LARGEST; None for what is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    try:
        nearest = float(value)
    except (OverflowError, ValueError):
        return LARGEST if value > 0 else -LARGEST
    return max(-LARGEST, min(LARGEST, nearest)) if nearest == nearest else None  # noqa: PLR0124 - NaN alone differs
