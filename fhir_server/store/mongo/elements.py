"""Elements of composite parameters as rows of a document: a first component with what stands beside it.

A row of ``e`` pairs a value of an element's first component with one of its second::

    k   key of the first value (:func:`keys.element`): parameter, kinds of both, digest
    z   digest of the first value's system, when it has one
    u, s, a, b   unit, system, and what is compared of the second value
    2, 3, …      the values of every further component: [{c, u, s, a, b}], ``c`` being the kind

so that ``$elemMatch`` on one row asks of one element, and "systolic above 180" is one range of the index.
An element that lacks a component satisfies no test and has no row; one that begins with another kind than a
code, a reference or a URI has none either: R4 has none of those.
https://hl7.org/fhir/R4/search.html#composite
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bson.int64 import Int64

from fhir_server.crypto.blind import BlindIndex
from fhir_server.store.components import KINDS, First, Other, Row, column, firsts, others
from fhir_server.store.mongo.keys import element

Document = dict[str, Any]


def element_rows(p: int, components: Sequence[Sequence[Row]], blind: BlindIndex) -> Iterator[Document]:
    """Yield the rows of one element of the composite parameter number ``p``."""
    found = (
        dict.fromkeys(first for row in components[0] for first in firsts(row, blind)) if components else {}
    )
    values = [
        list(dict.fromkeys(other for row in rows for other in others(row, blind))) for rows in components[1:]
    ]
    if not found or not values or not all(values):
        return
    further = {
        str(place): [{"c": KINDS.index(other.kind), **_compared(other)} for other in rest]
        for place, rest in enumerate(values[1:], 2)
    }
    for first in found:
        for other in values[0]:
            yield {**_found_by(p, first, other), **_compared(other), **further}


def _found_by(p: int, first: First, other: Other) -> Document:
    key = element(p, column(1, first.kind, other.kind), first.digest)
    return {"k": key, "z": first.system} if first.kind == "token" else {"k": key}


def _compared(other: Other) -> Document:
    """Return what a row holds of a value: no more than its kind has."""
    match other:
        case Other("token", _, digest, _, system):
            return {"s": system, "a": Int64(digest)}
        case Other("quantity", unit, lo, hi, system):
            return {"u": unit, "s": system, "a": lo, "b": hi}
        case Other("string", _, key, digest, _):
            # Binary values would be ordered by their lengths first.
            return {"a": key.hex(), "b": Int64(digest)}
        case Other("date" | "number", _, lo, hi, _):
            return {"a": lo, "b": hi}
    return {"a": Int64(other.a)}
