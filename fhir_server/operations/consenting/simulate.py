"""Patient/$consent-simulate: what would change, and for whom, if this Consent were filed. Nothing is stored.

Counted for each organisation that reaches the patient's records by right, by the code that decides on every
request. docs/consent.md
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

from fhir_server.access.actor import Actor
from fhir_server.access.agreements import receivers
from fhir_server.access.rules import about
from fhir_server.audit.trail import unnoted
from fhir_server.clock import now_ms
from fhir_server.consent.combine import standing
from fhir_server.consent.provisions import Provision
from fhir_server.consent.source import Directive, refusals
from fhir_server.faults import Fault, Kind
from fhir_server.interactions.consents import Filed, filed, strangers
from fhir_server.interactions.context import Context, Operation
from fhir_server.interactions.request import Reply
from fhir_server.interactions.write import invalid
from fhir_server.operations.arguments import parts
from fhir_server.operations.consenting.asker import Asker, known
from fhir_server.operations.consenting.judged import condition, judged_types
from fhir_server.operations.consenting.rights import answerable
from fhir_server.resources.codec import encode
from fhir_server.resources.reference import parse
from fhir_server.search.predicate import Predicate, all_of, any_of, negate
from fhir_server.search.query import Query
from fhir_server.search.visibility import Visibility
from fhir_server.validation import errors

Tree = dict[str, Any]

PURPOSES: Final = ("TREAT", "HPAYMT", "CAREMGT", "HRESCH", "PUBHLTH", "cross-border")
"""Purposes for which is counted, besides those that the Consents name."""
MOST: Final = 200
"""Organisations, each with each role that a Consent names, that are counted for."""
_NEW: Final = "simulated"


@dataclass(frozen=True, slots=True)
class _World:
    """What is compared: how many records there are by type, and the Consents before and after."""

    visibility: Visibility
    types: tuple[str, ...]
    before: Filed
    after: Filed
    now: int


async def consent_simulate(context: Context) -> Reply:
    """Answer with Parameters: each ``change`` (who, purpose, type, gained, lost), and what it ``replaces``.

    Faults: those of :func:`rights.answerable`; UNPROCESSABLE with every reason why the Consent in the body
    could not be enforced.
    """
    visibility = await answerable(context)
    tree = await _consent(context)
    services = context.services
    with unnoted():
        before = await filed(services.store, services.state, context.settings, context.id)
        after = await filed(
            services.store, services.state, context.settings, context.id, {str(tree["id"]): tree}
        )
        types = tuple([each async for each in _types(context, visibility)])
        world = _World(visibility, types, before, after, now_ms())
        changes = [each async for each in _changes(context, world)]
    replaced = _ids(before.directives) - _ids(after.directives) - {str(tree["id"])}
    told = [
        {"name": "replaces", "valueReference": {"reference": f"Consent/{id_}"}} for id_ in sorted(replaced)
    ]
    total = {"name": "changed", "valueBoolean": bool(changes or replaced)}
    return Reply(200, encode({"resourceType": "Parameters", "parameter": [total, *told, *changes]}))


async def _consent(context: Context) -> Tree:
    """Return the Consent of the body, by itself or as the parameter ``consent``, once it may be filed."""
    body = context.request.body or {}
    if body.get("resourceType") == "Parameters":
        found = [each.get("resource") for each in parts(context.request) if each.get("name") == "consent"]
        body = found[0] if len(found) == 1 and isinstance(found[0], dict) else {}
    if body.get("resourceType") != "Consent":
        raise Fault(
            Kind.BAD_REQUEST, "Send the Consent that might be filed as the body.", "Parameters.parameter"
        )
    # As the newest: what it says of its own version is of no account.
    tree = {"id": _NEW, **{name: value for name, value in body.items() if name != "meta"}}
    settings = context.settings
    issues = errors(body) or list(refusals(tree, settings.zone, settings.base_url))
    if not issues:
        with unnoted():
            issues = await strangers(context, tree)
    if issues:
        raise invalid(issues)
    patient = parse(str(tree["patient"].get("reference", "")), settings.base_url)
    if patient.local != f"Patient/{context.id}":
        raise Fault(Kind.UNPROCESSABLE, "The Consent is another patient's.", "Consent.patient")
    return tree


def _ids(directives: Iterable[Directive]) -> set[str]:
    return {each.id for each in standing(directives)}


async def _types(context: Context, visibility: Visibility) -> AsyncIterator[str]:
    """Yield the types of which the patient has records."""
    for type_ in sorted(judged_types()):
        where = about(context.id, type_)
        page = await context.services.store.search(visibility, Query(type_, where, count=1))
        if page.matches:
            yield type_


async def _changes(context: Context, world: _World) -> AsyncIterator[Tree]:
    """Yield what each asker gains and loses of each type."""
    spoken = [*standing(world.before.directives), *standing(world.after.directives)]
    provisions = list(_provisions(spoken))
    actors = {each for one in provisions for each in one.terms.actors}
    named = [reference for reference, _ in sorted(actors) if reference.startswith("Organization/")]
    roles = ["", *sorted({role for _, role in actors if role})]
    purposes = dict.fromkeys((*PURPOSES, *(each for one in provisions for each in one.terms.purposes)))
    store, settings = context.services.store, context.settings
    managing = await _managing(context)
    organizations = dict.fromkeys((*managing, *named, *await receivers(store)))
    askers = list(product(organizations, roles))[:MOST]
    found = {each: await known(store, settings, None, each) for each, _ in askers}
    for organization, role in askers:
        for purpose in purposes:
            actor = Actor.supposed(
                organization=organization, roles=frozenset(filter(None, (role,))), purpose=purpose
            )
            who = found[organization].asker(actor, world.now)
            for type_ in world.types:
                gained, lost = await _difference(context, world, who, type_)
                if gained or lost:
                    yield _change(organization, role, purpose, type_, gained, lost)


async def _managing(context: Context) -> list[str]:
    look = Visibility.everything("consent: who keeps the patient's record")
    stored = await context.services.store.read(look, "Patient", context.id)
    values = context.services.extractor.from_body("Patient", stored.body) if stored else None
    return [to for name, to in values.references if name == "organization"] if values else []


async def _difference(context: Context, world: _World, who: Asker, type_: str) -> tuple[int, int]:
    """Return how many records the asker gains and loses, of those that it reaches by right."""
    before, after = (condition(context, who, type_, each, world.now) for each in (world.before, world.after))
    if before == after:
        return 0, 0
    reach = any_of((who.own(type_), who.shared(type_)))
    its = all_of((about(context.id, type_), reach))
    gained = await _count(context, world, type_, all_of((its, after, negate(before))))
    return gained, await _count(context, world, type_, all_of((its, before, negate(after))))


async def _count(context: Context, world: _World, type_: str, where: Predicate) -> int:
    query = Query(type_, where, count=1, total="accurate")
    return (await context.services.store.search(world.visibility, query)).total or 0


def _provisions(directives: Iterable[Directive]) -> Iterator[Provision]:
    waiting = [each for directive in directives for each in directive.provisions]
    while waiting:
        provision = waiting.pop()
        waiting += provision.exceptions
        yield provision


def _change(organization: str, role: str, purpose: str, type_: str, gained: int, lost: int) -> Tree:
    part: list[Tree] = [
        {"name": "organization", "valueReference": {"reference": organization}},
        {"name": "purpose", "valueCode": purpose},
        {"name": "type", "valueCode": type_},
        {"name": "gained", "valueUnsignedInt": gained},
        {"name": "lost", "valueUnsignedInt": lost},
    ]
    if role:
        part.insert(1, {"name": "role", "valueCode": role})
    return {"name": "change", "part": part}


CONSENT_SIMULATE = Operation(
    name="$consent-simulate",
    handler=consent_simulate,
    levels=frozenset({"instance"}),
    types=("Patient",),
    definition="https://fhir-server.invalid/OperationDefinition/consent-simulate",
    methods=("POST",),
    right="r",
)
