"""One family of faults: what went wrong, which HTTP status says so, and which issue code.

Every refusal anywhere in the server is a :class:`Fault`; ``rest`` turns it into an OperationOutcome.
https://hl7.org/fhir/R4/operationoutcome.html and https://hl7.org/fhir/R4/http.html#Status-Codes
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """A kind of fault: (HTTP status, IssueType code). https://hl7.org/fhir/R4/valueset-issue-type.html"""

    SYNTAX = (400, "structure")
    """The bytes are not well-formed JSON or XML, or not a resource."""
    BAD_REQUEST = (400, "invalid")
    """The request itself makes no sense (ids that differ, a missing header, an unknown prefix)."""
    BAD_PARAMETER = (400, "value")
    """A parameter's value cannot be read."""
    UNSUPPORTED_PARAMETER = (400, "not-supported")
    """A parameter, modifier or option that this server does not know."""
    UNAUTHORIZED = (401, "login")
    """No access token, or one that does not count; the header WWW-Authenticate says so too."""
    FORBIDDEN = (403, "forbidden")
    NOT_FOUND = (404, "not-found")
    UNKNOWN_TYPE = (404, "not-supported")
    METHOD_NOT_ALLOWED = (405, "not-supported")
    NOT_ACCEPTABLE = (406, "not-supported")
    CONFLICT = (409, "conflict")
    """Another write came first, or something still refers to what is to be deleted."""
    GONE = (410, "deleted")
    VERSION_MISMATCH = (412, "conflict")
    """If-Match names another version than the current one."""
    MULTIPLE_MATCHES = (412, "multiple-matches")
    """A conditional interaction's criteria match more than one resource."""
    TOO_LARGE = (413, "too-long")
    UNSUPPORTED_MEDIA = (415, "not-supported")
    UNPROCESSABLE = (422, "processing")
    """Well-formed, but it breaks a rule: the issues say which, and where."""
    THROTTLED = (429, "throttled")
    EXCEPTION = (500, "exception")
    NOT_IMPLEMENTED = (501, "not-supported")
    UNAVAILABLE = (503, "transient")
    """Nothing was stored; the same request may succeed later."""
    TOO_COSTLY = (503, "too-costly")

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.value[0]

    @property
    def code(self) -> str:
        """The IssueType code."""
        return self.value[1]


@dataclass(frozen=True, slots=True)
class Issue:
    """One issue of an OperationOutcome: severity, code, words for a person, and where (FHIRPath)."""

    severity: str
    code: str
    diagnostics: str
    expression: tuple[str, ...] = ()


class Fault(Exception):
    """A refusal with its reason; never holds a stack, a path, SQL or a person's data.

    ``diagnostics`` says what to do. ``issues``, when given, replaces the single issue that is otherwise made
    of ``kind``, ``diagnostics`` and ``expression``. ``headers`` are added to the HTTP response.
    """

    def __init__(
        self,
        kind: Kind,
        diagnostics: str,
        *expression: str,
        issues: tuple[Issue, ...] = (),
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(diagnostics)
        self.kind = kind
        self.diagnostics = diagnostics
        self.headers = headers
        self.issues = issues or (Issue("error", kind.code, diagnostics, expression),)
