"""Update: replace a resource, or create it with a client-chosen id; conditional update when given criteria.

https://hl7.org/fhir/R4/http.html#update, #upsert and #cond-update
"""

from __future__ import annotations

from uuid import uuid4

from fhir_server.faults import Fault, Kind
from fhir_server.interactions.conditional import find
from fhir_server.interactions.context import Context
from fhir_server.interactions.request import Reply, Tree
from fhir_server.interactions.write import (
    Draft,
    commit,
    is_same,
    prepare,
    refuse_masked,
    refuse_parameters,
    require,
    unchanged,
)
from fhir_server.store.api import Condition, Method, Stored


async def update(context: Context) -> Reply:
    """Replace the resource, or create it under the id of the address."""
    return await commit(context, draft)


async def draft(context: Context) -> Draft:
    """Draft the update of the addressed or matching resource."""
    refuse_parameters(context.request)
    tree = require(context.request.body, context.type)
    if context.request.id is None:
        return await _conditional(context, tree)
    if tree.get("id") != context.id:
        raise Fault(
            Kind.BAD_REQUEST,
            f"The body's id must be the one in the address, {context.id}.",
            f"{context.type}.id",
        )
    return await replace(context, tree, context.id, "PUT")


async def _conditional(context: Context, tree: Tree) -> Draft:
    found, expectation = await find(context, context.type, context.request.parameters)
    given = tree.get("id")
    if found is None:
        new = str(uuid4()) if given is None else str(given)
        return await unmatched(context, tree, new, (expectation,))
    if given is not None and given != found.id:
        raise Fault(
            Kind.BAD_REQUEST,
            f"The criteria match {context.type}/{found.id}, the body has another id.",
            f"{context.type}.id",
        )
    return await replace(context, tree, found.id, "PUT", (expectation,))


async def unmatched(context: Context, tree: Tree, id_: str, conditions: tuple[Condition, ...]) -> Draft:
    """Draft a conditional update whose criteria matched nothing: a create, under the resource's id if any.

    409 when that id is taken: the criteria and the id then speak of different resources.
    """
    if tree.get("id") is None:
        return await prepare(
            context, tree, id_=id_, version=1, method="POST", status=201, conditions=conditions
        )
    stored = await target(context, id_)
    if stored is not None and not stored.deleted:
        raise Fault(
            Kind.CONFLICT,
            f"Nothing matches the criteria, but {context.type}/{id_} exists; update it by its id.",
            f"{context.type}.id",
        )
    return await replace(context, tree, id_, "PUT", conditions)


async def replace(
    context: Context, tree: Tree, id_: str, method: Method, conditions: tuple[Condition, ...] = ()
) -> Draft:
    """Draft ``tree`` as the next version of ``id_``; 412 when If-Match names another version.

    A resource that is sent again unchanged makes no new version.
    """
    stored = await target(context, id_)
    return await succeed(context, tree, id_, stored, method, conditions)


async def succeed(
    context: Context,
    tree: Tree,
    id_: str,
    stored: Stored | None,
    method: Method,
    conditions: tuple[Condition, ...] = (),
) -> Draft:
    """Draft ``tree`` as the version after ``stored``; 412 when If-Match names another version.

    Who made ``tree`` out of a version passes that version: were it read anew, a change that another client
    committed in between would be overwritten by an answer that never saw it.
    """
    require_match(context, stored)
    refuse_masked(context, stored)
    if stored is not None and not stored.deleted and is_same(tree, stored):
        return unchanged(stored)
    version = stored.version + 1 if stored else 1
    status = 201 if stored is None or stored.deleted else 200
    return await prepare(
        context,
        tree,
        id_=id_,
        version=version,
        method=method,
        status=status,
        conditions=conditions,
        before=stored,
    )


async def target(context: Context, id_: str) -> Stored | None:
    """Return the version that a write would replace; None when it would create ``id_``.

    To a caller who does not see all of the type, an id that is unknown and one that is hidden are the same
    404: only who sees all may create under an id of its choice. 403 for what may be read but not written.
    """
    stored = await context.store.read(context.visibility, context.type, id_)
    if stored is not None or context.decision.may_create_under(context.type):
        return stored
    if await context.store.read(context.decision.visibility("r"), context.type, id_) is not None:
        raise Fault(Kind.FORBIDDEN, f"Your access allows to read this {context.type}, not to change it.")
    raise Fault(Kind.NOT_FOUND, f"{context.type}/{id_} is not known here.")


def require_match(context: Context, stored: Stored | None) -> None:
    """Check If-Match against the current version. https://hl7.org/fhir/R4/http.html#concurrency."""
    wanted = context.request.if_match
    if wanted is None:
        return
    exists = stored is not None and not stored.deleted
    if exists and (wanted == "*" or str(stored.version if stored else "") in wanted.split(",")):
        return
    now = f"version {stored.version} is current" if exists and stored else "there is no current version"
    raise Fault(
        Kind.VERSION_MISMATCH, f"If-Match does not hold: {now}. Read it, redo your change, try again."
    )
