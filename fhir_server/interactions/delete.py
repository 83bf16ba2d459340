"""Delete: the resource is no longer found, its versions stay in the history; conditional delete by criteria.

https://hl7.org/fhir/R4/http.html#delete and https://hl7.org/fhir/R4/http.html#cdelete
"""

from __future__ import annotations

from fhir_server.clock import now_ms
from fhir_server.interactions.conditional import find
from fhir_server.interactions.context import Context
from fhir_server.interactions.request import Reply
from fhir_server.interactions.update import require_match
from fhir_server.interactions.write import Draft, commit
from fhir_server.store.api import Change, Condition, Stored, Unreferenced


async def delete(context: Context) -> Reply:
    """Delete the addressed or matching resource; 204 also when there is nothing to delete."""
    reply = await commit(context, draft)
    return Reply(reply.status, b"", reply.etag or None, resource=reply.resource)


async def draft(context: Context) -> Draft:
    """Draft the deletion."""
    if context.request.id is not None:
        stored = await context.store.read(context.visibility, context.type, context.id)
        return deletion(context, context.id, stored)
    found, expectation = await find(context, context.type, context.request.parameters)
    if found is None:
        return _nothing(context.type, "")
    return deletion(context, found.id, found, (expectation,))


def deletion(
    context: Context, id_: str, stored: Stored | None, conditions: tuple[Condition, ...] = ()
) -> Draft:
    """Draft the deletion of ``stored``; nothing when it is unknown or deleted already."""
    require_match(context, stored)
    if stored is None or stored.deleted:
        return _nothing(context.type, id_)
    if context.settings.referential_integrity:
        conditions = (*conditions, Unreferenced(context.type, id_))
    updated = now_ms()
    change = Change(context.type, id_, stored.version + 1, updated, "DELETE", b"", None)
    prepared = context.store.prepare(change)
    return Draft(prepared, conditions, 204, context.type, id_, change.version, updated, b"")


def _nothing(type_: str, id_: str) -> Draft:
    return Draft(None, (), 204, type_, id_, 0, 0, b"")
