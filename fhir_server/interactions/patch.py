"""Patch: change parts of a resource, by JSON Patch or by FHIRPath Patch.

https://hl7.org/fhir/R4/http.html#patch
"""

from __future__ import annotations

from fhir_server.faults import Fault, Kind
from fhir_server.interactions.conditional import find
from fhir_server.interactions.context import Context
from fhir_server.interactions.read import changeable
from fhir_server.interactions.request import Reply, Request, Tree
from fhir_server.interactions.update import succeed
from fhir_server.interactions.write import Draft, commit, refuse_parameters
from fhir_server.resources import patch_fhirpath, patch_json
from fhir_server.resources.codec import decode
from fhir_server.store.api import Condition, Stored


async def patch(context: Context) -> Reply:
    """Apply the patch to the addressed or matching resource and store the result as its next version."""
    return await commit(context, draft)


async def draft(context: Context) -> Draft:
    """Draft the patched resource; 404 when criteria match nothing."""
    refuse_parameters(context.request)
    if context.request.id is not None:
        return await draft_of(context, context.request.id)
    found, expectation = await find(context, context.type, context.request.parameters)
    if found is None:
        raise Fault(Kind.NOT_FOUND, f"The criteria match no {context.type}; there is nothing to patch.")
    return await draft_of(context, found.id, (expectation,))


async def draft_of(context: Context, id_: str, conditions: tuple[Condition, ...] = ()) -> Draft:
    """Draft the patch of ``id_``; 404 and 410 as in a read."""
    stored = await changeable(context, id_)
    tree = _patched(stored, context.request)
    if tree.get("resourceType") != stored.type or tree.get("id") != stored.id:
        raise Fault(Kind.UNPROCESSABLE, "A patch may not change resourceType or id.", f"{stored.type}.id")
    return await succeed(context, tree, stored.id, stored, "PATCH", conditions)


def _patched(stored: Stored, request: Request) -> Tree:
    tree = decode(stored.body)
    if request.patch is not None:
        return patch_json.apply(tree, request.patch)
    if request.body is None or request.body.get("resourceType") != "Parameters":
        raise Fault(
            Kind.BAD_REQUEST,
            "Send a JSON Patch as application/json-patch+json, or a FHIRPath Patch as a Parameters resource.",
        )
    return patch_fhirpath.apply(tree, request.body)
