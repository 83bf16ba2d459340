"""What a searchset says when patients were left out of it because all consents are too much for one search.

conformance/decisions/0013-consent-is-compiled-by-policy-class.md and docs/consent.md
"""

from __future__ import annotations

from typing import Final

from fhir_server.faults import Issue
from fhir_server.interactions.context import Context

_WORDS: Final = (
    "Patients' consents differ too much for one search over all of them: records of some patients, who may"
    " permit it, were left out and are not counted. Ask for one patient at a time (patient=Patient/1)."
)


def omitted(context: Context) -> tuple[Issue, ...]:
    """Return the warning, for an answer from which patients were left out; else nothing.

    ``suppressed``: https://hl7.org/fhir/R4/valueset-issue-type.html
    """
    return (Issue("warning", "suppressed", _WORDS),) if context.decision.is_partial else ()
