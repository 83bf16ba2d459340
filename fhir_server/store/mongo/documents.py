"""From the searchable values of one resource to the fields of its document that searches look at.

What each field is stands in :mod:`fhir_server.store.mongo.schema`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from bson.int64 import Int64

from fhir_server.search.fold import fold
from fhir_server.search.values import Values
from fhir_server.store.cells import cells_of
from fhir_server.store.mongo.client import Document
from fhir_server.store.mongo.elements import element_rows
from fhir_server.store.mongo.keys import Keys, parameter, string

UPDATED: Final = "_lastUpdated"

ARRAYS: Final = ("pat", "k", "f", "o", "r", "s", "i", "q", "e")
"""The fields that are arrays, empty when there is nothing."""

INSTANTS: Final = ("d", "D", "y", "Y")
"""The fields that are times (ms) or null."""


def nothing() -> Document:
    """Return the search fields of a deletion: no search by any value finds it."""
    return {**dict.fromkeys(INSTANTS), **{name: [] for name in ARRAYS}}


def fields(type_: str, values: Values, keys: Keys, clinical: str | None) -> Document:
    """Return the search fields of a resource. ``clinical``: its type's clinical date parameter."""
    blind = keys.blind
    numbers: dict[str, int] = {}

    def number(code: str) -> int:
        p = numbers[code] = parameter(type_, code)
        return p

    found = _keys_of_tokens(values, keys, number)
    targets = [(number(code), Int64(blind.target(to))) for code, to in values.references]
    rows = {(number(code), lo, hi) for code, lo, hi in (*values.dates, *values.numbers)}
    measured = {
        (number(code), blind.unit(name), blind.system(system), lo, hi)
        for code, system, unit_code, unit, lo, hi in values.quantities
        for name in (unit_code or unit, unit or unit_code)
    }
    composed = [
        row for code, components in values.composites for row in element_rows(number(code), components, blind)
    ]
    strings = {string(number(code), blind.prefix(fold(text))) for code, text in values.strings}
    found.update(keys.present(p) for p in numbers.values())
    d, d_last = _ends(values, clinical)
    y, y_last = _ends(values, UPDATED)
    return {
        "d": d,
        "D": d_last,
        "y": y,
        "Y": y_last,
        "pat": patients(values, keys),
        "k": sorted(found),
        "f": sorted({keys.reference(p, digest) for p, digest in targets}),
        "o": sorted({digest for _, digest in targets}),
        "r": [{"p": p, "k": digest} for p, digest in dict.fromkeys(targets)],
        "s": sorted(strings),
        "i": [{"p": p, "a": lo, "b": hi} for p, lo, hi in sorted(rows)],
        "q": [{"p": p, "u": u, "s": s, "a": lo, "b": hi} for p, u, s, lo, hi in sorted(measured)],
        "e": composed,
    }


def patients(values: Values, keys: Keys) -> list[Int64]:
    """Return the digests of the patients that a resource is about, as references to them have them."""
    return [Int64(keys.blind.target(f"Patient/{id_}")) for id_ in values.patients]


def _keys_of_tokens(values: Values, keys: Keys, number: Callable[[str], int]) -> set[Int64]:
    """Return the keys of all that is found by equality, but for references."""
    found: set[Int64] = set()
    for code, system, token in values.tokens:
        p = number(code)
        found.add(keys.token(p, system, token))
        found.add(keys.code(p, token))
        found.add(keys.system(p, system))
    found.update(keys.uri(number(code), uri) for code, uri in values.uris)
    found.update(keys.text(number(code), text) for code, text in values.strings)
    found.update(keys.word(number(code), word) for code, word in values.words)
    for code, latitude, longitude in values.positions:
        p = number(code)
        found.update(keys.cell(p, cell) for cell in cells_of(latitude, longitude))
    return found


def _ends(values: Values, code: str | None) -> tuple[int | None, int | None]:
    """Return the least and the greatest beginning of a date parameter."""
    beginnings: Iterable[int] = [lo for name, lo, _ in values.dates if name == code]
    return (min(beginnings, default=None), max(beginnings, default=None))
