"""The plans: what is sent for each row of the table, and which figures are read from it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tests.bench import data
from tests.bench.figures import Aim
from tests.bench.job import Job, Report, Stream
from tests.bench.population import Population
from tests.bench.servers import Server
from tests.bench.wire import request

MOST = 100
"""Transactions that one measurement sends at most: it ends by count or by time, whichever comes first."""
READ_RATE = 400
"""Paced reads a second while ingesting."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One figure of a report: its name, unit, where it stands in the report, and its aim."""

    name: str
    unit: str
    of: Callable[[Report], float]
    aim: Aim | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure, on which servers, and what to read from it.

    ``prepare`` takes fresh data and returns what makes a server's job: in a round all get the same data.
    ``stored`` tells how many resources a report says were stored.
    """

    prepare: Callable[[], Callable[[Server], Job]]
    readings: tuple[Reading, ...]
    stored: Callable[[Report], int] = lambda _report: 0
    ceiling: bool = False
    two_workers: bool = True


def gets(server: Server, paths: list[str]) -> list[bytes]:
    """Return a GET for each path."""
    return [request("GET", path, server.authority) for path in paths]


def posts(server: Server, bodies: list[bytes]) -> list[bytes]:
    """Return a POST to the base for each Bundle."""
    return [request("POST", "/fhir", server.authority, body) for body in bodies]


def rate(report: Report) -> float:
    """Return the first stream's answers per second."""
    return report.outcomes[0].rate


def reads(
    name: str, paths: list[str], connections: int, aim: Aim | None = None, *, ceiling: bool = False
) -> Plan:
    """GET the paths round and round for two seconds."""

    def job(server: Server) -> Job:
        return Job(server.port, [Stream(name, connections, gets(server, paths))], seconds=2)

    reading = Reading(f"{name}, {connections} connections", "requests/s", rate, aim)
    return Plan(lambda: job, (reading,), ceiling=ceiling)


def transactions(source: Iterator[list[data.Entry]], clients: int) -> Plan:
    """Send transactions of a hundred creates for two and a half seconds, or until there are none left."""

    def prepare() -> Callable[[Server], Job]:
        bodies = [data.create_bundle(entries) for entries in islice(source, MOST)]
        return lambda server: Job(
            server.port, [Stream("transactions", clients, posts(server, bodies), once=True)], seconds=2.5
        )

    aim = Aim(at_least=3000, times_peer=8)
    name = f"transactions of {data.SIZE}, {clients} client{'s' if clients > 1 else ''}"
    reading = Reading(name, "resources/s", lambda report: rate(report) * data.SIZE, aim)
    return Plan(prepare, (reading,), lambda report: report.outcomes[0].answered * data.SIZE)


def creates(population: Population, clients: int) -> Plan:
    """POST single resources of every type for two seconds; they refer to what is stored already."""

    def job(server: Server) -> Job:
        sent = [
            request("POST", f"/fhir/{entry.type}", server.authority, entry.json)
            for entry in population.entries
        ]
        return Job(server.port, [Stream("creates", clients, sent)], seconds=2)

    reading = Reading(f"single creates, {clients} clients", "resources/s", rate, Aim(times_peer=10))
    return Plan(lambda: job, (reading,), lambda report: report.outcomes[0].answered)


def reads_while_ingesting(source: Iterator[list[data.Entry]], population: Population) -> Plan:
    """Four clients ingest as fast as they can; beside them reads come at a steady pace."""

    def prepare() -> Callable[[Server], Job]:
        bodies = [data.create_bundle(entries) for entries in islice(source, MOST)]
        return lambda server: Job(
            server.port,
            [
                Stream("reads", 8, gets(server, population.reads), rate=READ_RATE),
                Stream("transactions", 4, posts(server, bodies), once=True),
            ],
            seconds=2.5,
        )

    readings = (
        Reading("reads while ingesting, p50", "ms", lambda report: report.outcomes[0].milliseconds(0.5)),
        Reading(
            "reads while ingesting, p99",
            "ms",
            lambda report: report.outcomes[0].milliseconds(0.99),
            Aim(at_most=30),
        ),
        Reading(
            "ingest beside these reads", "resources/s", lambda report: report.outcomes[1].rate * data.SIZE
        ),
    )
    return Plan(prepare, readings, lambda report: report.outcomes[1].answered * data.SIZE)


def synthea(bodies: list[bytes]) -> Plan:
    """Load every Synthea file once, over four clients."""
    total = sum(len(json.loads(body)["entry"]) for body in bodies)

    def job(server: Server) -> Job:
        return Job(server.port, [Stream("synthea", 4, posts(server, bodies), once=True)], seconds=60)

    reading = Reading(
        f"Synthea files ({len(bodies)}), 4 clients", "resources/s", lambda r: total / r.outcomes[0].elapsed
    )
    return Plan(lambda: job, (reading,), lambda _report: total, two_workers=False)


def synthea_files() -> list[bytes]:
    """Return the Synthea bundles of the shared folder (FHIR_SHARED, else ../shared), if it is there."""
    shared = os.environ.get("FHIR_SHARED")
    folder = Path(shared) if shared else Path(__file__).resolve().parents[3] / "shared"
    return [path.read_bytes() for path in sorted(folder.glob("synthea/*.json"))]


def all_plans(source: Iterator[list[data.Entry]], population: Population) -> list[Plan]:
    """Return the plans in the order of measuring: reads first, while every server holds the same."""
    files = synthea_files()
    return [
        reads("reads", population.reads, 32, Aim(at_least=8000), ceiling=True),
        reads("Patient?identifier", population.identifiers, 32),
        reads("patient + _sort=-date, 20 entries", population.sorted_pages, 32),
        creates(population, 16),
        *(transactions(source, clients) for clients in (1, 4, 16)),
        reads_while_ingesting(source, population),
        *([synthea(files)] if files else []),
    ]
