"""One entry of a batch or transaction: as the request it would be over HTTP, and its answer.

https://hl7.org/fhir/R4/http.html#transaction-response
"""

from __future__ import annotations

from dataclasses import replace

from fhir_server.clock import instant
from fhir_server.faults import Fault
from fhir_server.interactions.context import Context
from fhir_server.interactions.request import Reply, Request
from fhir_server.resources.bundle import Entry, Response
from fhir_server.resources.outcome import outcome


async def answer(context: Context, entry: Entry | Fault) -> Response:
    """Run one entry through the one door and tell how it went; its fault is its answer."""
    if isinstance(entry, Fault):
        return refusal(entry)
    try:
        return response(context, await context.run(request_of(context, entry)))
    except Fault as fault:
        return refusal(fault)


def request_of(context: Context, entry: Entry) -> Request:
    """Return the entry as the request it would be over HTTP.

    Within a bundle a write answers without the resource unless the caller prefers the representation.
    """
    target = entry.target
    return replace(
        context.request,
        name=target.name,
        type=target.type,
        id=target.id,
        version=target.version,
        operation=target.operation,
        compartment=target.compartment,
        method=entry.method,
        parameters=target.parameters,
        body=entry.resource,
        patch=entry.patch,
        content=None,
        if_match=entry.if_match,
        if_none_match=entry.if_none_match,
        if_modified_since=entry.if_modified_since,
        if_none_exist=entry.if_none_exist,
        prefer_return=context.request.prefer_return or "minimal",
    )


def response(context: Context, reply: Reply) -> Response:
    """Return a reply as the answer of an entry; what only tells of the outcome goes where outcomes go."""
    told = context.request.prefer_return == "OperationOutcome"
    return Response(
        status=reply.status,
        body=b"" if told else reply.body,
        outcome=reply.body if told else b"",
        location=f"{context.request.base}/{reply.location}" if reply.location else None,
        etag=f'W/"{reply.etag}"' if reply.etag is not None else None,
        modified=instant(reply.modified) if reply.modified is not None else None,
    )


def refusal(fault: Fault) -> Response:
    """Return a fault as the answer of an entry."""
    return Response(status=fault.kind.status, outcome=outcome(fault.issues))
