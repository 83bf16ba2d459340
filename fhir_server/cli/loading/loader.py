"""Send pieces through the one door, several requests at a time, and keep account of what came of each."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from fhir_server.access.actor import Actor
from fhir_server.cli.loading.entries import Tree, entries, is_transaction
from fhir_server.cli.loading.journal import Journal, Ranges
from fhir_server.cli.loading.report import Refusal, Report
from fhir_server.cli.loading.sources import Piece, Source
from fhir_server.cli.parts import Decode
from fhir_server.faults import Fault, Issue, Kind
from fhir_server.interactions.request import Reply, Request

GROUP = 100
"""Entries in one batch request."""
AT_ONCE = 8
"""Requests under way at a time, so that the store can commit them together."""
_TRANSIENT = frozenset({Kind.UNAVAILABLE.code, Kind.THROTTLED.code})
"""Issue codes that say: nothing is wrong with the resource, the store cannot take it now."""

Refusals = dict[int, tuple[int, tuple[Issue, ...]]]
"""By the index of a job's step: the HTTP status and the issues that say why it was refused."""
Run = Callable[[Request], Awaitable[Reply]]
"""The one door: ``interactions.runner``."""
Progress = Callable[[int, int], None]
"""Hears (bytes of the present source done, resources loaded in all)."""


@dataclass(frozen=True, slots=True)
class Step:
    """One entry of a batch and the piece's position that it belongs to."""

    position: int
    where: str
    entry: Tree


@dataclass(frozen=True, slots=True)
class Job:
    """One request: a transaction (a single step whose entry is the Bundle) or a batch of steps.

    Every step of a position is in one job, so that a position is loaded or not by that job alone.
    """

    steps: tuple[Step, ...]
    reached: int
    transaction: bool = False


