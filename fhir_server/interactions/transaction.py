"""Transaction: all entries or none, as one commit.

Every entry is drafted before anything is written; reads run after the commit and see what it wrote.
https://hl7.org/fhir/R4/http.html#trules
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from fhir_server.access.guard import Guard
from fhir_server.audit.trail import unnoted
from fhir_server.faults import Fault, Issue, Kind
from fhir_server.interactions import delete, patch, update
from fhir_server.interactions.context import Context
from fhir_server.interactions.entry import answer, request_of, response
from fhir_server.interactions.identities import Identities, References, identify
from fhir_server.interactions.request import Reply, Tree
from fhir_server.interactions.rights import admit
from fhir_server.interactions.write import (
    ATTEMPTS,
    Draft,
    overtaken,
    prepare,
    refuse_parameters,
    reply,
    settle,
    still_referenced,
    unchanged,
)
from fhir_server.resources.bundle import Entry, Response, duplicates, order, overlaps, require, responses
from fhir_server.store.api import Condition, Expectation, Stale, StillReferenced

WRITES = frozenset({"create", "update", "patch", "delete"})
YIELD_EVERY = 4
"""Drafts between two chances for other requests: some 300 µs each, so readers wait about a millisecond."""


async def transaction(context: Context, read: Sequence[Entry | Fault]) -> Reply:
    """Process the entries; any refusal refuses all, with every problem listed by its entry."""
    entries = require(read)
    duplicates(entries)
    writes = order(entry for entry in entries if entry.target.name in WRITES)
    _refuse_operations(context, entries)
    _admit(context, entries)
    own = {entry.index: context.about(request_of(context, entry)) for entry in writes}
    references = References(writes)
    fresh: dict[int, str] = {}
    for _ in range(ATTEMPTS):
        drafts, expectations = await _draft(context, writes, own, references, fresh)
        try:
            await _commit(context, list(drafts.values()), expectations)
        except Stale:
            await context.services.known.refresh()
            continue
        except StillReferenced as error:
            raise still_referenced(context, error) from error
        answers = [
            _written(own[entry.index], drafts[entry.index])
            if entry.index in drafts
            else await answer(context, entry)
            for entry in entries
        ]
        return Reply(200, responses("transaction-response", answers))
    raise overtaken()


def _refuse_operations(context: Context, entries: Sequence[Entry]) -> None:
    """Refuse an operation that changes data: it would commit by itself, whatever became of the rest."""
    for entry in entries:
        operation = context.services.operations.get(entry.target.operation or "")
        if operation is not None and operation.affects_state:
            raise Fault(
                Kind.BAD_REQUEST,
                f"{operation.name} cannot be part of a transaction; call it by itself.",
                f"{entry.path}.request.url",
            )


def _admit(context: Context, entries: Sequence[Entry]) -> None:
    """Decide on every entry, reads too, before anything is looked up or written."""
    if context.decision.is_everything:
        return
    faults = []
    for entry in entries:
        own = context.about(request_of(context, entry))
        try:
            admit(own.decision, own.request, own.right)
        except Fault as fault:
            faults.append(_placed(fault, entry))
    _raise(faults)


def _raise(faults: Sequence[Fault]) -> None:
    if faults:
        issues = tuple(issue for fault in faults for issue in fault.issues)
        raise Fault(faults[0].kind, faults[0].diagnostics, issues=issues, headers=faults[0].headers)


async def _guard(context: Context, writes: Sequence[Entry], drafts: dict[int, Draft]) -> None:
    """Judge what every entry leaves behind, all together: they may refer to each other."""
    if context.decision.is_everything:
        return
    images = {index: draft.image for index, draft in drafts.items() if draft.image is not None}
    judged = Guard(context.decision, context.services.store, images.values())
    faults = []
    for entry in writes:
        if entry.index in images:
            try:
                with unnoted():
                    await judged.check(images[entry.index])
            except Fault as fault:
                faults.append(_placed(fault, entry))
    _raise(faults)


async def _draft(
    context: Context,
    writes: Sequence[Entry],
    own: dict[int, Context],
    references: References,
    fresh: dict[int, str],
) -> tuple[dict[int, Draft], list[Expectation]]:
    """Draft every writing entry, by entry index, in processing order; ``own``: each one's own context.

    With the drafts comes what the store must still find when they are committed.
    """
    known = await identify(context, writes, fresh)
    overlaps(writes, {e.index: f"{e.target.type}/{known.ids[e.index]}" for e in writes})
    await references.resolve(context, known)
    drafts: dict[int, Draft] = {}
    faults: list[Fault] = []
    made: dict[str, Draft] = {}
    together = _together(writes, known)
    for position, entry in enumerate(writes):
        try:
            drafts[entry.index] = await _one(replace(own[entry.index], together=together), entry, known, made)
        except Fault as fault:
            faults.append(_placed(fault, entry))
        if position % YIELD_EVERY == YIELD_EVERY - 1:
            await asyncio.sleep(0)
    _raise(faults)
    await _guard(context, writes, drafts)
    return drafts, known.expectations


def _together(writes: Sequence[Entry], known: Identities) -> dict[str, Tree]:
    """Return what the entries leave stored, by ``Type/id``, as they send it.

    Not what a patch says, which is no resource, nor what a conditional create sends of what exists: labels
    and consents would be judged by something that is never stored.
    """
    left: dict[str, Tree] = {}
    for entry in writes:
        name = entry.target.name
        is_kept = name == "update" or (name == "create" and known.found.get(entry.index) is None)
        if is_kept and entry.resource is not None:
            # Of two creates with one condition the first is stored.
            left.setdefault(f"{entry.target.type}/{known.ids[entry.index]}", entry.resource)
    return left


async def _one(own: Context, entry: Entry, known: Identities, made: dict[str, Draft]) -> Draft:
    refuse_parameters(own.request)
    id_ = known.ids[entry.index]
    if entry.target.name == "create":
        return await _create(own, entry, known, id_, made)
    if entry.target.name == "delete":
        if entry.target.id is None and known.found[entry.index] is None:
            return delete.deletion(own, id_, None)
        return delete.deletion(own, id_, await delete.removable(own, id_))
    if entry.target.name == "patch":
        found = known.found.get(entry.index)
        if entry.target.id is None and found is None:
            raise Fault(Kind.NOT_FOUND, f"The criteria match no {own.type}; there is nothing to patch.")
        return await patch.draft_of(own, id_)
    return await _update(own, entry, known, id_)


async def _create(
    context: Context, entry: Entry, known: Identities, id_: str, made: dict[str, Draft]
) -> Draft:
    found = known.found.get(entry.index)
    if found is not None:
        return unchanged(found)
    if id_ in made:  # the same condition as an earlier entry of this transaction
        same = made[id_]
        return Draft(None, (), 200, same.type, same.id, same.version, same.updated, same.body)
    made[id_] = await prepare(context, entry.resource or {}, id_=id_, version=1, method="POST", status=201)
    return made[id_]


async def _update(context: Context, entry: Entry, known: Identities, id_: str) -> Draft:
    tree = entry.resource or {}
    given = tree.get("id")
    if entry.target.id is not None or known.found.get(entry.index) is not None:
        if given != id_ and (given is not None or entry.target.id is not None):
            raise Fault(Kind.BAD_REQUEST, f"The resource's id must be {id_}.", f"{context.type}.id")
        return await update.replace(context, tree, id_, "PUT")
    return await update.unmatched(context, tree, id_, ())


async def _commit(context: Context, drafts: Sequence[Draft], expectations: Sequence[Expectation]) -> None:
    prepared = [draft.prepared for draft in drafts if draft.prepared is not None]
    conditions: list[Condition] = [condition for draft in drafts for condition in draft.conditions]
    conditions += expectations
    if prepared:
        await settle(context, prepared, tuple(dict.fromkeys(conditions)))


def _written(own: Context, draft: Draft) -> Response:
    if draft.status == 204:
        return Response(status=204, etag=f'W/"{draft.version}"' if draft.version else None)
    return response(own, reply(own, draft))


def _placed(fault: Fault, entry: Entry) -> Fault:
    """Return the fault with its expressions below the entry: ``Bundle.entry[3].resource.name``."""
    issues = tuple(
        Issue(i.severity, i.code, i.diagnostics, _below(i.expression, entry)) for i in fault.issues
    )
    return Fault(fault.kind, fault.diagnostics, issues=issues)


def _below(expression: tuple[str, ...], entry: Entry) -> tuple[str, ...]:
    if not expression:
        return (entry.path,)
    return tuple(f"{entry.path}.resource.{path.partition('.')[2]}".rstrip(".") for path in expression)
