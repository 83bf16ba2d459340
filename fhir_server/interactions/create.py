"""Create: a new resource under an id that the server chooses; conditional create when If-None-Exist is given.

https://hl7.org/fhir/R4/http.html#create and https://hl7.org/fhir/R4/http.html#ccreate
"""

from __future__ import annotations

from uuid import uuid4

from fhir_server.interactions.conditional import criteria, find
from fhir_server.interactions.context import Context
from fhir_server.interactions.request import Reply
from fhir_server.interactions.write import Draft, commit, prepare, refuse_parameters, require, unchanged
from fhir_server.store.api import Condition


async def create(context: Context) -> Reply:
    """Store the resource under a new id; 200 and the existing one when a conditional create finds it."""
    return await commit(context, draft)


async def draft(context: Context, id_: str | None = None) -> Draft:
    """Draft the creation, under ``id_`` when a transaction has chosen it beforehand."""
    refuse_parameters(context.request)
    tree = require(context.request.body, context.type)
    conditions: tuple[Condition, ...] = ()
    if context.request.if_none_exist is not None:
        found, expectation = await find(context, context.type, criteria(context.request.if_none_exist))
        if found is not None:
            return unchanged(found)
        conditions = (expectation,)
    return await prepare(
        context, tree, id_=id_ or str(uuid4()), version=1, method="POST", status=201, conditions=conditions
    )
