"""Records judged by the consents of a patient that they are about: by what decides, and in plain words.

Which are seen is asked of the store by the compiled Rules, as in every request; why is told by
``consent.plain``. Where both differ, the records were changed between the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final, Literal

from fhir_server.access.policy import policy as access
from fhir_server.audit.trail import unnoted
from fhir_server.consent.asking import Asking
from fhir_server.consent.combine import rule_at, standing
from fhir_server.consent.groups import seen_under
from fhir_server.consent.masks import masks_for
from fhir_server.consent.plain import Verdict, decide
from fhir_server.consent.plain_records import Record
from fhir_server.consent.provisions import Provision
from fhir_server.interactions.consents import Filed, filed
from fhir_server.interactions.context import Context
from fhir_server.operations.consenting.asker import Asker
from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.search import subjects
from fhir_server.search.predicate import IdIn, Predicate, all_of
from fhir_server.search.query import Query
from fhir_server.search.values import Values
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import Stored

Outcome = Literal["permit", "deny", "masked"]
Reach = Literal["own", "agreement", "none"]

_LOOK: Final = Visibility.everything("consent: what is decided, and why")


class Changed(Exception):
    """Records or Consents were changed while they were judged: look again, at whatever is there now."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What the asker gets of one record, why, and whether it reaches it by right, consents apart.

    ``others``: the record is about other patients too, whose leave is needed besides.
    """

    outcome: Outcome
    verdict: Verdict
    reach: Reach
    others: bool = False


@dataclass(frozen=True, slots=True)
class _Known:
    """Records as the index knows them."""

    values: dict[tuple[str, str], Values]

    def record(self, type_: str, id_: str) -> Record:
        return Record(type_, id_, self.values[type_, id_], self._resolve)

    def _resolve(self, type_: str, id_: str) -> Values | None:
        return self.values.get((type_, id_))


@cache
def judged_types() -> frozenset[str]:
    """Return the types on whose records a patient's consents decide by themselves.

    A Provenance is not among them: what it tells of decides on it too.
    """
    found = {each for each in RESOURCE_TYPES if subjects.parameters(each)}
    return frozenset({*found, "Patient"} - access().explicit - {"Provenance"})


async def judged(
    context: Context, asker: Asker, type_: str, stored: Sequence[Stored], when: int
) -> list[Judged]:
    """Judge records of one type by the consents of the patient whom the request names, at ``when`` (ms).

    What other patients say of a record that is about them too is not looked at: it is not the caller's to
    know. Raises :class:`Changed` when records or Consents change meanwhile.
    """
    with unnoted():
        return await _judged(context, asker, type_, stored, when)


async def _judged(
    context: Context, asker: Asker, type_: str, stored: Sequence[Stored], when: int
) -> list[Judged]:
    services, patient = context.services, context.id
    extract = services.extractor.from_body
    values = {(type_, each.id): extract(type_, each.body) for each in stored}
    consents = await filed(services.store, services.state, services.settings, patient)
    named = [*_referred(values.values()), *_named(consents)]
    around = await services.store.read_many(_LOOK, list(dict.fromkeys(named)))
    known = _Known({(each.type, each.id): extract(each.type, each.body) for each in around} | values)
    ids = tuple(each.id for each in stored)
    own = await _among(context, type_, ids, asker.own(type_))
    shared = await _among(context, type_, ids, asker.shared(type_))
    seen = await _among(context, type_, ids, condition(context, asker, type_, consents, when))
    masks = masks_for(asker.asking.purpose)
    found: list[Judged] = []
    for each in stored:
        record = known.record(type_, each.id)
        verdict = _verdict(context, asker.asking, record, consents, when, own=each.id in own)
        if verdict.permit != (each.id in seen):
            raise Changed
        outcome: Outcome = "permit" if verdict.permit else "deny"
        if verdict.permit and masks is not None and masks.body(each.body) != each.body:
            outcome = "masked"
        others = any(one != patient for one in record.values.patients)
        found.append(Judged(outcome, verdict, _reach(each.id, own, shared), others=others))
    return found


def _reach(id_: str, own: frozenset[str], shared: frozenset[str]) -> Reach:
    if id_ in own:
        return "own"
    return "agreement" if id_ in shared else "none"


def condition(context: Context, asker: Asker, type_: str, consents: Filed, when: int) -> Predicate:
    """Return what one patient's consents leave of a type to the asker at ``when`` (ms)."""
    rule = rule_at(standing(consents.directives), when, consents.grants)
    own, overarching = asker.own(type_), context.settings.consent_policy
    return seen_under(rule, asker.asking, type_, own, overarching)


def _verdict(
    context: Context, asking: Asking, record: Record, consents: Filed, when: int, *, own: bool
) -> Verdict:
    broken = any(each.breaker == asking.breaker and each.start <= when < each.end for each in consents.grants)
    overarching = context.settings.consent_policy
    asked = replace(asking, lifts=broken)
    return decide(consents.directives, asked, record, when, overarching=overarching, own=own)


async def _among(context: Context, type_: str, ids: tuple[str, ...], where: Predicate) -> frozenset[str]:
    """Return which of ``ids`` satisfy ``where``."""
    query = Query(type_, all_of((IdIn(ids), where)), count=len(ids))
    page = await context.services.store.search(_LOOK, query)
    return frozenset(each.id for each in page.matches)


def _referred(values: Iterable[Values]) -> Iterator[tuple[str, str]]:
    """Yield what records refer to: a Medication's code and an encounter's provider may decide."""
    return (key for each in values for _, target in each.references if (key := _key(target)) is not None)


def _named(consents: Filed) -> Iterator[tuple[str, str]]:
    """Yield the records that provisions name."""
    waiting: list[Provision] = [one for each in consents.directives for one in each.provisions]
    while waiting:
        provision = waiting.pop()
        waiting += provision.exceptions
        yield from (key for _, to in provision.terms.data if (key := _key(to)) is not None)


def _key(reference: str) -> tuple[str, str] | None:
    type_, _, id_ = reference.partition("/")
    return (type_, id_) if type_ in RESOURCE_TYPES and id_ and "/" not in id_ else None
