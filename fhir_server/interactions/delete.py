"""Delete: the resource is no longer found, its versions stay in the history; conditional delete by criteria.

https://hl7.org/fhir/R4/http.html#delete and https://hl7.org/fhir/R4/http.html#cdelete
"""

from __future__ import annotations

from fhir_server.clock import now_ms
from fhir_server.faults import Fault, Kind
from fhir_server.interactions.conditional import find
from fhir_server.interactions.consents import CONSENT, kept
from fhir_server.interactions.context import Context
from fhir_server.interactions.request import Reply
from fhir_server.interactions.update import require_match
from fhir_server.interactions.write import Draft, commit, refuse_parameters
from fhir_server.store.api import Change, Condition, Stored, Unreferenced


async def delete(context: Context) -> Reply:
    """Delete the addressed or matching resource; 204 also when there is nothing to delete."""
    reply = await commit(context, draft)
    return Reply(reply.status, b"", reply.etag or None, resource=reply.resource)


async def draft(context: Context) -> Draft:
    """Draft the deletion."""
    refuse_parameters(context.request)
    if context.request.id is not None:
        return deletion(context, context.id, await removable(context, context.id))
    found, expectation = await find(context, context.type, context.request.parameters)
    if found is None:
        return _nothing(context.type, "")
    return deletion(context, found.id, await removable(context, found.id), (expectation,))


async def removable(context: Context, id_: str) -> Stored | None:
    """Return the version that a deletion would end; None when it is unknown or hidden.

    403 for what may be read but not deleted.
    """
    stored = await context.store.read(context.visibility, context.type, id_)
    if stored is None and not context.decision.is_everything:
        shown = await context.store.read(context.decision.visibility("r"), context.type, id_)
        if shown is not None and not shown.deleted:
            raise Fault(Kind.FORBIDDEN, f"Your access allows to read this {context.type}, not to delete it.")
    return stored


def deletion(
    context: Context, id_: str, stored: Stored | None, conditions: tuple[Condition, ...] = ()
) -> Draft:
    """Draft the deletion of ``stored``; nothing when it is unknown or deleted already."""
    require_match(context, stored)
    if stored is None or stored.deleted:
        return _nothing(context.type, id_)
    if context.type == CONSENT and not context.decision.actor.is_development:
        raise kept()
    if context.settings.referential_integrity:
        conditions = (*conditions, Unreferenced(context.type, id_))
    updated = now_ms()
    change = Change(context.type, id_, stored.version + 1, updated, "DELETE", b"", None)
    prepared = context.store.prepare(change)
    return Draft(prepared, conditions, 204, context.type, id_, change.version, updated, b"")


def _nothing(type_: str, id_: str) -> Draft:
    return Draft(None, (), 204, type_, id_, 0, 0, b"")
