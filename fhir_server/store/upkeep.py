"""What a store keeps besides records: the set of search parameters that its index follows, and durable jobs.

Neither holds anything of a person: parameters are definitions, a job's are types, names and numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

JobState = Literal["queued", "running", "done", "failed", "cancelled"]

FINISHED: frozenset[JobState] = frozenset({"done", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it is written down. Times in ms since the epoch.

    ``beat``: when its owner was last heard of. ``progress``: what its work needs to go on after a crash, and
    what a person is told. ``outcome``: a sentence about how it ended, "" before.
    """

    id: str
    kind: str
    parameters: Mapping[str, Any]
    state: JobState
    created: int
    beat: int
    progress: Mapping[str, Any]
    outcome: str = ""
    owner: str = ""
    is_cancelled: bool = False

    @property
    def is_finished(self) -> bool:
        """True when nothing will happen to it any more."""
        return self.state in FINISHED


class JobUnderWay(Exception):
    """A job of this kind is queued or running already; ``id`` is its id."""

    def __init__(self, id_: str) -> None:
        super().__init__(id_)
        self.id = id_


class Jobs(Protocol):
    """The jobs of a store, shared by all processes that serve it. Faults: UNAVAILABLE."""

    async def add(self, kind: str, parameters: Mapping[str, Any], now: int) -> Job:
        """Queue a job; raises :class:`JobUnderWay` while another of its kind is unfinished."""

    async def get(self, id_: str) -> Job | None:
        """Return a job; None when unknown."""

    async def claim(self, owner: str, kinds: frozenset[str], now: int, silent_since: int) -> Job | None:
        """Take the oldest job that is queued, or whose owner was not heard of since ``silent_since`` (ms)."""

    async def save(self, id_: str, owner: str, progress: Mapping[str, Any], now: int) -> Job | None:
        """Write down progress, a sign of life too; None when the job is no longer this owner's."""

    async def finish(self, id_: str, owner: str, state: JobState, outcome: str, now: int) -> None:
        """End a job of this owner, or give it back (``queued``) for another process to go on with."""

    async def cancel(self, id_: str, now: int) -> Job | None:
        """Ask for a job to stop; a queued one is cancelled at once. None when unknown."""

    async def added(self, seconds: float) -> None:
        """Return when a job may have been added, after ``seconds`` at the latest."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """One step of a rebuild: where to go on (None: that was all), resources looked at, rows added."""

    next: int | None
    resources: int
    rows: int


class Parameters(Protocol):
    """The custom search parameters that the index follows, and what brings the index after them.

    A commit whose values were extracted by another generation than the current one is Stale, so that a change
    holds for every write of every process from the moment it is written down. Faults: UNAVAILABLE.
    """

    async def read(self) -> tuple[int, bytes]:
        """Return the generation and the text of the current set; b"" when there never was one."""

    async def write(self, text: bytes, generation: int) -> int:
        """Replace the set whose generation is ``generation``; return the new one. Raises Stale."""

    async def drop(self, type_: str, code: str) -> int:
        """Remove some index rows of a parameter; return how many, 0 when none is left."""

    async def rebuild(self, type_: str, after: int = 0) -> Rebuilt:
        """Add the index rows that some current resources of a type lack, in one short commit.

        ``after``: the ``next`` of the step before.
        """
