"""OperationOutcome: what went wrong, or that nothing did, as canonical JSON.

https://hl7.org/fhir/R4/operationoutcome.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from fhir_server.faults import Issue

if TYPE_CHECKING:
    from collections.abc import Iterable

_ENCODE = msgspec.json.Encoder().encode
# A FHIR string holds no control characters besides tab, line feed and carriage return, JSON text no lone
# surrogates, XML neither U+FFFE nor U+FFFF; what quotes the client must not spoil the outcome itself.
_NEVER = (*range(0x20), 0x7F, *range(0xD800, 0xE000), 0xFFFE, 0xFFFF)
_UNFIT = {code: "\ufffd" for code in _NEVER if code not in (9, 10, 13)}


def outcome(issues: Iterable[Issue]) -> bytes:
    """Write ``issues`` as an OperationOutcome in compact canonical JSON.

    An empty diagnostics and an empty expression are left out, because FHIR knows no empty strings or lists.
    """
    return _ENCODE({"resourceType": "OperationOutcome", "issue": [_tree(issue) for issue in issues]})


def all_ok(diagnostics: str = "All is well.") -> bytes:
    """Write the OperationOutcome that says nothing went wrong (one informational issue)."""
    return outcome((Issue("information", "informational", diagnostics),))


def _tree(issue: Issue) -> dict[str, Any]:
    tree: dict[str, Any] = {"severity": issue.severity, "code": issue.code}
    if issue.diagnostics:
        tree["diagnostics"] = _fit(issue.diagnostics)
    if issue.expression:
        tree["expression"] = [_fit(path) for path in issue.expression]
    return tree


def _fit(text: str) -> str:
    return text if text.isprintable() else text.translate(_UNFIT)
