"""What every write has in common: check the resource, number its version, seal it, commit it, answer.

A write is drafted first (reads, checks, CPU) and committed second, so that a transaction can draft many and
commit once. A commit that finds its draft overtaken by another writer is drafted again.
https://hl7.org/fhir/R4/http.html#create
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from fhir_server.access.guard import Guard, Image
from fhir_server.audit.trail import unnoted
from fhir_server.clock import instant, now_ms
from fhir_server.consent.masks import is_redacted
from fhir_server.faults import Fault, Issue, Kind
from fhir_server.interactions import consents
from fhir_server.interactions.consents import CONSENT, reclasses
from fhir_server.interactions.context import Context
from fhir_server.interactions.labelling import merged, with_security
from fhir_server.interactions.request import Reply, Request, Tree
from fhir_server.resources.codec import decode, encode, with_meta
from fhir_server.resources.outcome import outcome
from fhir_server.search.custom import problems
from fhir_server.search.misspelt import misspelt
from fhir_server.search.predicate import Everything
from fhir_server.store.api import Change, Condition, Method, Prepared, Stale, StillReferenced, Stored
from fhir_server.validation import errors

ATTEMPTS = 8
"""How often a write is drafted anew because another one came first."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A write ready to commit. ``prepared`` None: nothing needs to change, and the reply still holds."""

    prepared: Prepared | None
    conditions: tuple[Condition, ...]
    status: int
    type: str
    id: str
    version: int
    updated: int
    body: bytes
    image: Image | None = None
    """What the write guard judges; None when there is nothing to judge."""


async def commit(context: Context, draft: Callable[[Context], Awaitable[Draft]]) -> Reply:
    """Draft and commit until no other writer interferes; answer as ``Prefer: return`` asks."""
    for _ in range(ATTEMPTS):
        drafted = await draft(context)
        try:
            if drafted.prepared is not None:
                if drafted.image is not None:
                    with unnoted():
                        await Guard(context.decision, context.services.store, [drafted.image]).check(
                            drafted.image
                        )
                await settle(context, [drafted.prepared], drafted.conditions)
        except Stale:
            await context.services.known.refresh()
            continue
        except StillReferenced as error:
            raise still_referenced(context, error) from error
        return reply(context, drafted)
    raise overtaken()


async def settle(context: Context, prepared: Sequence[Prepared], conditions: Sequence[Condition]) -> None:
    """Commit, and with Consents what they change for their patients. Raises what the store raises."""
    changes = (each.change for each in prepared)
    with unnoted():
        reclassed = await reclasses(context.services.store, context.services.state, context.settings, changes)
    await context.services.store.commit(prepared, conditions, reclassed)


def overtaken() -> Fault:
    """Return the fault for a write that lost against others again and again."""
    return Fault(
        Kind.CONFLICT, "Other writers changed the same resource again and again; read it and try again."
    )


def still_referenced(context: Context, error: StillReferenced) -> Fault:
    """Return the fault for a deletion that would leave a reference dangling; it names what all may see."""
    seen = context.decision.visibility("r").of(error.referrer.partition("/")[0])
    named = error.referrer if isinstance(seen, Everything) else "another resource"
    return Fault(
        Kind.CONFLICT, f"{error.target} cannot be deleted: {named} still refers to it. Delete that first."
    )


def refuse_masked(context: Context, stored: Stored | None) -> None:
    """Refuse to write over a version of which the caller's purpose masks a part: that part would be lost."""
    if context.decision.masks is not None and stored is not None and is_redacted(stored.body):
        raise Fault(
            Kind.FORBIDDEN,
            f"Your purpose of use masks parts of this {stored.type}, so it cannot be written back.",
            stored.type,
        )


def require(tree: Tree | None, type_: str) -> Tree:
    """Return the request's resource when it is of ``type_``; 400 otherwise."""
    if tree is None:
        raise Fault(Kind.SYNTAX, f"The body is empty; send a {type_} resource.")
    found = tree.get("resourceType")
    if found != type_:
        raise Fault(
            Kind.BAD_REQUEST,
            f"The address says {type_}, the body says {str(found)[:64]}; they must be the same.",
            "Resource.resourceType" if not isinstance(found, str) else f"{found[:64]}",
        )
    return tree