class Loader:
    """Loads sources one after the other, in order; within a source several requests run at once."""

    def __init__(self, run: Run, decode: Decode, journal: Journal, progress: Progress) -> None:
        self._run = run
        self._decode = decode
        self._journal = journal
        self._progress = progress
        self.report = Report()
        self.stopped: Fault | None = None
        """Why the store could take no more; the same command goes on where this one stopped."""

    async def load(self, source: Source) -> None:
        """Load one source. What is refused stops nothing; a store that cannot write sets :attr:`stopped`."""
        started = time.monotonic()
        await self._load(source)
        self.report.sources += 1
        self.report.seconds += time.monotonic() - started

    async def _load(self, source: Source) -> None:
        known = source.fingerprint
        if known is not None and self._journal.is_whole(known):
            self.report.already += max(1, len(self._journal.done(known)))
            self._progress(source.size, self.report.loaded)
            return
        refused = len(self.report.refused)
        done = self._journal.done(known) if known is not None else Ranges()
        slots = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as tasks:
            for job in self._jobs(source, done):
                await slots.acquire()
                if self.stopped:
                    break
                tasks.create_task(self._finish(source, job)).add_done_callback(lambda _: slots.release())
        if known is not None and self.stopped is None and len(self.report.refused) == refused:
            self._journal.record_whole(known)
        self._progress(source.size, self.report.loaded)

    def _jobs(self, source: Source, done: Ranges) -> Iterator[Job]:
        """Group what is left of a source into requests; what cannot be read is refused on the way."""
        group: list[Step] = []
        for reached, steps in self._read(source, done):
            if group and (len(group) + len(steps) > GROUP or is_transaction(steps[0].entry)):
                yield Job(tuple(group), reached)
                group = []
            if is_transaction(steps[0].entry):
                yield Job(tuple(steps), reached, transaction=True)
            else:
                group += steps
        if group:
            yield Job(tuple(group), source.size)

    def _read(self, source: Source, done: Ranges) -> Iterator[tuple[int, list[Step]]]:
        """Yield (bytes reached, steps) for each piece that is not loaded yet."""
        where = ""
        try:
            for piece in source.pieces():
                where = piece.where
                yield from self._steps(source, piece, done)
        except Fault as fault:
            self._refuse(source, where and f"after {where}", fault)
        except OSError as error:
            unread = Fault(Kind.BAD_REQUEST, f"The file cannot be read: {error.strerror}.")
            self._refuse(source, where and f"after {where}", unread)

    def _steps(self, source: Source, piece: Piece, done: Ranges) -> Iterator[tuple[int, list[Step]]]:
        """Yield (bytes reached, steps) of a piece; in a file that is one Bundle, entries are positions."""
        alone = not piece.where
        if not alone and piece.position in done:
            self.report.already += 1
            return
        try:
            tree = self._decode(piece.content) if isinstance(piece.content, bytes) else piece.content
            found = [("", tree)] if is_transaction(tree) else entries(tree)
        except Fault as fault:
            self._refuse(source, piece.where, fault)
            return
        if not alone:
            steps = [Step(piece.position, _place(piece.where, where), entry) for where, entry in found]
            if steps:
                yield piece.reached, steps
            return
        for position, (where, entry) in enumerate(found, 1):
            if position in done:
                self.report.already += 1
            else:
                yield piece.reached * position // len(found), [Step(position, where, entry)]

    async def _finish(self, source: Source, job: Job) -> None:
        """Run one job, note what became of it, and journal it when all of it went in."""
        try:
            refusals = await (self._transaction(job) if job.transaction else self._batch(job))
        except Fault as fault:
            if fault.kind.code in _TRANSIENT:
                self.stopped = fault
                return
            refusals = dict.fromkeys(range(len(job.steps)), (fault.kind.status, fault.issues))
        except Exception as error:  # noqa: BLE001 - a defect met by one file must not stop the others
            refusals = dict.fromkeys(range(len(job.steps)), _defect(error))
        for index, (status, issues) in refusals.items():
            self.report.refused.append(Refusal(source.name, job.steps[index].where, status, issues))
        if source.fingerprint is not None:
            failed = {job.steps[index].position for index in refusals}
            for first, last in _spans({step.position for step in job.steps} - failed):
                self._journal.record(source.fingerprint, first, last)
        self._progress(job.reached, self.report.loaded)

    async def _transaction(self, job: Job) -> Refusals:
        bundle = job.steps[0].entry
        await self._run(_request(bundle))
        self.report.loaded += len(bundle.get("entry", ()))
        return {}

    async def _batch(self, job: Job) -> Refusals:
        """Run a batch and return the status and issues of the steps that were refused, by their index."""
        bundle = {"resourceType": "Bundle", "type": "batch", "entry": [step.entry for step in job.steps]}
        reply = await self._run(_request(bundle))
        refusals = {}
        for index, entry in enumerate(json.loads(reply.body)["entry"]):
            response = entry["response"]
            status = int(response["status"][:3])
            if status < 400:
                self.report.loaded += 1
                continue
            issues = _issues(response)
            refusals[index] = (status, issues)
            if issues[0].code in _TRANSIENT:
                self.stopped = Fault(Kind.UNAVAILABLE, issues[0].diagnostics)
        return refusals

    def _refuse(self, source: Source, where: str, fault: Fault) -> None:
        self.report.refused.append(Refusal(source.name, where, fault.kind.status, fault.issues))


def _request(bundle: dict[str, Any]) -> Request:
    """Return a Bundle as the operator's own request: who may run the command has the keys to everything."""
    return Request("batch", method="POST", body=bundle, prefer_return="minimal", actor=Actor.internal("load"))


def _place(outer: str, inner: str) -> str:
    return f"{outer}, {inner}" if inner else outer


def _spans(positions: set[int]) -> list[tuple[int, int]]:
    """Write positions as runs of neighbours, both ends included."""
    spans: list[tuple[int, int]] = []
    for position in sorted(positions):
        if spans and spans[-1][1] == position - 1:
            spans[-1] = (spans[-1][0], position)
        else:
            spans.append((position, position))
    return spans


def _defect(error: Exception) -> tuple[int, tuple[Issue, ...]]:
    """Tell of an error nobody foresaw; only its kind, because its message may hold a person's data."""
    sentence = f"The server failed on this (unexpected {type(error).__name__}); please report it."
    return Kind.EXCEPTION.status, (Issue("fatal", Kind.EXCEPTION.code, sentence),)


def _issues(response: dict[str, Any]) -> tuple[Issue, ...]:
    told = response.get("outcome", {}).get("issue", ())
    return tuple(
        Issue(
            issue["severity"], issue["code"], issue.get("diagnostics", ""), tuple(issue.get("expression", ()))
        )
        for issue in told
    ) or (Issue("error", "processing", f"The server answered {response['status']}."),)
