"""The part of a resource that was asked for: ``_elements`` and ``_summary``.

https://hl7.org/fhir/R4/search.html#summary and https://hl7.org/fhir/R4/search.html#elements
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

from fhir_server.faults import Fault, Kind
from fhir_server.frozen import frozen
from fhir_server.resources import subset
from fhir_server.resources.codec import decode, encode

_SUMMARIES = ("true", "text", "data", "false")


@frozen
class Shape:
    """What of a resource is returned: all of it, unless ``elements`` or ``summary`` say otherwise."""

    elements: tuple[str, ...] = ()
    summary: str | None = None

    def of(self, body: bytes) -> bytes:
        """Return canonical JSON with what was asked for; the stored bytes themselves when that is all."""
        if self.summary in {"true", "text", "data"}:
            mode = cast("Literal['true', 'text', 'data']", self.summary)
            return encode(subset.summary(decode(body), mode))
        if self.elements:
            return encode(subset.elements(decode(body), self.elements))
        return body


WHOLE = Shape()


def shape(parameters: Sequence[tuple[str, str]]) -> Shape:
    """Read the parameters of a read; 400 for any other parameter, for it would have no effect."""
    if not parameters:
        return WHOLE
    elements: list[str] = []
    summary: str | None = None
    for name, value in parameters:
        if name == "_elements":
            elements += [element.strip() for element in value.split(",") if element.strip()]
        elif name == "_summary" and value in _SUMMARIES:
            summary = value
        elif name == "_summary":
            raise Fault(Kind.BAD_PARAMETER, "The _summary of a read is true, text, data or false.")
        else:
            raise Fault(Kind.UNSUPPORTED_PARAMETER, "A read takes _elements, _summary, _format and _pretty.")
    return Shape(tuple(elements), summary)
