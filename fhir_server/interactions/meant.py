"""Whom a request is about, as far as it says so itself: for when the consents of all patients are too many.

Then only the classes of these patients are judged, and whatever is about anybody else is hidden: the answer
about them is the same. conformance/decisions/0013-consent-is-compiled-by-policy-class.md
"""

from __future__ import annotations

from typing import Final

from fhir_server.audit.patients import Patients
from fhir_server.audit.trail import unnoted
from fhir_server.interactions.context import Context
from fhir_server.interactions.pages import opened, search_scope
from fhir_server.search.visibility import Visibility

_PATIENT: Final = "Patient"
_NAMING: Final = frozenset({"patient", "subject", "beneficiary"})
_OF_MANY: Final = frozenset({"Practitioner", "Device"})
"""Compartments in which are records of many patients."""
_LOOK: Final = Visibility.everything("consent: whose record is asked for")


async def meant(context: Context, patients: Patients) -> frozenset[str] | None:
    """Return the ids of the patients that a request names, or whose record it addresses; None for neither.

    Whether they exist, or may be seen, is not asked. Of an unknown id nobody is meant: its answer is
    that for a hidden one.
    """
    request = context.request
    kind, id_ = request.compartment or (request.type, request.id)
    if request.compartment is not None and kind in _OF_MANY:
        kind = id_ = None
    if kind == _PATIENT and id_ is not None:
        return frozenset((id_,))
    if kind is not None and id_ is not None:
        with unnoted():
            stored = await context.services.store.read(_LOOK, kind, id_)
        return frozenset() if stored is None else frozenset(patients.of(stored, request.base))
    parameters = request.parameters
    if request.name.startswith("search-"):
        parameters, _ = opened(context, search_scope(request))
    named = [_id(value) for name, value in parameters if name in _NAMING]
    return frozenset(named) if named and all(named) else None


def _id(value: str) -> str:
    """Return the id in ``Patient/1`` or ``1``; "" for another type, an address or a list."""
    kind, slash, id_ = value.rpartition("/")
    if (slash and kind != _PATIENT) or "," in id_ or "|" in id_:
        return ""
    return id_
