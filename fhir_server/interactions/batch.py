"""Batch: many independent interactions in one request, each answered by itself; the way into transactions.

https://hl7.org/fhir/R4/http.html#transaction
"""

from __future__ import annotations

import asyncio

from fhir_server.faults import Fault
from fhir_server.interactions.context import Context
from fhir_server.interactions.entry import answer
from fhir_server.interactions.request import Reply
from fhir_server.interactions.transaction import transaction
from fhir_server.interactions.write import require
from fhir_server.resources.bundle import Entry, Response, entries, responses

AT_ONCE = 8
"""How many entries of a batch run side by side: enough to share commits, few enough to leave others room."""


async def batch(context: Context) -> Reply:
    """Process a batch or a transaction, whichever the Bundle's type says."""
    tree = require(context.request.body, "Bundle")
    read = entries(tree, max_entries=context.settings.max_entries, base=context.request.base)
    if tree["type"] == "transaction":
        return await transaction(context, read)
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(entry: Entry | Fault) -> Response:
        async with gate:
            return await answer(context, entry)

    answers = await asyncio.gather(*(one(entry) for entry in read))
    return Reply(200, responses("batch-response", answers))
