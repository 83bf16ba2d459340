"""Run the plans: servers side by side, taking turns, three rounds; a figure is the median of the rounds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.bench import job as jobs
from tests.bench.checks import AnswerError, check_answers, check_validates
from tests.bench.figures import Aim, Figure, median
from tests.bench.job import Job, LoadError, Report, Stream
from tests.bench.plans import Plan, posts
from tests.bench.population import Population
from tests.bench.servers import Server

Say = Callable[[str], None]


@dataclass(slots=True)
class Bench:
    """The servers of one run. ``failed``: a row is missing because a server of this project refused."""

    ours: Server
    two_workers: Server
    ceiling: Server
    peer: Server | None
    rounds: int = 3
    say: Say = print
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failed: bool = False
    stored: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    @property
    def holding(self) -> list[Server]:
        """The servers that hold data."""
        return [self.ours, *([self.peer] if self.peer else []), self.two_workers]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start all servers and stop them at the end, whatever happens."""
        everyone = [*self.holding, self.ceiling]
        try:
            for server in everyone:
                self.say(f"starting {server.name}")
                server.start()
            yield
        finally:
            for server in everyone:
                server.stop()

    def fill(self, population: Population) -> None:
        """Store the population in every server; a peer that then answers wrongly is dropped."""
        for server in self.holding:
            self.say(f"storing {population.resources} resources in {server.name}")
            first = Stream("institutions", 1, posts(server, population.bodies[:1]), once=True)
            others = Stream("population", 4, posts(server, population.bodies[1:]), once=True)
            try:
                for stream in (first, others):
                    self._run(server, Job(server.port, [stream], seconds=120))
                check_answers(server, population)
                if server is not self.peer:
                    check_validates(server)
            except (LoadError, AnswerError) as error:
                if server is not self.peer:
                    raise
                self.notes.append(f"The peer was left out: {error}")
                server.stop()
                self.peer = None
            self.stored[server.name] += population.resources

    def carry_out(self, plan: Plan) -> None:
        """Measure one plan and append its figures."""
        servers = [server for server in self.holding if plan.two_workers or server is not self.two_workers]
        if plan.ceiling:
            servers.append(self.ceiling)
        reports: dict[str, list[Report]] = defaultdict(list)
        for number in range(self.rounds):
            make = plan.prepare()
            for server in servers:
                self.say(f"{plan.readings[0].name}: {server.name}, round {number + 1} of {self.rounds}")
                try:
                    report = self._run(server, make(server))
                except LoadError as error:
                    # One row is lost, not the run; but a run in which our own server failed is no success.
                    self.notes.append(f"{plan.readings[0].name}, not measured: {error}")
                    self.failed = self.failed or server is not self.peer
                    servers = [other for other in servers if other is not server]
                    reports.pop(server.name, None)
                    continue
                reports[server.name].append(report)
                self.stored[server.name] += plan.stored(report)
        self._read(plan, reports)

    def _run(self, server: Server, job: Job) -> Report:
        try:
            report = jobs.run(job)
        except LoadError as error:
            raise LoadError(f"{server.name}: {error}") from error
        for outcome in report.outcomes:
            if outcome.refused:
                raise LoadError(f"{server.name}: {outcome.refused} refused. {outcome.refusal}")
        return report

    def _read(self, plan: Plan, reports: dict[str, list[Report]]) -> None:
        for reading in plan.readings:
            values = {name: median([reading.of(report) for report in some]) for name, some in reports.items()}
            peer = values.get(self.peer.name) if self.peer else None
            if self.ours.name in values:
                mine = values[self.ours.name]
                self.figures.append(Figure(reading.name, mine, reading.unit, peer, reading.aim))
            if self.two_workers.name in values:
                two = values[self.two_workers.name]
                self.figures.append(Figure(f"{reading.name}, --workers 2", two, reading.unit, peer))
            if self.ceiling.name in values:
                name = f"{reading.name}: ceiling (raw ASGI, constant 1.6 KB)"
                self.figures.append(Figure(name, values[self.ceiling.name], reading.unit))
                own = median([report.cpu_per_request for report in reports[self.ceiling.name]])
                aim = Aim(at_most=30)
                self.figures.append(Figure("load generator's own cost", own, "µs CPU/request", None, aim))

    def weigh(self) -> None:
        """Append memory after the load, start-up on the loaded store, bytes on disk. Stops the servers."""
        self._append_memory()
        starts: dict[str, list[float]] = defaultdict(list)
        pair = [self.ours, *([self.peer] if self.peer else [])]
        for server in self.holding:
            server.stop()
        for _ in range(self.rounds):
            for server in pair:
                self.say(f"start-up: {server.name}")
                starts[server.name].append(server.start())
                server.stop()
        mine, *others = (median(starts[server.name]) for server in pair)
        aim = Aim(at_most=2)
        self.figures.append(Figure("start-up on the loaded store", mine, "s", next(iter(others), None), aim))
        mine, *others = (server.disk() / self.stored[server.name] for server in pair)
        aim = Aim(at_most=1000)
        self.figures.append(Figure("disk per resource", mine, "bytes", next(iter(others), None), aim))
        self.figures.append(
            Figure(
                "resources stored by then",
                self.stored[self.ours.name],
                "resources",
                (self.stored[self.peer.name] if self.peer else None),
            )
        )

    def _append_memory(self) -> None:
        mine = self.ours.memory()
        if mine is None:
            self.notes.append("Memory was not measured: this system has no /proc.")
            return
        peer = self.peer.memory() if self.peer else None
        self.figures.append(Figure("memory after the load", mine, "MB", peer, Aim(at_most=300)))
        own, peers = (
            None if server is None else server.memory(mapped=False) for server in (self.ours, self.peer)
        )
        if own is not None:
            self.figures.append(Figure("memory after the load, without mapped files", own, "MB", peers))
        two = self.two_workers.memory() or 0.0
        self.figures.append(Figure("memory after the load, --workers 2", two, "MB", peer))
