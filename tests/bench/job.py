"""A job for the load generator: what to send, over how many connections, how long; what came of it."""

from __future__ import annotations

import pickle
import subprocess
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.bench.figures import percentile

_SLACK = 30.0


class LoadError(RuntimeError):
    """The generator gave up; the message says why."""


@dataclass(frozen=True, slots=True)
class Stream:
    """Requests of one kind, sent by ``connections`` that each wait for the answer before they send again.

    ``rate`` paces the stream, in requests per second over all its connections; 0: as fast as answers come.
    ``once`` ends the stream when every request has been sent; otherwise they are sent round and round.
    """

    name: str
    connections: int
    requests: Sequence[bytes]
    rate: float = 0.0
    once: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """Streams that run at the same time against 127.0.0.1:``port``.

    After ``seconds`` nothing new is sent; what is under way may take ``grace`` seconds to be answered. A job
    ends earlier when the first stream with ``once`` has sent all.
    """

    port: int
    streams: Sequence[Stream]
    seconds: float
    grace: float = 30.0


@dataclass(slots=True)
class Outcome:
    """What came of a stream. Times in seconds; ``elapsed`` ends with the last answer, not the deadline."""

    name: str
    elapsed: float = 0.0
    latencies: array[float] = field(default_factory=lambda: array("d"))
    refused: int = 0
    refusal: str = ""

    @property
    def answered(self) -> int:
        """How many requests were answered with success."""
        return len(self.latencies)

    @property
    def rate(self) -> float:
        """Successful answers per second."""
        return self.answered / self.elapsed if self.elapsed else 0.0

    def milliseconds(self, share: float) -> float:
        """Return the percentile of the latencies, in milliseconds."""
        return percentile(sorted(self.latencies), share) * 1000


@dataclass(slots=True)
class Report:
    """The outcomes of a job's streams, in their order, and the generator's own processor time in seconds."""

    outcomes: list[Outcome]
    cpu: float

    @property
    def cpu_per_request(self) -> float:
        """Processor time that the generator itself spent on each request, in microseconds."""
        total = sum(outcome.answered + outcome.refused for outcome in self.outcomes)
        return self.cpu / total * 1e6 if total else 0.0


def run(job: Job) -> Report:
    """Run the job in a process of its own, so that it takes no time from whoever asks, and wait for it.

    Raises :class:`LoadError` when it could not be run or a stream was never answered with success.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.generator"],
        input=pickle.dumps(job),
        capture_output=True,
        timeout=job.seconds + job.grace + _SLACK,
        check=False,
    )
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise LoadError(f"the load generator stopped: {last}")
    report: Report = pickle.loads(done.stdout)
    for outcome in report.outcomes:
        if not outcome.answered:
            raise LoadError(
                f"{outcome.name}: no request was answered with success. {outcome.refusal}".strip()
            )
    return report
