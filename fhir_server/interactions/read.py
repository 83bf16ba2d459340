"""Read and vread: the current version of a resource, or one version of it.

https://hl7.org/fhir/R4/http.html#read and https://hl7.org/fhir/R4/http.html#vread
"""

from __future__ import annotations

from dataclasses import replace

from fhir_server.faults import Fault, Kind
from fhir_server.interactions.context import Context
from fhir_server.interactions.published import published
from fhir_server.interactions.request import Reply, Request
from fhir_server.interactions.shape import shape
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import Stored


async def read(context: Context) -> Reply:
    """Return the current version; 304 when the caller has it, 410 when deleted, 404 when unknown."""
    try:
        stored = await current(context, context.type, context.id)
    except Fault as fault:
        own = published(context.type, context.id)
        if own is None or fault.kind is not Kind.NOT_FOUND:
            raise
        stored = own
    if _is_known(context.request, stored):
        return Reply(304, etag=stored.version, modified=stored.updated, resource=_name(stored))
    return _reply(context, stored)


async def vread(context: Context) -> Reply:
    """Return one version; 410 when that version is the deletion, 404 when there is no such version."""
    number = context.request.version or ""
    known = number.isascii() and number.isdigit() and len(number) <= 18
    stored = (
        await context.store.read_version(context.visibility, context.type, context.id, int(number))
        if known
        else None
    )
    if stored is None:
        raise Fault(Kind.NOT_FOUND, f"{context.type}/{context.id} has no version {number[:32]!r}.")
    if stored.deleted:
        raise gone(stored)
    return _reply(context, stored)


async def current(context: Context, type_: str, id_: str, visibility: Visibility | None = None) -> Stored:
    """Return the current version of ``type_/id_``; faults: 404 unknown or not visible, 410 deleted.

    ``visibility``: the interaction's own unless another is given.
    """
    stored = await context.store.read(visibility or context.visibility, type_, id_)
    if stored is None:
        raise Fault(Kind.NOT_FOUND, f"{type_}/{id_} is not known here.")
    if stored.deleted:
        raise gone(stored)
    return stored


async def changeable(context: Context, id_: str) -> Stored:
    """Return the current version for a change that is made out of it; faults as :func:`current`.

    What the caller may change, and what consents let it read: the test in a patch, and labels that are sent
    back, tell what is stored.
    """
    consents = context.decision.visibility("r").consents
    visibility = context.visibility
    if consents is not None and visibility.consents is None:
        visibility = replace(visibility, consents=consents)
    return await current(context, context.type, id_, visibility)


def gone(stored: Stored) -> Fault:
    """Return the fault that says a resource was deleted, with the deletion's version as ETag."""
    return Fault(
        Kind.GONE,
        f"{stored.type}/{stored.id} was deleted; its versions are in the history.",
        headers=(("ETag", f'W/"{stored.version}"'),),
    )


def _is_known(request: Request, stored: Stored) -> bool:
    """Conditional read: https://hl7.org/fhir/R4/http.html#cread. If-None-Match outranks If-Modified-Since."""
    if request.if_none_match:
        return request.if_none_match == "*" or str(stored.version) in request.if_none_match.split(",")
    if request.if_modified_since is not None:
        return stored.updated // 1000 <= request.if_modified_since // 1000
    return False


def _reply(context: Context, stored: Stored) -> Reply:
    body = shape(context.request.parameters).of(stored.body)
    return Reply(200, body, stored.version, stored.updated, resource=_name(stored))


def _name(stored: Stored) -> str:
    return f"{stored.type}/{stored.id}"
