"""Extract the searchable values of a resource: what the store indexes and what a search means.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import tzinfo
from typing import Any

import msgspec

from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.search.generate import program
from fhir_server.search.parameters import CLINICAL_DATE, R4, Registry
from fhir_server.search.subjects import BUNDLE, subjects
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
        """Return the values of a decoded resource and of what it contains; none when its type is unknown."""
        values = self._extract(tree)
        for each in contained(tree):
            values.contain(each["resourceType"], str(each.get("id", "")), self._extract(each))
        return values

    def _extract(self, tree: dict[str, Any]) -> Values:
        values = Values()
        registry = self.registry
        values.generation = registry.generation
        type_ = _type_of(tree)
        if type_ in RESOURCE_TYPES:
            program(type_, registry.custom(type_))(tree, values, self._zone, self._base)
            values.clinical = _clinical(type_, values)
            values.patients = subjects(type_, str(tree.get("id", "")), values)
            if type_ == BUNDLE:
                values.patients = tuple(dict.fromkeys(self._within(tree)))
            if self._full_text:
                values.words += [("_text", word) for word in narrative(tree)]
                values.words += [("_content", word) for word in content(tree)]
        return values

    def _within(self, bundle: dict[str, Any]) -> Iterator[str]:
        """Yield the ids of the patients whom the entries of a stored Bundle are about.

        What an entry names is taken for this server's, wherever the entry comes from: rather protected by the
        wrong patient too than by nobody.
        """
        for entry in _objects(bundle.get("entry")):
            resource = entry.get("resource")
            if isinstance(resource, dict):
                yield from self._extract(resource).patients

    def from_body(self, type_: str, body: bytes) -> Values:
        """Return the values of stored canonical JSON of a resource of ``type_``."""
        return self.extract({**_decode(body), "resourceType": type_})


def contained(tree: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the resources that a decoded one contains, in order, those of no type of R4 left out."""
    return [each for each in _objects(tree.get("contained")) if _type_of(each) in RESOURCE_TYPES]


def _objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _type_of(tree: dict[str, Any]) -> str:
    type_ = tree.get("resourceType")
    return type_ if isinstance(type_, str) else ""


def _clinical(type_: str, values: Values) -> int | None:
    code = CLINICAL_DATE.get(type_)
    if code is not None:
        for param, lo, _ in values.dates:
            if param == code:
                return lo
    return None
