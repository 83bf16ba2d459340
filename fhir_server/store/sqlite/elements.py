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
from typing import Any, Final

from fhir_server.crypto.blind import BlindIndex
from fhir_server.search.fold import fold
from fhir_server.store.sqlite.schema import DAY_MS

_KINDS: Final = ("token", "quantity", "number", "date", "string", "reference", "uri")
_KIND_BITS: Final = 3

_Row = tuple[Any, ...]


def column(place: int, first: str, kind: str) -> int:
    """Return ``c`` of the component at ``place`` (from 1), a ``kind`` paired with a ``first``."""
    return (place << _KIND_BITS | _KINDS.index(first)) << _KIND_BITS | _KINDS.index(kind)


def element_rows(p: int, n: int, components: Sequence[Sequence[_Row]], blind: BlindIndex) -> Iterator[_Row]:
    """Yield the rows of one element of the composite parameter number ``p``."""
    firsts = [first for row in components[0] for first in _first(row, blind)] if components else []
    others = [
        (place, *value)
        for place, rows in enumerate(components[1:], 1)
        for row in rows
        for value in _values(row, blind)
    ]
    if not firsts or len({place for place, *_ in others}) != len(components) - 1 or not others:
        yield p, 0, 0, 0, 0, 0, 0, 0, n
        return
    for first, k, z in firsts:
        for place, kind, twin, u, a, b, s in others:
            yield p | twin, column(place, first, kind), k, u, a, b, z, s, n


def _first(row: _Row, blind: BlindIndex) -> Iterator[tuple[str, int, int]]:
    """Yield kind, digest and system of a value that an element can be found by."""
    match row:
        case ("token", system, code):
            yield "token", blind.code(code), blind.system(system)
        case ("reference", target):
            yield "reference", blind.target(target), 0
        case ("uri", uri):
            yield "uri", blind.code(uri), 0


def _values(row: _Row, blind: BlindIndex) -> Iterator[tuple[str, int, int, Any, Any, int]]:
    """Yield kind, twin bit, u, a, b and s of a value."""
    match row:
        case ("token", system, code):
            yield "token", 0, 0, blind.code(code), 0, blind.system(system)
        case ("quantity", system, code, unit, lo, hi):
            for name in {code or unit, unit or code}:
                yield "quantity", int(lo != hi), blind.unit(name), lo, hi, blind.system(system)
        case ("number", lo, hi):
            yield "number", int(lo != hi), 0, lo, hi, 0
        case ("date", lo, hi):
            yield "date", int(hi - lo > DAY_MS), 0, lo, hi, 0
        case ("string", text):
            yield "string", 0, 0, blind.prefix(fold(text)), blind.text(text), 0
        case ("reference", target):
            yield "reference", 0, 0, blind.target(target), 0, 0
        case ("uri", uri):
            yield "uri", 0, 0, blind.code(uri), 0, 0
