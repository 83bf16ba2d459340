"""$reindex: bring the index after the stored SearchParameters, as a job; $reindex-status tells how it goes.

The job is asked after, and cancelled by DELETE, at the address in Content-Location.
https://hl7.org/fhir/R4/async.html
"""

from __future__ import annotations

from fhir_server.clock import instant, now_ms
from fhir_server.faults import Fault, Issue, Kind
from fhir_server.interactions.context import Context, Operation
from fhir_server.interactions.request import Reply
from fhir_server.jobs.reindex import KIND
from fhir_server.operations.arguments import simple, single
from fhir_server.resources.codec import encode
from fhir_server.resources.outcome import outcome
from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.store.upkeep import Job, JobUnderWay

_DEFINITION = "https://fhir-server.invalid/OperationDefinition/{}"


async def start(context: Context) -> Reply:
    """Queue a reindex of the types asked for, or of all; 202, or 409 while one is under way."""
    asked = [] if context.request.type is None else [context.request.type]
    for name, value in simple(context.request):
        if name != "type" or context.request.type is not None:
            raise Fault(
                Kind.UNSUPPORTED_PARAMETER, "$reindex takes the parameter type, at system level alone."
            )
        asked += [each.strip() for each in value.split(",")]
    if set(asked) - RESOURCE_TYPES:
        raise Fault(Kind.BAD_PARAMETER, "type names resource types of R4, e.g. type=Patient,Observation.")
    try:
        job = await context.store.jobs.add(KIND, {"types": sorted(set(asked))}, now_ms())
    except JobUnderWay as other:
        raise Fault(
            Kind.CONFLICT,
            "A reindex is under way; wait for it to end, or cancel it, at the address in Content-Location.",
            headers=(("Content-Location", _address(context, other.id)),),
        ) from None
    words = "The reindex is queued; the address in Content-Location tells how it goes."
    return Reply(
        202,
        outcome([Issue("information", "informational", words)]),
        headers=(("Content-Location", _address(context, job.id)),),
    )


async def status(context: Context) -> Reply:
    """Tell how a reindex goes: 202 while it does, 200 when it is done; DELETE cancels it."""
    given = single(list(context.request.parameters), frozenset({"job"}))
    id_ = given.get("job")
    if id_ is None:
        raise Fault(Kind.BAD_REQUEST, "Name the job: $reindex-status?job=…, as Content-Location said.")
    jobs = context.store.jobs
    is_cancelling = context.request.method == "DELETE"
    job = await (jobs.cancel(id_, now_ms()) if is_cancelling else jobs.get(id_))
    if job is None or job.kind != KIND:
        raise Fault(Kind.NOT_FOUND, "There is no such job; jobs are remembered until a hundred later ones.")
    if is_cancelling:
        words = "It ends as soon as the step under way is done." if not job.is_finished else job.outcome
        return Reply(202, outcome([Issue("information", "informational", words)]))
    if job.state == "cancelled":
        raise Fault(Kind.NOT_FOUND, "The job was cancelled; what it had done stays done.")
    if job.state == "failed":
        raise Fault(Kind.UNPROCESSABLE, f"The reindex failed: {job.outcome}")
    if not job.is_finished:
        told = outcome([Issue("information", "informational", progress(job))])
        return Reply(202, told, headers=(("X-Progress", progress(job)), ("Retry-After", "1")))
    return Reply(200, _result(job))


def progress(job: Job) -> str:
    """Say in at most a hundred characters how far a job is."""
    if job.state == "queued" or "types" not in job.progress:
        return "waiting" if job.state == "queued" else "reading definitions"
    where = next(iter(job.progress["types"]), "all types done")
    return f"{where}; {job.progress['looked']} of {job.progress['total']} resources"


def _address(context: Context, id_: str) -> str:
    return f"{context.request.base}/$reindex-status?job={id_}"


def _result(job: Job) -> bytes:
    parameter = [
        {"name": "outcome", "valueString": job.outcome},
        {"name": "resources", "valueInteger": job.progress.get("looked", 0)},
        {"name": "rows", "valueInteger": job.progress.get("added", 0)},
        {"name": "queued", "valueInstant": instant(job.created)},
        {"name": "ended", "valueInstant": instant(job.beat)},
    ]
    return encode({"resourceType": "Parameters", "parameter": parameter})


REINDEX = Operation(
    name="$reindex",
    handler=start,
    levels=frozenset({"system", "type"}),
    types=("*",),
    definition=_DEFINITION.format("reindex"),
    affects_state=True,
)

REINDEX_STATUS = Operation(
    name="$reindex-status",
    handler=status,
    levels=frozenset({"system"}),
    types=(),
    definition=_DEFINITION.format("reindex-status"),
    methods=("GET", "DELETE"),
    right="admin",
)
