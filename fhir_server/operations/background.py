"""Operations that start a job and tell how it goes.

The job is asked after, and cancelled by DELETE, at the address in Content-Location.
https://hl7.org/fhir/R4/async.html
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fhir_server.clock import instant, now_ms
from fhir_server.faults import Fault, Issue, Kind
from fhir_server.interactions.context import Context, Operation
from fhir_server.interactions.request import Reply
from fhir_server.operations.arguments import simple, single
from fhir_server.resources.codec import encode
from fhir_server.resources.outcome import outcome
from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.store.upkeep import Job, JobUnderWay

_DEFINITION: Final = "https://fhir-server.invalid/OperationDefinition/{}"


@dataclass(frozen=True, slots=True)
class Background:
    """One kind of job that goes through resource types. ``kind``: the job's, and the operation's name.

    ``first``: what the job says it does before it knows its types. ``counts``: names in the result of what
    the job's progress counts.
    """

    kind: str
    first: str
    counts: Mapping[str, str]

    def operations(
        self, start: Callable[[Context], Awaitable[Reply]] | None = None
    ) -> tuple[Operation, Operation]:
        """Return the operation that starts the job, by ``start`` if given, and the one that tells of it."""
        name = f"${self.kind}"
        begin = Operation(
            name=name,
            handler=start or self.start,
            levels=frozenset({"system", "type"}),
            types=("*",),
            definition=_DEFINITION.format(self.kind),
            affects_state=True,
        )
        tell = Operation(
            name=f"{name}-status",
            handler=self.status,
            levels=frozenset({"system"}),
            types=(),
            definition=_DEFINITION.format(f"{self.kind}-status"),
            methods=("GET", "DELETE"),
            right="admin",
        )
        return begin, tell

    async def start(self, context: Context) -> Reply:
        """Queue the job for the types asked for, or for all; 202, or 409 while one is under way."""
        asked = self._types(context)
        try:
            job = await context.store.jobs.add(self.kind, {"types": asked}, now_ms())
        except JobUnderWay as other:
            raise Fault(
                Kind.CONFLICT,
                f"A {self.kind} is under way; wait for it to end, or cancel it, at the address in "
                "Content-Location.",
                headers=(("Content-Location", self._address(context, other.id)),),
            ) from None
        words = f"The {self.kind} is queued; the address in Content-Location tells how it goes."
        return Reply(
            202,
            outcome([Issue("information", "informational", words)]),
            headers=(("Content-Location", self._address(context, job.id)),),
        )

    async def status(self, context: Context) -> Reply:
        """Tell how a job goes: 202 while it does, 200 when it is done; DELETE cancels it."""
        given = single(list(context.request.parameters), frozenset({"job"}))
        id_ = given.get("job")
        if id_ is None:
            raise Fault(
                Kind.BAD_REQUEST, f"Name the job: ${self.kind}-status?job=…, as Content-Location said."
            )
        jobs = context.store.jobs
        is_cancelling = context.request.method == "DELETE"
        job = await (jobs.cancel(id_, now_ms()) if is_cancelling else jobs.get(id_))
        if job is None or job.kind != self.kind:
            raise Fault(
                Kind.NOT_FOUND, "There is no such job; jobs are remembered until a hundred later ones."
            )
        if is_cancelling:
            words = "It ends as soon as the step under way is done." if not job.is_finished else job.outcome
            return Reply(202, outcome([Issue("information", "informational", words)]))
        if job.state == "cancelled":
            raise Fault(Kind.NOT_FOUND, "The job was cancelled; what it had done stays done.")
        if job.state == "failed":
            raise Fault(Kind.UNPROCESSABLE, f"The {self.kind} failed: {job.outcome}")
        if not job.is_finished:
            told = outcome([Issue("information", "informational", self.progress(job))])
            return Reply(202, told, headers=(("X-Progress", self.progress(job)), ("Retry-After", "1")))
        return Reply(200, self._result(job))

    def progress(self, job: Job) -> str:
        """Say in at most a hundred characters how far a job is."""
        if job.state == "queued" or "types" not in job.progress:
            return "waiting" if job.state == "queued" else self.first
        where = next(iter(job.progress["types"]), "all types done")
        return f"{where}; {job.progress['looked']} of {job.progress['total']} resources"

    def _types(self, context: Context) -> list[str]:
        asked = [] if context.request.type is None else [context.request.type]
        for name, value in simple(context.request):
            if name != "type" or context.request.type is not None:
                raise Fault(
                    Kind.UNSUPPORTED_PARAMETER,
                    f"${self.kind} takes the parameter type, at system level alone.",
                )
            asked += [each.strip() for each in value.split(",")]
        if set(asked) - RESOURCE_TYPES:
            raise Fault(Kind.BAD_PARAMETER, "type names resource types of R4, e.g. type=Patient,Observation.")
        return sorted(set(asked))

    def _address(self, context: Context, id_: str) -> str:
        return f"{context.request.base}/${self.kind}-status?job={id_}"

    def _result(self, job: Job) -> bytes:
        counted: list[dict[str, Any]] = [
            {"name": name, "valueInteger": job.progress.get(key, 0)} for name, key in self.counts.items()
        ]
        parameter = [
            {"name": "outcome", "valueString": job.outcome},
            *counted,
            {"name": "queued", "valueInstant": instant(job.created)},
            {"name": "ended", "valueInstant": instant(job.beat)},
        ]
        return encode({"resourceType": "Parameters", "parameter": parameter})
