"""Times in the parameters of histories and operations: ``_since``, ``_at``, ``start``, ``end``.

https://hl7.org/fhir/R4/http.html#history
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo

from fhir_server.faults import Fault, Kind
from fhir_server.search.dates import span


def time_span(values: Mapping[str, str], name: str, zone: tzinfo) -> tuple[int, int] | None:
    """Return the first and last ms that the parameter ``name`` stands for; None when it is not given.

    ``values``: the parameters by name. ``zone`` holds for a date without one.
    Fault BAD_PARAMETER for what is no date.
    """
    text = values.get(name)
    if text is None:
        return None
    try:
        # A plus sign that was not percent-encoded arrives as a space. Nothing that long is a date.
        return span(text.replace(" ", "+")[:64], zone)
    except ValueError:
        raise Fault(
            Kind.BAD_PARAMETER, f"{name} is a date or instant such as 2024-03-01 or 2024-03-01T08:30:00Z."
        ) from None
