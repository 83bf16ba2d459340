"""The operations that are served; what is not listed here does not exist."""

from __future__ import annotations

from collections.abc import Mapping

from fhir_server.interactions.context import Operation
from fhir_server.operations.break_glass import BREAK_GLASS
from fhir_server.operations.consenting.decision import CONSENT_DECISION
from fhir_server.operations.consenting.file import CONSENT_FILE, CONSENT_TEMPLATES
from fhir_server.operations.consenting.simulate import CONSENT_SIMULATE
from fhir_server.operations.convert import CONVERT
from fhir_server.operations.everything import EVERYTHING_OPERATION
from fhir_server.operations.lastn import LASTN
from fhir_server.operations.match import MATCH
from fhir_server.operations.meta import META, META_ADD, META_DELETE
from fhir_server.operations.reindex import REINDEX, REINDEX_STATUS
from fhir_server.operations.relabel import RELABEL, RELABEL_STATUS
from fhir_server.operations.validate import VALIDATE

OPERATIONS: Mapping[str, Operation] = {
    operation.name: operation
    for operation in (
        BREAK_GLASS,
        CONVERT,
        CONSENT_DECISION,
        CONSENT_FILE,
        CONSENT_SIMULATE,
        CONSENT_TEMPLATES,
        EVERYTHING_OPERATION,
        LASTN,
        MATCH,
        META,
        META_ADD,
        META_DELETE,
        REINDEX,
        REINDEX_STATUS,
        RELABEL,
        RELABEL_STATUS,
        VALIDATE,
    )
}
