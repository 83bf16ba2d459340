"""Components of an element of a composite as a blind index knows them: kinds, digests, spans.

Both stores pair the first component of an element, in R4 always a code, a reference or a URI, with each of
the others. https://hl7.org/fhir/R4/search.html#composite
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from fhir_server.crypto.blind import BlindIndex
from fhir_server.search.fold import fold

KINDS: Final = ("token", "quantity", "number", "date", "string", "reference", "uri")
_KIND_BITS: Final = 3

Row = tuple[Any, ...]
"""A value of a component, as in :attr:`fhir_server.search.values.Values.composites`."""


class First(NamedTuple):
    """A value that an element can be found by: kind, digest, digest of its system (0: it has none)."""

    kind: str
    digest: int
    system: int


class Other(NamedTuple):
    """Another value: its kind, the digests of its unit and system (0: it has none), and what is compared.

    ``a`` and ``b``: least and greatest of a span; key and digest of a string; a digest and 0 of the others.
    """

    kind: str
    unit: int
    a: Any
    b: Any
    system: int


def column(place: int, first: str, kind: str) -> int:
    """Return the number of the component at ``place`` (from 1), a ``kind`` paired with a ``first``."""
    return (place << _KIND_BITS | KINDS.index(first)) << _KIND_BITS | KINDS.index(kind)


def firsts(row: Row, blind: BlindIndex) -> Iterator[First]:
    """Yield what an element can be found by, given a value of its first component; nothing of other kinds."""
    match row:
        case ("token", system, code):
            yield First("token", blind.code(code), blind.system(system))
        case ("reference", target):
            yield First("reference", blind.target(target), 0)
        case ("uri", uri):
            yield First("uri", blind.code(uri), 0)


def others(row: Row, blind: BlindIndex) -> Iterator[Other]:
    """Yield what is compared of a value of another component: a quantity once for each name of its unit."""
    match row:
        case ("token", system, code):
            yield Other("token", 0, blind.code(code), 0, blind.system(system))
        case ("quantity", system, code, unit, lo, hi):
            for name in {code or unit, unit or code}:
                yield Other("quantity", blind.unit(name), lo, hi, blind.system(system))
        case ("number", lo, hi):
            yield Other("number", 0, lo, hi, 0)
        case ("date", lo, hi):
            yield Other("date", 0, lo, hi, 0)
        case ("string", text):
            yield Other("string", 0, blind.prefix(fold(text)), blind.text(text), 0)
        case ("reference", target):
            yield Other("reference", 0, blind.target(target), 0, 0)
        case ("uri", uri):
            yield Other("uri", 0, blind.code(uri), 0, 0)
