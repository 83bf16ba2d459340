"""What a write of Consents changes for their patients: the policy classes, in the same commit.

From the next request on every query follows them. conformance/decisions/0013 and 0014; docs/consent.md.
https://hl7.org/fhir/R4/consent.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from fhir_server.access.decide import Decision
from fhir_server.config import Settings
from fhir_server.consent.combine import Grant, extent, limits, slices, spoken
from fhir_server.consent.narrowing import narrows
from fhir_server.consent.provisions import OWN, Provision
from fhir_server.consent.rule import REFUSAL, to_bytes
from fhir_server.consent.source import Directive, directive, refusals, stored_directive
from fhir_server.faults import Fault, Issue, Kind
from fhir_server.interactions.deciding import note
from fhir_server.resources.codec import decode
from fhir_server.resources.reference import parse
from fhir_server.search import subjects
from fhir_server.search.dates import OPEN_END, OPEN_START
from fhir_server.search.predicate import ReferenceIs, Where
from fhir_server.search.query import Position, Query
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import Change, Reclass, Slice, Stale, Store
from fhir_server.store.state import Put, State

if TYPE_CHECKING:
    from fhir_server.interactions.context import Context

Tree = dict[str, Any]

CONSENT: Final = "Consent"
GLASS: Final = "glass"
"""Kind of the records that say who has broken the glass for which patient, who is their tag."""
MOST: Final = 1000
"""Consents of one patient, withdrawn ones included, that are combined."""

_NARROWING: Final = 10
"""How many times as much as they may say Consents may come to by changes that only take away."""
_LOOK: Final = Visibility.everything("consent: a patient's Consents")
_ATTEMPTS: Final = 8
_CLASSED: Final = "consents-classed"
"""Kind and key of the record that says that all patients of a store are classed."""


def problems(settings: Settings, decision: Decision, tree: Tree) -> list[Issue]:
    """Return every reason why a Consent would not be kept as its writer believes; [] to store it."""
    issues = list(refusals(tree, settings.zone, settings.base_url))
    actor = decision.actor
    if actor.organization is None and (actor.user or "").partition("/")[0] != "Practitioner":
        return issues
    if not any(name in tree for name in ("sourceAttachment", "sourceReference")):
        words = "Who records a patient's Consent attaches the signed document, or refers to it."
        issues.append(Issue("error", "required", words, ("Consent.source",)))
    verifications = tree.get("verification")
    seen = verifications if isinstance(verifications, list) else []
    if not any(isinstance(each, dict) and each.get("verified") is True for each in seen):
        words = "Who records a patient's Consent says with whom it was verified."
        issues.append(Issue("error", "required", words, ("Consent.verification",)))
    return issues


async def strangers(context: Context, tree: Tree) -> list[Issue]:
    """Return an issue for each record that a Consent's ``data`` names and that is not about its patient.

    What is unknown, and another patient's, are told apart by nothing. A Consent that promises nothing, since
    its status is not active, may name what it likes.
    """
    settings = context.settings
    read = directive(tree, settings.zone, settings.base_url)
    if read is None or not read.provisions:
        return []
    patient = read.patient.partition("/")[2]
    named = dict.fromkeys(each for one in read.provisions for each in _named(one))
    found = {reference: await _patients(context, reference) for reference in named}
    words = "A Consent speaks of its own patient's records alone; {} is none of them."
    return [
        Issue("error", "not-found", words.format(reference), ("Consent.provision.data.reference",))
        for reference, patients in found.items()
        if patient not in patients
    ]


def _named(provision: Provision) -> Iterator[str]:
    """Yield the records that may be about a patient and that a provision or an exception of it names."""
    for meaning, reference in provision.terms.data:
        type_ = reference.partition("/")[0]
        may_be = subjects.may_be_about(type_)
        if meaning != "authoredby" and reference != OWN and may_be:
            yield reference
    for each in provision.exceptions:
        yield from _named(each)


async def _patients(context: Context, reference: str) -> Sequence[str]:
    """Return whom a record is about, as the commit leaves it; () when it is unknown."""
    type_, _, id_ = reference.partition("/")
    tree = context.together.get(reference)
    if tree is None:
        stored = await context.services.store.read(_LOOK, type_, id_)
        if stored is None or stored.deleted:
            return ()
        tree = decode(stored.body)
    return context.services.extractor.extract({**tree, "id": id_}).patients


def kept() -> Fault:
    """Return the fault for a deletion of a Consent."""
    return Fault(
        Kind.METHOD_NOT_ALLOWED,
        "A Consent is not deleted: withdraw it by setting its status to inactive; it stays on record.",
        "Consent.status",
        headers=(("Allow", "GET, PUT, PATCH"),),
    )


async def reclasses(
    store: Store, state: State, settings: Settings, changes: Iterable[Change]
) -> tuple[Reclass, ...]:
    """Return how the patients stand whose Consents these ``changes`` write; () where there are none."""
    written = {each.id: decode(each.body) if each.body else None for each in changes if each.type == CONSENT}
    if not written:
        return ()
    before = await store.read_many(_LOOK, [(CONSENT, id_) for id_ in written])
    trees = [*(decode(stored.body) for stored in before), *(tree for tree in written.values() if tree)]
    patients = dict.fromkeys(filter(None, (_patient(tree, settings.base_url) for tree in trees)))
    return tuple([await _reclass(store, state, settings, patient, written) for patient in patients])


async def reclass(store: Store, state: State, settings: Settings, patient: str) -> None:
    """Bring a patient's classes after its Consents and the glass that is broken for it, by themselves."""
    for _ in range(_ATTEMPTS):
        try:
            await store.commit((), (), [await _reclass(store, state, settings, patient, {})])
        except Stale:
            continue
        return
    raise Fault(Kind.CONFLICT, "The patient's Consents change again and again; try again.")


