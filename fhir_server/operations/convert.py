"""$convert: messages and extracts of local formats become Bundles, are stored if asked, and come out again.

The maps (``mappings``) know the formats; what is stored or shown goes through the one door as the caller's
own request. docs/mappings.md, "On the server".
"""

from __future__ import annotations

from typing import Final

from fhir_server.interactions.context import Context, Operation
from fhir_server.interactions.request import Reply
from fhir_server.operations.converting.asked import Asked, read_arguments
from fhir_server.operations.converting.reading import Reading, context_of, read_content
from fhir_server.operations.converting.storing import keep_failed, take
from fhir_server.operations.converting.telling import Told, answer, refusal
from fhir_server.operations.converting.writing import write_resources
from mappings.engine.batches import Converted

CONVERT_NAME: Final = "$convert"


async def run(context: Context) -> Reply:
    """Convert content to Bundles, or resources to content. Faults: 400 for what is asked, 413, 415, 422."""
    asked = read_arguments(context)
    if asked.content is None:
        return await write_resources(context, asked)
    own = context_of(asked)
    # The original of several patients' rows is about none of them: only the house itself could keep it.
    rows = None if context.decision.may_create_under("Binary") or not asked.store else 1
    reading = await read_content(asked, own, context.settings, asked.rows or rows)
    told = [each for piece in reading.pieces for each in await take(context, asked, own, piece)]
    if asked.store:
        await _keep_unreadable(context, asked, reading, told)
    if not any(each.is_done for each in told):
        raise refusal(told)
    return Reply(200, answer(told))


async def _keep_unreadable(context: Context, asked: Asked, reading: Reading, told: list[Told]) -> None:
    """Keep the whole content when some of it could not be read: nobody knows which bytes that was."""
    failed = [each for each in told if not each.is_done and each.fault is None]
    if not reading.unreadable and not failed:
        return
    assert asked.content is not None
    whole = Told(Converted([*reading.unreadable]))
    await keep_failed(context, asked, whole, asked.content.data)
    for each in failed or told[-1:]:
        each.kept = each.kept or whole.kept
        each.also += whole.also


CONVERT = Operation(
    name=CONVERT_NAME,
    handler=run,
    levels=frozenset({"system"}),
    types=(),
    definition="https://fhir-server.invalid/OperationDefinition/convert",
    affects_state=True,
    methods=("POST",),
    right="any",
)
