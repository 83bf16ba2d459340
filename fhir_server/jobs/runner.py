"""The jobs of one process: claimed from the store one by one, given back when the process stops.

A process that dies leaves its job to the next one that looks after :data:`SILENT_MS`; the work goes on from
the progress that was written down, so every step of it must bear being done twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import uuid4

from fhir_server.clock import now_ms
from fhir_server.faults import Fault, Kind
from fhir_server.store.upkeep import Job, Jobs, JobState

SILENT_MS = 30_000
"""After this long without a sign of life, in ms, the process that had claimed a job counts as dead."""

POLL_SECONDS = 0.5
_SAVE_SECONDS = 0.5

_LOG = logging.getLogger("fhir_server.jobs")


class Cancelled(Exception):
    """Somebody asked for the job to stop."""


class Lost(Exception):
    """The job belongs to another process now."""


class Task:
    """A job under way, as its work sees it. ``progress`` is written down by :meth:`save`."""

    def __init__(self, job: Job, jobs: Jobs, owner: str) -> None:
        self.parameters = job.parameters
        self.progress: dict[str, Any] = dict(job.progress)
        self._id = job.id
        self._jobs = jobs
        self._owner = owner
        self._saved = time.monotonic()

    async def save(self, *, at_once: bool = False) -> None:
        """Write progress down, at most twice a second unless ``at_once``; raises Cancelled or Lost."""
        if not at_once and time.monotonic() - self._saved < _SAVE_SECONDS:
            return
        job = await self._jobs.save(self._id, self._owner, self.progress, now_ms())
        self._saved = time.monotonic()
        if job is None:
            raise Lost
        if job.is_cancelled:
            raise Cancelled


Work = Callable[[Task], Awaitable[str]]
"""Carries a job out and returns a sentence about what was done. A Fault fails the job with its sentence."""


class JobRunner:
    """Carries out the store's jobs of the kinds in ``works``, from :meth:`start` to :meth:`close`."""

    def __init__(self, jobs: Jobs, works: Mapping[str, Work]) -> None:
        self._jobs = jobs
        self._works = works
        self._owner = uuid4().hex
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look for jobs, in the running event loop."""
        if self._loop is None:
            self._loop = asyncio.create_task(self._look(), name="jobs")

    async def close(self) -> None:
        """Stop, and give back what was under way."""
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await loop

    async def run_next(self) -> bool:
        """Claim one job and carry it out; False when there was none."""
        now = now_ms()
        job = await self._jobs.claim(self._owner, frozenset(self._works), now, now - SILENT_MS)
        if job is None:
            return False
        await self._carry_out(job)
        return True

    async def _look(self) -> None:
        while True:
            found = False
            # A store that cannot answer now is asked again; what was under way goes on from its progress.
            with contextlib.suppress(Fault):
                found = await self.run_next()
            if not found:
                await self._jobs.added(POLL_SECONDS)

    async def _carry_out(self, job: Job) -> None:
        state: JobState = "failed"
        try:
            outcome = await self._works[job.kind](Task(job, self._jobs, self._owner))
            state = "done"
        except asyncio.CancelledError:
            await asyncio.shield(self._jobs.finish(job.id, self._owner, "queued", "", now_ms()))
            raise
        except Lost:
            return
        except Cancelled:
            state, outcome = "cancelled", "Cancelled on request."
        except Fault as fault:
            if fault.kind is Kind.UNAVAILABLE:
                raise
            outcome = fault.diagnostics
        except Exception:  # noqa: BLE001 - whatever it is, the job must not stay claimed and the loop must live
            _LOG.exception("A job failed", extra={"fields": {"job": job.id, "kind": job.kind}})
            outcome = "The job failed unexpectedly; the server's log says why."
        await self._jobs.finish(job.id, self._owner, state, outcome, now_ms())
