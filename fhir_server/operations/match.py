"""Patient/$match: the records that may be the same person as the one described, with score and grade.

https://hl7.org/fhir/R4/patient-operation-match.html
"""

from __future__ import annotations

from dataclasses import dataclass

from fhir_server.faults import Fault, Issue, Kind
from fhir_server.interactions.context import Context, Operation
from fhir_server.interactions.omitted import omitted
from fhir_server.interactions.request import Reply, Tree
from fhir_server.interactions.write import invalid
from fhir_server.operations.arguments import parts
from fhir_server.operations.matching.candidates import searches
from fhir_server.operations.matching.features import Features, features
from fhir_server.operations.matching.score import Likeness, likeness
from fhir_server.resources.bundle import graded_searchset
from fhir_server.resources.codec import decode
from fhir_server.resources.outcome import outcome
from fhir_server.search.query import Query
from fhir_server.store.api import Stored
from fhir_server.validation import errors

_AT_ONCE = 100
"""Records that one search may bring; the strongest evidence is searched for first."""

_DEFAULT_COUNT = 10
_MOST = 100


@dataclass(frozen=True, slots=True)
class _Asked:
    patient: Tree
    only_certain: bool
    count: int


async def run(context: Context) -> Reply:
    """Return the likely records, likeliest first; with ``onlyCertainMatches`` the one that is certain."""
    asked = _asked(context)
    given = features(asked.patient)
    found = await _compared(context, given, asked.patient)
    issues = list(omitted(context))
    if asked.only_certain:
        found = [match for match in found if match[1].grade == "certain"]
        if len(found) > 1:
            # A caller who wants the one right record must not be given two: they may be duplicates.
            words = "Several records match with certainty, so none is returned; they may be duplicates."
            issues.append(Issue("warning", "multiple-matches", words))
            found = []
    shown = [
        (f"{context.request.base}/Patient/{stored.id}", stored.body, alike.score, alike.grade)
        for stored, alike in found[: asked.count]
    ]
    return Reply(200, graded_searchset(len(found), shown, outcome(issues) if issues else None))


def _asked(context: Context) -> _Asked:
    """Read the Parameters; a bare Patient is taken as the resource. 400 and 422 say what is wrong."""
    body = context.request.body
    given: dict[str, object] = {}
    if body is not None and body.get("resourceType") == "Patient":
        given["resource"] = body
    for index, part in enumerate(parts(context.request)):
        name = part.get("name")
        place = f"Parameters.parameter[{index}]"
        if name not in ("resource", "onlyCertainMatches", "count"):
            raise Fault(
                Kind.UNSUPPORTED_PARAMETER, "$match takes resource, onlyCertainMatches and count.", place
            )
        if name in given:
            raise Fault(Kind.BAD_PARAMETER, f"Give {name} once.", place)
        key = {"resource": "resource", "onlyCertainMatches": "valueBoolean", "count": "valueInteger"}[name]
        given[name] = part.get(key)
        if name != "resource" and type(given[name]) is not (bool if key == "valueBoolean" else int):
            raise Fault(Kind.BAD_PARAMETER, f"{name} has the value {key}.", place)
    patient = given.get("resource")
    if not isinstance(patient, dict) or patient.get("resourceType") != "Patient":
        raise Fault(
            Kind.BAD_REQUEST, "Send Parameters whose parameter resource is a Patient.", "Parameters.parameter"
        )
    problems = errors(patient)
    if problems:
        raise invalid(problems)
    count = given.get("count", _DEFAULT_COUNT)
    if not isinstance(count, int) or count < 1:
        raise Fault(Kind.BAD_PARAMETER, "count is a whole number, 1 or more.", "Parameters.parameter")
    return _Asked(patient, given.get("onlyCertainMatches") is True, min(count, _MOST))


async def _compared(context: Context, given: Features, patient: Tree) -> list[tuple[Stored, Likeness]]:
    """Return the candidates worth telling, the likeliest first, those that are certainly not it last."""
    contacts = [each for each in patient.get("telecom", ()) if each.get("system") != "email"]
    written = frozenset(each["value"] for each in contacts if each.get("value"))
    seen: dict[str, tuple[Stored, Likeness]] = {}
    for where in searches(given, context.settings.zone, written):
        page = await context.store.search(context.visibility, Query("Patient", where, count=_AT_ONCE))
        for stored in page.matches:
            if stored.id not in seen:
                other = features(decode(stored.body))
                seen[stored.id] = (stored, likeness(given, other))
    kept = [match for match in seen.values() if match[1].is_told]
    return sorted(kept, key=lambda match: (match[1].grade == "certainly-not", -match[1].score, match[0].id))


MATCH = Operation(
    name="$match",
    handler=run,
    levels=frozenset({"type"}),
    types=("Patient",),
    definition="http://hl7.org/fhir/OperationDefinition/Patient-match",
    methods=("POST",),
    searches=True,
)