def refuse_parameters(request: Request) -> None:
    """Refuse parameters on a write of one named or new resource: they would have no effect.

    A client that sends criteria with a create means a conditional create, and would get a duplicate.
    """
    if not request.parameters or (request.name != "create" and request.id is None):
        return
    advice = "put criteria into If-None-Exist" if request.name == "create" else "leave them out"
    raise Fault(
        Kind.UNSUPPORTED_PARAMETER,
        f"This {request.name} takes no parameters besides _format and _pretty; {advice}.",
    )


def invalid(issues: list[Issue]) -> Fault:
    """Return the fault that lists every rule a resource breaks."""
    return Fault(Kind.UNPROCESSABLE, "The resource breaks rules of R4.", issues=tuple(issues))


async def prepare(
    context: Context,
    tree: Tree,
    *,
    id_: str,
    version: int,
    method: Method,
    status: int,
    conditions: tuple[Condition, ...] = (),
    before: Stored | None = None,
) -> Draft:
    """Validate ``tree``, give it identity, version, labels; make it ready to store. 422 with every problem.

    ``before``: the current version that it replaces; what differs from it in nothing makes no new one.
    """
    type_ = tree["resourceType"]
    issues = errors(tree) or _misspelt(tree, context.settings.base_url)
    if type_ == "SearchParameter" and not issues:
        issues = problems(tree)
    if type_ == CONSENT and not issues:
        issues = consents.problems(context.settings, context.decision, tree)
    if type_ == CONSENT and not issues:
        with unnoted():
            issues = await consents.strangers(context, tree)
    if issues:
        raise invalid(issues)
    updated = now_ms()
    complete = with_meta(tree, id_, version, instant(updated))
    body = encode(complete)
    values = context.services.extractor.extract(complete)
    live = None if before is None or before.deleted else before
    stood = None
    # Most resources bear no label, and who sees all is not judged: then nothing of the version before counts.
    if live is not None and (not context.decision.is_everything or b'"security"' in live.body):
        stood = decode(live.body)
    made = await context.services.labelling.labels(complete, body, values, context.together)
    security = merged(complete, stood, made, may_relabel=context.decision.may_relabel)
    if security != complete["meta"].get("security", []):
        tree = with_security(tree, security)
        if live is not None and is_same(tree, live):
            return unchanged(live)
        complete = with_meta(tree, id_, version, instant(updated))
        body = encode(complete)
        values = context.services.extractor.extract(complete)
    change = Change(type_, id_, version, updated, method, body, values)
    prepared = context.store.prepare(change)
    image = None
    if not context.decision.is_everything:
        old = stood["meta"] if stood is not None else None
        image = Image(context.letter, type_, id_, values, old, complete["meta"])
    return Draft(prepared, conditions, status, type_, id_, version, updated, body, image)


def _misspelt(tree: Tree, base: str) -> list[Issue]:
    """Return an issue for each reference that would make the resource one about nobody."""
    words = (
        "A reference that says whom a record is about is a patient's Type/id, such as Patient/1, with nothing"
        " before or after it; this one leads to nobody, so that nobody's consent would protect the record."
    )
    return [Issue("error", "value", words, (path,)) for path in misspelt(tree, base)]


def is_same(tree: Tree, stored: Stored) -> bool:
    """Tell whether a version says just what ``tree`` does."""
    return encode(with_meta(tree, stored.id, stored.version, instant(stored.updated))) == stored.body


def unchanged(stored: Stored) -> Draft:
    """Draft nothing: what was sent is there already."""
    return Draft(None, (), 200, stored.type, stored.id, stored.version, stored.updated, stored.body)


def reply(context: Context, draft: Draft) -> Reply:
    """Answer a write. https://hl7.org/fhir/R4/http.html#ops."""
    preferred = context.request.prefer_return
    # What comes out of a patch is not what its sender knew already.
    is_hidden = context.request.name == "patch" and not context.decision.shows(draft.type)
    if preferred == "minimal" or (is_hidden and preferred != "OperationOutcome"):
        body = b""
    elif preferred == "OperationOutcome":
        body = outcome([Issue("information", "informational", _words(draft))])
    else:
        body = draft.body
    return Reply(
        draft.status,
        body,
        draft.version,
        draft.updated,
        location=f"{draft.type}/{draft.id}/_history/{draft.version}",
        resource=f"{draft.type}/{draft.id}",
    )


def _words(draft: Draft) -> str:
    done = "was created" if draft.status == 201 else "is stored"
    return f"{draft.type}/{draft.id} {done} as version {draft.version}."
