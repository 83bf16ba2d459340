"""Patient/$everything: all that belongs to a patient's compartment, and what it refers to, in pages.

https://hl7.org/fhir/R4/patient-operation-everything.html
"""

from __future__ import annotations

from dataclasses import dataclass

from fhir_server.audit.store import AUDIT
from fhir_server.faults import Fault, Kind
from fhir_server.interactions.context import Context, Operation
from fhir_server.interactions.include import included
from fhir_server.interactions.omitted import omitted
from fhir_server.interactions.pages import link, next_link, opened
from fhir_server.interactions.read import current
from fhir_server.interactions.request import Reply
from fhir_server.interactions.search import membership
from fhir_server.interactions.times import time_span
from fhir_server.operations.arguments import simple, single
from fhir_server.resources.bundle import searchset
from fhir_server.resources.compartment import parameters as compartment_parameters
from fhir_server.resources.outcome import outcome
from fhir_server.resources.types import RESOURCE_TYPES, compartments
from fhir_server.search.parameters import CLINICAL_DATE
from fhir_server.search.parse import Include
from fhir_server.search.predicate import (
    EVERYTHING,
    Chain,
    DateIs,
    IdIn,
    Predicate,
    Where,
    all_of,
    any_of,
    negate,
)
from fhir_server.search.query import Position, Query
from fhir_server.store.api import Stored

SUPPORTING = (
    "Device",
    "HealthcareService",
    "Location",
    "Medication",
    "Organization",
    "Practitioner",
    "PractitionerRole",
    "Substance",
)
"""What the compartment's resources refer to and a reader needs, though it belongs to no patient."""

_ARGUMENTS = frozenset({"start", "end", "_since", "_type", "_count"})


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is asked for: types in order, the limits of time (ms), the size of a page."""

    types: tuple[str, ...]
    start: int | None
    end: int | None
    since: int | None
    count: int


async def run(context: Context) -> Reply:
    """Return one page; the supporting resources that a page refers to come with it."""
    request = context.request
    if request.id is not None:
        await current(context, "Patient", request.id)
    path = f"Patient/{request.id}/$everything" if request.id else "Patient/$everything"
    given, position = (tuple(simple(request)), None) if request.body else opened(context, path)
    wanted = _wanted(context, single(list(given), _ARGUMENTS))
    matches, follow = await _page(context, wanted, position)
    support = tuple(Include("*", "*", type_) for type_ in SUPPORTING if type_ in wanted.types)
    extra, _ = await included(context, support, matches)
    links = [("self", link(request.base, path, given))]
    if follow is not None:
        links.append(("next", next_link(context, path, path, given, follow)))
    issues = omitted(context)
    told = outcome(issues) if issues else None
    found, beside = ([_entry(context, each) for each in some] for some in (matches, extra))
    return Reply(200, searchset(None, links, found, beside, told))


def _wanted(context: Context, arguments: dict[str, str]) -> _Wanted:
    zone = context.settings.zone
    # Who looked at a record is no part of it: AuditEvents have a scope and searches of their own.
    types = ("Patient", *sorted(compartments()["Patient"].keys() - {"Patient", AUDIT}))
    if "_type" in arguments:
        asked = {name.strip() for name in arguments["_type"].split(",")}
        if unknown := sorted(asked - RESOURCE_TYPES):
            raise Fault(Kind.BAD_PARAMETER, f"_type names no resource type: {unknown[0][:64]!r}.")
        types = tuple(t for t in types if t in asked) + tuple(t for t in SUPPORTING if t in asked)
    else:
        types += SUPPORTING
    count = arguments.get("_count", str(context.settings.max_count))
    if not (count.isascii() and count.isdigit() and int(count[:10]) > 0):
        raise Fault(Kind.BAD_PARAMETER, "_count is a whole number, 1 or more.")
    start, end, since = (time_span(arguments, name, zone) for name in ("start", "end", "_since"))
    return _Wanted(
        types=tuple(dict.fromkeys(types)),
        start=start[0] if start else None,
        end=end[1] if end else None,
        since=since[0] if since else None,
        count=min(int(count[:10]), context.settings.max_count),
    )


async def _page(
    context: Context, wanted: _Wanted, position: Position | None
) -> tuple[list[Stored], Position | None]:
    """Fill one page type by type; the position names the type to go on with."""
    matches: list[Stored] = []
    types = [t for t in wanted.types if t == "Patient" or compartment_parameters("Patient", t)]
    after = None
    if position is not None:
        types = types[types.index(str(position.keys[0])) :]
        after = Position((), position.tie) if position.tie >= 0 else None
    for index, type_ in enumerate(types):
        query = Query(
            type_, _where(context.request.id, type_, wanted), count=wanted.count - len(matches), after=after
        )
        page = await context.store.search(context.visibility, query)
        matches += page.matches
        after = None
        if page.next is not None:
            return matches, Position((type_,), page.next.tie)
        if len(matches) >= wanted.count and index + 1 < len(types):
            return matches, Position((types[index + 1],), -1)
    return matches, None


def _where(patient: str | None, type_: str, wanted: _Wanted) -> Predicate:
    conditions = [_belongs(patient, type_)]
    if wanted.since is not None:
        conditions.append(Where("_lastUpdated", DateIs("ge", wanted.since, wanted.since)))
    care = CLINICAL_DATE.get(type_)
    if care is not None and wanted.start is not None:
        conditions.append(negate(Where(care, DateIs("eb", wanted.start, wanted.start))))
    if care is not None and wanted.end is not None:
        conditions.append(negate(Where(care, DateIs("sa", wanted.end, wanted.end))))
    return all_of(conditions)


def _belongs(patient: str | None, type_: str) -> Predicate:
    if type_ == "Patient":
        return EVERYTHING if patient is None else IdIn((patient,))
    if patient is not None:
        return membership("Patient", patient, type_)
    return any_of(Chain(param, "Patient", EVERYTHING) for param in compartment_parameters("Patient", type_))


def _entry(context: Context, stored: Stored) -> tuple[str, bytes]:
    return f"{context.request.base}/{stored.type}/{stored.id}", stored.body


EVERYTHING_OPERATION = Operation(
    name="$everything",
    handler=run,
    levels=frozenset({"type", "instance"}),
    types=("Patient",),
    definition="http://hl7.org/fhir/OperationDefinition/Patient-everything",
    searches=True,
)
