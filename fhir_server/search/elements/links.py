"""Rows of what leads elsewhere: references, canonicals and URIs.

https://hl7.org/fhir/R4/search.html#reference
"""

from __future__ import annotations

from typing import Any

from fhir_server.search.elements.base import Codes, text
from fhir_server.search.elements.tokens import identifier_value
from fhir_server.search.references import local, paths_above, type_of
from fhir_server.search.values import Values


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
        identifier_value(values, tuple(f"{code}:identifier" for code in codes), logical)


def canonical_reference(values: Values, codes: Codes, element: Any) -> None:
    """Add a canonical or uri that refers to a definition: the whole URL, and the URL without its version."""
    for url in _canonical(element):
        for code in codes:
            values.references.append((code, url))


def uri(values: Values, codes: Codes, element: Any) -> None:
    """Add a uri, url or canonical, the last also without its version; and the paths above an http address."""
    found = _canonical(element)
    for each in found:
        for code in codes:
            values.uris.append((code, each))
    if found:
        for each in paths_above(found[-1]):
            values.uris.extend((code + ":below", each) for code in codes)


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
    return found or text(element.get("type")) or None
