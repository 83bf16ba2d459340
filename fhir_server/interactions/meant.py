"""Whom a request is about, as far as it says so itself: for when the consents of all patients are too many.

Then only the classes of these patients are judged, and whatever is about anybody else is hidden: the answer
about them is the same. conformance/decisions/0013-consent-is-compiled-by-policy-class.md
"""

from __future__ import annotations

from typing import Final

from fhir_server.access.consented import PROVENANCE, TELLS
from fhir_server.audit.patients import Patients
from fhir_server.audit.trail import unnoted
from fhir_server.interactions.context import Context
from fhir_server.interactions.pages import opened, search_scope
from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.search.subjects import BUNDLE
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import Stored

_PATIENT: Final = "Patient"
_NAMING: Final = frozenset({"patient", "subject", "beneficiary"})
_OF_MANY: Final = frozenset({"Practitioner", "Device"})
"""Compartments in which are records of many patients."""
_TELLING: Final = frozenset({BUNDLE, PROVENANCE})
"""Types of which more decides than what the compartment's elements name."""
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
            return frozenset() if stored is None else await _about(context, stored, patients)
    parameters = request.parameters
    if request.name.startswith("search-"):
        parameters, _ = opened(context, search_scope(request))
    named = [_id(value) for name, value in parameters if name in _NAMING]
    return frozenset(named) if named and all(named) else None


async def _about(context: Context, stored: Stored, patients: Patients) -> frozenset[str]:
    """Return the ids of the patients whose consents decide on a record; of a Provenance those it tells of."""
    base = context.request.base
    found = set(patients.of(stored, base))
    if stored.deleted or stored.type not in _TELLING:
        return frozenset(found)
    values = context.services.extractor.from_body(stored.type, stored.body)
    found.update(values.patients)
    if stored.type == PROVENANCE:
        parts = (target.partition("/") for name, target in values.references if name in TELLS)
        keys = [(kind, id_) for kind, slash, id_ in parts if slash and kind in RESOURCE_TYPES]
        for each in await context.services.store.read_many(_LOOK, list(dict.fromkeys(keys))):
            inner = context.services.extractor.from_body(each.type, each.body)
            found.update(inner.patients)
    return frozenset(found)


def _id(value: str) -> str:
    """Return the id in ``Patient/1`` or ``1``; "" for another type, an address or a list."""
    kind, slash, id_ = value.rpartition("/")
    if (slash and kind != _PATIENT) or "," in id_ or "|" in id_:
        return ""
    return id_