async def class_all(store: Store, state: State, settings: Settings) -> None:
    """Class every patient who has Consents, once, in a store that was written before there were classes.

    Whoever opens such a store waits until all of them are classed: a patient without a class counts as one
    who has said nothing. What stopped half-way is begun again, by each process that opens the store.
    """
    if await state.holds(_CLASSED, _CLASSED):
        return
    patients: dict[str, None] = {}
    async for stored in store.scan(_LOOK, CONSENT):
        patients[_patient(decode(stored.body), settings.base_url)] = None
    for patient in filter(None, patients):
        (known,) = await store.policies.standing([patient])
        if known.version:
            continue
        try:
            await reclass(store, state, settings, patient)
        except Fault as fault:
            if fault.kind is not Kind.UNPROCESSABLE:
                raise
            # Consents that cannot be combined any more refuse everything, as one that cannot be read does.
            refused = Slice(OPEN_START, OPEN_END, to_bytes(REFUSAL))
            await store.commit((), (), [Reclass(patient, 0, (refused,))])
    await state.apply([Put(_CLASSED, _CLASSED, b"", None)])


async def _reclass(
    store: Store, state: State, settings: Settings, patient: str, written: Mapping[str, Tree | None]
) -> Reclass:
    """Combine a patient's Consents as the commit leaves them. Stale tells if they change meanwhile."""
    (known,) = await store.policies.standing([patient])
    found = await filed(store, state, settings, patient, written)
    try:
        kept = slices(found.directives, found.grants)
    except Fault as fault:
        if fault.kind is not Kind.UNPROCESSABLE or not known.version:
            raise
        # Who says less than before, or takes away, is let do so, however much is left.
        before = await filed(store, state, settings, patient)
        allowed = limits().most(extent(before.directives, before.grants))
        if narrows(before.directives, found.directives):
            allowed = allowed.most(limits().times(_NARROWING))
        kept = slices(found.directives, found.grants, allowed)
    return Reclass(patient, known.version, spoken(kept), note(found.directives))


class Filed(NamedTuple):
    """What one patient's Consents say, replaced and withdrawn ones included, and who broke the glass."""

    directives: list[Directive]
    grants: list[Grant]


async def filed(
    store: Store,
    state: State,
    settings: Settings,
    patient: str,
    written: Mapping[str, Tree | None] = MappingProxyType({}),
) -> Filed:
    """Read what a patient (logical id) has filed, with ``written`` (id to Consent) in place of what it was.

    Fault UNPROCESSABLE when these would be too many.
    """
    trees = await _stored(store, patient)
    if len(trees) >= MOST and any(tree and id_ not in trees for id_, tree in written.items()):
        raise Fault(
            Kind.UNPROCESSABLE,
            f"A patient has at most {MOST} Consents; change one of them instead of filing another.",
            CONSENT,
        )
    trees.update(written)
    directives = [
        found
        for tree in trees.values()
        if tree is not None and _patient(tree, settings.base_url) == patient
        if (found := stored_directive(tree, settings.zone, settings.base_url)) is not None
    ]
    grants = [msgspec.json.decode(record.body, type=Grant) for record in await state.find(GLASS, patient)]
    return Filed(directives, grants)


async def _stored(store: Store, patient: str) -> dict[str, Tree | None]:
    found: dict[str, Tree | None] = {}
    after: Position | None = None
    while True:
        where = Where("patient", ReferenceIs((f"Patient/{patient}",)))
        page = await store.search(_LOOK, Query(CONSENT, where, count=MOST, after=after))
        found.update((stored.id, decode(stored.body)) for stored in page.matches)
        if page.next is None:
            return found
        after = page.next


def _patient(tree: Tree, base: str) -> str:
    """Return the logical id of the patient whom a Consent is about; "" when it names none of this server."""
    value = tree.get("patient")
    text = value.get("reference") if isinstance(value, dict) else None
    found = parse(text, base) if isinstance(text, str) else None
    return found.id or "" if found is not None and found.type == "Patient" and found.local else ""
