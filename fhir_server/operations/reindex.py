"""$reindex: bring the index after the stored SearchParameters, as a job; $reindex-status tells how it goes.

https://hl7.org/fhir/R4/async.html
"""

from __future__ import annotations

from fhir_server.jobs.reindex import KIND
from fhir_server.operations.background import Background

_JOB = Background(KIND, "reading definitions", {"resources": "looked", "rows": "added"})

REINDEX, REINDEX_STATUS = _JOB.operations()
