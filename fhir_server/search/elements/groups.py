"""Rows of what belongs together: the components of one element, and positions.

https://hl7.org/fhir/R4/search.html#composite
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import tzinfo
from typing import Any

from fhir_server.search.elements.base import Codes
from fhir_server.search.elements.spans import as_float
from fhir_server.search.values import Values

Part = Callable[[dict[str, Any], Values, tzinfo, str], None]
"""Fills Values with one component's rows, under the code "", from the composite's element."""

_Row = tuple[Any, ...]


def composite(
    values: Values, codes: Codes, elements: tuple[Any, ...], parts: tuple[Part, ...], zone: tzinfo, base: str
) -> None:
    """Add what one element of a composite holds, when each component has a value.

    ``elements``: where each of the ``parts`` reads from, the composite's element or the whole resource.
    Where quantities are in UCUM units, a second row under ``code:ucum`` has them in canonical units.
    """
    plain: list[tuple[_Row, ...]] = []
    canonical: list[tuple[_Row, ...]] = []
    for element, part in zip(elements, parts, strict=True):
        if not isinstance(element, dict):
            return
        scratch = Values()
        part(element, scratch, zone, base)
        rows = tuple(dict.fromkeys(_rows(scratch, "")))
        if not rows:
            return
        plain.append(rows)
        canonical.append(tuple(dict.fromkeys(_rows(scratch, ":ucum"))) if scratch.quantities else rows)
    for code in codes:
        values.composites.append((code, tuple(plain)))
        if canonical != plain and all(canonical):
            values.composites.append((code + ":ucum", tuple(canonical)))


def _rows(scratch: Values, code: str) -> list[_Row]:
    """Return the rows of one code, each with its kind in place of the code."""
    return [
        (kind, *row[1:])
        for kind, rows in (
            ("token", scratch.tokens),
            ("quantity", scratch.quantities),
            ("number", scratch.numbers),
            ("date", scratch.dates),
            ("string", scratch.strings),
            ("reference", scratch.references),
            ("uri", scratch.uris),
        )
        for row in rows
        if row[0] == code
    ]


def position(values: Values, codes: Codes, element: Any) -> None:
    """Add a place on the Earth; one with a coordinate out of range is none.

    https://hl7.org/fhir/R4/location-definitions.html#Location.position
    """
    if not isinstance(element, dict):
        return
    latitude, longitude = as_float(element.get("latitude")), as_float(element.get("longitude"))
    if latitude is None or longitude is None or abs(latitude) > 90 or abs(longitude) > 180:
        return
    for code in codes:
        values.positions.append((code, latitude, longitude))
