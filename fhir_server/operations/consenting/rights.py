"""Who may ask what a patient's consents come to: the patient, a proxy, the custodian, the privacy officer.

For everybody else the answer would be an oracle: it tells what a Consent says, and that a record exists.
"""

from __future__ import annotations

from typing import Final

from fhir_server.access.actor import SECURITY_ADMINISTRATOR
from fhir_server.access.bearer import insufficient
from fhir_server.faults import Fault, Kind
from fhir_server.interactions.context import Context
from fhir_server.search.predicate import IdIn, Predicate, ReferenceIs, Where, all_of
from fhir_server.search.query import Query
from fhir_server.search.visibility import Visibility

_ALL: Final = Visibility.everything("consent: the privacy officer")


async def answerable(context: Context) -> Visibility:
    """Return which records of the patient the caller may be told about.

    A security administrator is the privacy officer, who is told about all; anybody else about what it sees
    itself. Faults: FORBIDDEN without the scope to read Consents; NOT_FOUND for whoever may not ask about
    this patient, known or not.
    """
    decision = context.decision
    actor = decision.actor
    if SECURITY_ADMINISTRATOR in actor.roles:
        visibility = _ALL
    elif decision.permits("r", "Consent"):
        visibility = decision.visibility("r")
    else:
        raise insufficient("Your scopes do not include to read Consent (.r).")
    where: list[Predicate] = [IdIn((context.id,))]
    if visibility is not _ALL and actor.organization is not None:
        # The custodian: who manages the patient's record, not whoever else treats or insures the patient.
        where.append(Where("organization", ReferenceIs((actor.organization,))))
    page = await context.services.store.search(visibility, Query("Patient", all_of(where), count=1))
    if not page.matches:
        raise Fault(Kind.NOT_FOUND, f"Patient/{context.id} is not known here.")
    return visibility
