"""From one element of a resource to its rows in :class:`Values`: what each data type yields.

Every function appends rows for all of ``codes``, the search parameters that lead to the element. None raises:
an element that has not the shape of its type yields nothing, since validation is another floor's duty.
https://hl7.org/fhir/R4/search.html#ptypes
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import tzinfo
from decimal import Decimal
from typing import Any

from fhir_server.search.dates import OPEN_END, OPEN_START, span
from fhir_server.search.references import local, type_of
from fhir_server.search.values import Values

Codes = tuple[str, ...]

LARGEST = sys.float_info.max
"""The bound of an open Range, and of numbers that a float cannot hold."""

_CURRENCY = "urn:iso:std:iso:4217"
_ADDRESS_PARTS = ("text", "city", "district", "state", "postalCode", "country")


def token(values: Values, codes: Codes, element: Any) -> None:
    """Add a code, string, id or uri: a token without a system."""
    if isinstance(element, str):
        for code in codes:
            values.tokens.append((code, "", element))


def boolean(values: Values, codes: Codes, element: Any) -> None:
    """Add a boolean as the code "true" or "false"."""
    if isinstance(element, bool):
        token(values, codes, "true" if element else "false")


def coding(values: Values, codes: Codes, element: Any) -> None:
    """Add the system and code of a Coding; its display is no token."""
    if isinstance(element, dict):
        _tokens(values, codes, element.get("system"), element.get("code"))


def codeable_concept(values: Values, codes: Codes, element: Any) -> None:
    """Add the codings of a CodeableConcept; its text is no token."""
    if isinstance(element, dict):
        codings = element.get("coding")
        if isinstance(codings, list):
            for each in codings:
                coding(values, codes, each)


def identifier(values: Values, codes: Codes, element: Any) -> None:
    """Add the system and value of an Identifier."""
    if isinstance(element, dict):
        _tokens(values, codes, element.get("system"), element.get("value"))


def contact_point(values: Values, codes: Codes, element: Any) -> None:
    """Add the value of a ContactPoint, without a system."""
    if isinstance(element, dict):
        token(values, codes, element.get("value"))


def deceased(values: Values, codes: Codes, tree: Any) -> None:
    """Read a whole Patient: "true" for deceasedBoolean true and for any date, "false" for the rest.

    The definition is a boolean: ``Patient.deceased.exists() and Patient.deceased != false``.
    """
    died = tree.get("deceasedBoolean") is True or isinstance(tree.get("deceasedDateTime"), str)
    boolean(values, codes, died)


def _tokens(values: Values, codes: Codes, system: Any, code: Any) -> None:
    if isinstance(code, str):
        for param in codes:
            values.tokens.append((param, system if isinstance(system, str) else "", code))


def string(values: Values, codes: Codes, element: Any) -> None:
    """Add a string or markdown as written."""
    if isinstance(element, str):
        for code in codes:
            values.strings.append((code, element))


def human_name(values: Values, codes: Codes, element: Any) -> None:
    """Add each part of a HumanName as a string of its own."""
    if isinstance(element, dict):
        for key in ("text", "family"):
            string(values, codes, element.get(key))
        for key in ("given", "prefix", "suffix"):
            _strings(values, codes, element.get(key))


def address(values: Values, codes: Codes, element: Any) -> None:
    """Add each part of an Address as a string of its own."""
    if isinstance(element, dict):
        for key in _ADDRESS_PARTS:
            string(values, codes, element.get(key))
        _strings(values, codes, element.get("line"))


def _strings(values: Values, codes: Codes, elements: Any) -> None:
    if isinstance(elements, list):
        for each in elements:
            string(values, codes, each)


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
    value = _float(element)
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


def _quantities(values: Values, codes: Codes, unit: dict[str, Any], lo: float, hi: float) -> None:
    system, code, name = (_text(unit.get(key)) for key in ("system", "code", "unit"))
    for param in codes:
        values.quantities.append((param, system, code, name, lo, hi))


def _ranges(element: Any) -> Iterator[tuple[dict[str, Any], float, float]]:
    """Yield the one span of a Range, with the bound that names its unit; nothing when both ends are open."""
    if isinstance(element, dict):
        low, high = _value(element.get("low")), _value(element.get("high"))
        if low is not None or high is not None:
            bound = element["low" if low is not None else "high"]
            yield bound, -LARGEST if low is None else low, LARGEST if high is None else high


def _value(element: Any) -> float | None:
    return _float(element.get("value")) if isinstance(element, dict) else None


def _float(value: Any) -> float | None:
    """Return the nearest float, within ±LARGEST; None for what is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    try:
        nearest = float(value)
    except (OverflowError, ValueError):
        return LARGEST if value > 0 else -LARGEST
    return max(-LARGEST, min(LARGEST, nearest)) if nearest == nearest else None  # noqa: PLR0124 - NaN alone differs


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def reference(values: Values, codes: Codes, element: Any, base: str) -> None:
    """Add what a Reference leads to, and its identifier as a token under ``code:identifier``."""
    if not isinstance(element, dict):
        return
    literal = element.get("reference")
    if isinstance(literal, str):
        target = local(literal, base)
        if target is not None:
            for code in codes:
                values.references.append((code, target))
    logical = element.get("identifier")
    if logical is not None:
        identifier(values, tuple(f"{code}:identifier" for code in codes), logical)


def canonical_reference(values: Values, codes: Codes, element: Any) -> None:
    """Add a canonical or uri that refers to a definition: the whole URL, and the URL without its version."""
    for url in _canonical(element):
        for code in codes:
            values.references.append((code, url))


def uri(values: Values, codes: Codes, element: Any) -> None:
    """Add a uri, url or canonical, the last also without its version."""
    for each in _canonical(element):
        for code in codes:
            values.uris.append((code, each))


def _canonical(element: Any) -> tuple[str, ...]:
    if not isinstance(element, str) or not element:
        return ()
    url = element.partition("|")[0]
    return (element, url) if url and url != element else (element,)


def resource(values: Values, codes: Codes, element: Any) -> None:
    """Add a resource inside a Bundle as if it were referred to: by its type and id."""
    if isinstance(element, dict) and isinstance(element.get("id"), str):
        for code in codes:
            values.references.append((code, f"{element.get('resourceType')}/{element['id']}"))


def referred_type(element: Any) -> str | None:
    """Return the type that a Reference leads to, as its literal says, else as ``Reference.type`` says."""
    if not isinstance(element, dict):
        return None
    literal = element.get("reference")
    found = type_of(literal) if isinstance(literal, str) else None
    return found or _text(element.get("type")) or None
