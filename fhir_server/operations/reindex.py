"""$reindex: bring the index after the stored SearchParameters, as a job; $reindex-status tells how it goes.

https://hl7.org/fhir/R4/async.html
"""

from __future__ import annotations

from fhir_server.interactions.context import Operation
from fhir_server.jobs.reindex import KIND
from fhir_server.operations.background import Background

_DEFINITION = "https://fhir-server.invalid/OperationDefinition/{}"
_JOB = Background(KIND, "reading definitions", {"resources": "looked", "rows": "added"})

REINDEX = Operation(
    name="$reindex",
    handler=_JOB.start,
    levels=frozenset({"system", "type"}),
    types=("*",),
    definition=_DEFINITION.format("reindex"),
    affects_state=True,
)

REINDEX_STATUS = Operation(
    name="$reindex-status",
    handler=_JOB.status,
    levels=frozenset({"system"}),
    types=(),
    definition=_DEFINITION.format("reindex-status"),
    methods=("GET", "DELETE"),
    right="admin",
)
