"""Queue a job, or join the one that is under way, and wait for its end with a progress bar."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from fhir_server.cli import parts
from fhir_server.cli.options import err, out
from fhir_server.clock import now_ms
from fhir_server.config import Settings
from fhir_server.store.upkeep import Job, JobUnderWay

TypeOption = Annotated[
    list[str] | None,
    typer.Option("--type", metavar="TYPE", help="Only this resource type; may be given several times."),
]
_LOOK_SECONDS = 0.2


def carry_out(settings: Settings, kind: str, types: list[str]) -> None:
    """Have the job done for ``types``, [] for all, and print its outcome; exit code 1 when it failed."""
    from fhir_server.resources.types import RESOURCE_TYPES  # noqa: PLC0415 - late: --help need not wait

    if unknown := sorted(set(types) - RESOURCE_TYPES):
        raise typer.BadParameter(f"R4 has no resource type {unknown[0]!r}; mind capital letters.")
    job = asyncio.run(_done(settings, kind, types))
    out.print(job.outcome, markup=False, soft_wrap=True)
    if job.state != "done":
        raise typer.Exit(1)


async def _done(settings: Settings, kind: str, types: list[str]) -> Job:
    """Queue the job, or join the one that is under way, and carry it out unless a server does."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    async with parts.opened(settings) as service:
        jobs = service.store.jobs
        try:
            id_ = (await jobs.add(kind, {"types": sorted(set(types))}, now_ms())).id
        except JobUnderWay as other:
            err.print(f"A {kind} is under way already; this is how it goes.")
            id_ = other.id
        if service.jobs is not None:
            service.jobs.start()
        with Progress(*columns, console=err, disable=not err.is_terminal) as progress:
            task = progress.add_task("Waiting", total=None)
            while True:
                job = await jobs.get(id_)
                if job is None:
                    raise typer.BadParameter("The job was forgotten while it ran; start it again.")
                _show(progress, task, job)
                if job.is_finished:
                    return job
                await asyncio.sleep(_LOOK_SECONDS)


def _show(progress: Progress, task: TaskID, job: Job) -> None:
    if "types" in job.progress:
        where = next(iter(job.progress["types"]), "Done")
        looked, total = job.progress["looked"], job.progress["total"]
        progress.update(task, description=where, completed=looked, total=max(looked, total))
