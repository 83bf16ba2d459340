"""$relabel: give every stored resource the labels that the rules ask for now, as a job; $relabel-status.

https://hl7.org/fhir/R4/security-labels.html
"""

from __future__ import annotations

from fhir_server.faults import Fault, Kind
from fhir_server.interactions.context import Context
from fhir_server.interactions.request import Reply
from fhir_server.jobs.relabel import KIND
from fhir_server.operations.background import Background

_JOB = Background(KIND, "counting", {"resources": "looked", "relabelled": "changed"})


async def start(context: Context) -> Reply:
    """Queue the job; 403 without the scope ``relabel``, which an administrator's rights do not include."""
    if not context.decision.may_relabel:
        raise Fault(Kind.FORBIDDEN, "$relabel needs the scope relabel.")
    return await _JOB.start(context)


RELABEL, RELABEL_STATUS = _JOB.operations(start)
