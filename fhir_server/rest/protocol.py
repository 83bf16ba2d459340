"""uvicorn's HTTP protocol, with FHIR's words for what is not HTTP at all.

Bytes that the HTTP parser refuses never reach the application, so the OperationOutcome is written here.
"""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from fhir_server.faults import Issue, Kind
from fhir_server.resources.outcome import outcome
from fhir_server.rest.negotiate import Format

_BODY = outcome([Issue("error", Kind.SYNTAX.code, "These bytes are not an HTTP/1.1 request.")])
_RESPONSE = (
    b"HTTP/1.1 400 Bad Request\r\n"
    b"content-type: %s; charset=utf-8\r\n"
    b"cache-control: no-store\r\n"
    b"content-length: %d\r\n"
    b"connection: close\r\n\r\n" % (Format.JSON.value.encode(), len(_BODY))
) + _BODY


class FhirProtocol(HttpToolsProtocol):
    """The httptools protocol whose own 400 is an OperationOutcome too."""

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 the signature is uvicorn's
        """Answer what is not HTTP, then close the connection."""
        self.transport.write(_RESPONSE)
        self.transport.close()
