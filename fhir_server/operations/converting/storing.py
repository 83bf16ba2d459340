"""Bundles are carried out one by one, through the one door and with the caller's own rights, or only checked.

A message that is refused takes no other with it: rows that share a Bundle are tried again in halves, until
those that are refused stand alone. What was refused for what it says is kept (``keeping``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from fhir_server.faults import Fault, Issue
from fhir_server.interactions.context import Context
from fhir_server.interactions.request import Reply, Request, Tree
from fhir_server.operations.converting.asked import Asked
from fhir_server.operations.converting.keeping import ARCHIVE, keep
from fhir_server.operations.converting.reading import checked, in_thread, valid
from fhir_server.operations.converting.telling import Told
from fhir_server.resources.codec import decode
from mappings.engine import ids, model
from mappings.engine.batches import Converted
from mappings.engine.run import read_all

MESSAGE_FAULTS: Final = frozenset({400, 404, 412, 413, 422})
"""Statuses that say something of the message; the others speak of the caller's rights or of the moment."""

_BINARY: Final = "Binary"


async def take(context: Context, asked: Asked, own: model.Context, piece: Converted) -> list[Told]:
    """Carry out one piece, or check it; several of it are told when its rows had to be parted."""
    result = piece.result
    if result is None or not result.bundle["entry"]:
        return [Told(piece)]
    try:
        if not asked.store:
            return [Told(piece, bundle=await in_thread(lambda: valid(result.bundle, context.settings)))]
        response, original = await _carried_out(context, result.bundle)
    except Fault as fault:
        if len(piece.messages) > 1 and fault.kind.status < 500:
            return await _in_halves(context, asked, own, piece)
        told = Told(piece, fault=fault)
        if asked.store and fault.kind.status in MESSAGE_FAULTS:
            await keep_failed(context, asked, told, b"".join(message.raw for message in piece.messages))
        return [told]
    return [Told(piece, response=response, original=original)]


async def keep_failed(context: Context, asked: Asked, told: Told, data: bytes) -> None:
    """Keep the original of what failed, and note where; a failure to keep it is told as well."""
    if not data or not asked.archive:
        return
    report = [issue for issue in told.issues() if issue.severity != "information"]
    title = asked.format.name
    if told.piece.messages:
        first = told.piece.messages[0]
        title = f"{title} {first.kind} {first.direction}".strip()
    assert asked.content is not None
    try:
        told.kept = await keep(context, data, asked.content.media, title, report)
    except Fault as fault:
        words = f"The original could not be kept ({fault.kind.code}); keep it yourself and send it again."
        told.also.append(Issue("warning", fault.kind.code, words))


async def _in_halves(context: Context, asked: Asked, own: model.Context, piece: Converted) -> list[Told]:
    assert piece.map is not None
    map_ = piece.map
    middle = len(piece.messages) // 2
    told: list[Told] = []
    issues = piece.issues
    for half in (piece.messages[:middle], piece.messages[middle:]):
        result = await in_thread(lambda half=half: read_all(map_, half, own))  # type: ignore[misc] # mypy and default arguments of lambdas
        told += await take(context, asked, own, Converted(issues, result, map_, half))
        issues = []
    return told


async def _carried_out(context: Context, bundle: Tree) -> tuple[Tree, tuple[str, str] | None]:
    """Run a transaction as the caller; return the response and the digest of the archived original."""
    bundle = checked(bundle, context.settings)
    original = _original(bundle)
    if original is not None and not context.decision.may_create_under(_BINARY):
        bundle = await _under_any_id(context, bundle, original)
    bundle = _owned(context, bundle)
    reply = await run(context, Request("batch", method="POST", body=bundle, prefer_return="minimal"))
    return decode(reply.body), original


def _owned(context: Context, bundle: Tree) -> Tree:
    """Return the Bundle as its sender's own: a patient whom nobody is said to manage is the organisation's.

    Local messages do not say whose patients theirs are; without it no organisation could send any.
    """
    organization = context.decision.actor.organization
    if organization is None:
        return bundle
    manager = {"managingOrganization": {"reference": organization}}
    entries = [
        {**entry, "resource": {**manager, **entry["resource"]}}
        if entry["resource"]["resourceType"] == "Patient"
        else entry
        for entry in bundle["entry"]
    ]
    return {**bundle, "entry": entries}


async def run(context: Context, request: Request) -> Reply:
    """Send a further request of the same caller through the one door."""
    outer = context.request
    return await context.run(
        replace(
            request,
            base=outer.base,
            request_id=outer.request_id,
            address=outer.address,
            actor=request.actor or outer.actor,
        )
    )


def _original(bundle: Tree) -> tuple[str, str] | None:
    """Return system and digest of the original that a Bundle archives; None when it archives none."""
    found = (
        name
        for entry in bundle["entry"]
        if entry["resource"]["resourceType"] == "DocumentReference"
        for name in entry["resource"].get("identifier", [])
        if name.get("system") == ARCHIVE
    )
    name = next(found, None)
    return (name["system"], name["value"]) if name is not None else None


async def _under_any_id(context: Context, bundle: Tree, original: tuple[str, str]) -> Tree:
    """Return the Bundle for a caller who may not choose ids: the server chooses the archived Binary's.

    The archived original is then found by its DocumentReference; when that is there already, its Binary is
    not made again.
    """
    criteria = (("identifier", "|".join(original)),)
    found = await run(context, Request("search-type", "DocumentReference", parameters=criteria))
    entries = decode(found.body).get("entry", [])
    kept = entries[0]["resource"]["content"][0]["attachment"].get("url") if entries else None
    made = []
    url = ids.full_url(_BINARY, *original)
    for entry in bundle["entry"]:
        resource = entry["resource"]
        if entry.get("fullUrl") == url:
            if kept is None:
                without_id = {key: value for key, value in resource.items() if key != "id"}
                made.append({**entry, "resource": without_id, "request": {"method": "POST", "url": _BINARY}})
            continue
        if (
            kept is not None
            and resource["resourceType"] == "DocumentReference"
            and _is_of(resource, original)
        ):
            first, *rest = resource["content"]
            attachment = {**first["attachment"], "url": kept}
            resource = {**resource, "content": [{**first, "attachment": attachment}, *rest]}
        made.append({**entry, "resource": resource})
    return {**bundle, "entry": made}


def _is_of(resource: Tree, original: tuple[str, str]) -> bool:
    return {"system": original[0], "value": original[1]} in resource.get("identifier", [])
