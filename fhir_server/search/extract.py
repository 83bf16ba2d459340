"""Extract the searchable values of a resource: what the store indexes and what a search means.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from datetime import tzinfo
from typing import Any

import msgspec

from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.search.generate import program
from fhir_server.search.parameters import CLINICAL_DATE, R4, Registry
from fhir_server.search.subjects import subjects
from fhir_server.search.values import Values
from fhir_server.search.words import content, narrative

# Index values are floats, so a stored body need not be decoded to Decimal first.
_decode = msgspec.json.Decoder(dict[str, Any], float_hook=float).decode


class Extractor:
    """Extracts by one server's rules. ``zone``: of dates that carry none; ``base``: its address, no slash.

    ``full_text``: also yield the words of ``_text`` and ``_content``. Nothing is validated: what has not the
    shape of its type yields no row.
    """

    def __init__(self, zone: tzinfo, base: str = "", *, full_text: bool = False) -> None:
        self._zone = zone
        self._full_text = full_text
        self._base = base.rstrip("/")
        self.registry: Registry = R4

    def extract(self, tree: dict[str, Any]) -> Values:
        """Return the values of a decoded resource; none when its type is unknown."""
        values = Values()
        registry = self.registry
        values.generation = registry.generation
        type_ = tree.get("resourceType")
        if isinstance(type_, str) and type_ in RESOURCE_TYPES:
            program(type_, registry.custom(type_))(tree, values, self._zone, self._base)
            values.clinical = _clinical(type_, values)
            values.patients = subjects(type_, str(tree.get("id", "")), values)
            if self._full_text:
                values.words += [("_text", word) for word in narrative(tree)]
                values.words += [("_content", word) for word in content(tree)]
        return values

    def from_body(self, type_: str, body: bytes) -> Values:
        """Return the values of stored canonical JSON of a resource of ``type_``."""
        return self.extract({**_decode(body), "resourceType": type_})


def _clinical(type_: str, values: Values) -> int | None:
    code = CLINICAL_DATE.get(type_)
    if code is not None:
        for param, lo, _ in values.dates:
            if param == code:
                return lo
    return None
