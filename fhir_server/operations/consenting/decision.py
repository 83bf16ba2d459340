"""Patient/$consent-decision: would this asker get this record, or this type of record, and why.

Answered by the code that decides on every request; told in Chinese and English. docs/consent.md
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import Any, Final

from fhir_server.access.rules import about
from fhir_server.clock import instant, now_ms
from fhir_server.consent.explain import explain
from fhir_server.consent.policy import purpose_system
from fhir_server.faults import Fault, Kind
from fhir_server.interactions.context import Context, Operation
from fhir_server.interactions.request import Reply
from fhir_server.interactions.times import time_span
from fhir_server.operations.arguments import simple, single
from fhir_server.operations.consenting.asker import ARGUMENTS, Asker, known, supposed
from fhir_server.operations.consenting.judged import Changed, Judged, judged, judged_types
from fhir_server.operations.consenting.rights import answerable
from fhir_server.resources.codec import encode
from fhir_server.resources.reference import parse
from fhir_server.search.predicate import IdIn, all_of
from fhir_server.search.query import Query
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import Page

Tree = dict[str, Any]

_ATTEMPTS: Final = 3
MOST: Final = 200
"""Records of a type that are judged one by one; a question about more says that there are more."""


async def consent_decision(context: Context) -> Reply:
    """Answer with Parameters: ``decision`` (permit, deny, masked, partly, nothing), and each ``verdict``.

    ``partly``: not the same for all records of the type; ``nothing``: there are none. Faults: those of
    :func:`rights.answerable`; BAD_PARAMETER; NOT_FOUND for a record that is not the patient's.
    """
    given = single(simple(context.request), ARGUMENTS | {"when", "resource", "type"})
    visibility = await answerable(context)
    settings, store = context.settings, context.services.store
    actor = supposed(given, settings.base_url)
    spoken = time_span(given, "when", settings.zone)
    when = spoken[0] if spoken is not None else now_ms()
    type_, id_ = _subject(given, settings.base_url)
    who = (await known(store, settings, actor.user, actor.organization)).asker(actor, when)
    page, found = await _judged(context, visibility, who, (type_, id_), when)
    parameters: list[Tree] = [
        {"name": "decision", "valueCode": _joint(found)},
        {"name": "when", "valueInstant": instant(when)},
    ]
    if actor.purpose is not None:
        coding = {"system": purpose_system(actor.purpose), "code": actor.purpose}
        parameters.append({"name": "purpose", "valueCoding": coding})
    parameters += [_part(context, each, count) for each, count in Counter(found).items()]
    if page.next is not None:
        parameters.append({"name": "more", "valueBoolean": True})
    return Reply(200, encode({"resourceType": "Parameters", "parameter": parameters}))


async def _judged(
    context: Context, visibility: Visibility, who: Asker, subject: tuple[str, str | None], when: int
) -> tuple[Page, list[Judged]]:
    """Return the records, as they are, and what is decided on each.

    Whatever changed meanwhile is looked for again first: what is not the patient's any more, or not to be
    seen, is answered as what never was. Fault CONFLICT for what changes again and again, yet stays there.
    """
    page = await _asked(context, visibility, subject)
    for _ in range(_ATTEMPTS):
        before = page
        found = None
        with suppress(Changed):
            found = await judged(context, who, subject[0], page.matches, when)
        page = await _asked(context, visibility, subject)
        if found is not None and _versions(page) == _versions(before):
            return page, found
    raise Fault(Kind.CONFLICT, "The record or its Consents were changed just now; ask again.")


def _versions(page: Page) -> list[tuple[str, int]]:
    return [(each.id, each.version) for each in page.matches]


async def _asked(context: Context, visibility: Visibility, subject: tuple[str, str | None]) -> Page:
    """Return the records that are asked about; Fault NOT_FOUND for one that is not there."""
    type_, id_ = subject
    its = about(context.id, type_)
    where = its if id_ is None else all_of((its, IdIn((id_,))))
    page = await context.services.store.search(visibility, Query(type_, where, count=MOST))
    if id_ is not None and not page.matches:
        raise Fault(Kind.NOT_FOUND, f"{type_}/{id_} is no record of this patient that you may see.")
    return page


def _subject(given: dict[str, str], base: str) -> tuple[str, str | None]:
    """Return the type, and the id of the one record, if it is one, that is asked about."""
    if ("resource" in given) == ("type" in given):
        raise Fault(Kind.BAD_PARAMETER, "Ask about one record (resource=Observation/1) or a type (type=).")
    found = parse(given.get("resource", ""), base)
    type_ = given.get("type") or found.type or ""
    if "resource" in given and found.local is None:
        raise Fault(Kind.BAD_PARAMETER, "resource is a reference such as Observation/1.")
    if type_ == "Provenance":
        raise Fault(Kind.BAD_PARAMETER, "A Provenance is seen with what it tells of: ask about that.")
    if type_ not in judged_types():
        raise Fault(
            Kind.BAD_PARAMETER, f"Consents decide on records about a patient; {type_[:64]!r} is none."
        )
    return type_, found.id if "resource" in given else None


def _joint(found: list[Judged]) -> str:
    outcomes = {each.outcome for each in found}
    if not outcomes:
        return "nothing"
    return outcomes.pop() if len(outcomes) == 1 else "partly"


def _part(context: Context, each: Judged, count: int) -> Tree:
    """Return one verdict: for how many records, why, which provisions of which Consents, in words."""
    verdict, overarching = each.verdict, context.settings.consent_policy
    masked = each.outcome == "masked"
    parts: list[Tree] = [
        {"name": "decision", "valueCode": each.outcome},
        {"name": "reason", "valueCode": verdict.reason},
        {"name": "reach", "valueCode": each.reach},
        {"name": "records", "valueUnsignedInt": count},
    ]
    if each.others:
        parts.append({"name": "others", "valueBoolean": True})
    for ground in dict.fromkeys(verdict.grounds):
        reference = f"Consent/{ground.directive.id}/_history/{ground.directive.version}"
        grounds = [
            {"name": "consent", "valueReference": {"reference": reference}},
            {"name": "provision", "valueString": ground.provision.path},
        ]
        parts.append({"name": "ground", "part": grounds})
    parts.append({"name": "zh", "valueString": explain(verdict, "zh", overarching, masked=masked)})
    parts.append({"name": "en", "valueString": explain(verdict, "en", overarching, masked=masked)})
    return {"name": "verdict", "part": parts}


CONSENT_DECISION = Operation(
    name="$consent-decision",
    handler=consent_decision,
    levels=frozenset({"instance"}),
    types=("Patient",),
    definition="https://fhir-server.invalid/OperationDefinition/consent-decision",
    right="r",
)
