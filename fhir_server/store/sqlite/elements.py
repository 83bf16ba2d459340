"""Index rows of composite parameters: of each element, its first component paired with each of the others.

A row (p, c, k, u, a, b, z, s, n) says that element number ``n`` of the resource has ``k`` (of system ``z``)
as its first component, always a code, a reference or a URI in R4, and as component ``c`` a value: ``a`` and
``b`` as in the table of its kind, ``u`` its unit, ``s`` its system. So "systolic above 180" is one range of
the index. Spans that are not simple (see ``rows``) get the odd twin of p. An element that lacks a component,
or begins with another kind, has a marker with c = 0: only the opened resource says more of it.
https://hl7.org/fhir/R4/search.html#composite
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fhir_server.crypto.blind import BlindIndex
from fhir_server.store.components import Other, Row, column, firsts, others
from fhir_server.store.sqlite.schema import DAY_MS


def element_rows(
    p: int, n: int, components: Sequence[Sequence[Row]], blind: BlindIndex
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of one element of the composite parameter number ``p``."""
    found = [first for row in components[0] for first in firsts(row, blind)] if components else []
    values = [
        (place, other)
        for place, rows in enumerate(components[1:], 1)
        for row in rows
        for other in others(row, blind)
    ]
    if not found or len({place for place, _ in values}) != len(components) - 1 or not values:
        yield p, 0, 0, 0, 0, 0, 0, 0, n
        return
    for first in found:
        for place, other in values:
            c = column(place, first.kind, other.kind)
            twin = p | _is_long(other)
            yield twin, c, first.digest, other.unit, other.a, other.b, first.system, other.system, n


def _is_long(other: Other) -> bool:
    """Tell whether a value is a span that is not simple."""
    if other.kind == "date":
        return bool(other.b - other.a > DAY_MS)
    return other.kind in ("quantity", "number") and bool(other.a != other.b)
