"""What rights and audit cost: the same reads and searches, with a patient's token and audit on, and without.

Two servers on one store take turns; the one that is not asked is stopped meanwhile, so that what it still has
to do takes nothing from the other one. Before its turn the one with an audit indexes what it was asked last:
else that would be charged to this turn. No client and no address is limited.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fhir_server.app import open_service
from fhir_server.config import Settings
from fhir_server.smart.records import Client
from tests.bench import job as jobs
from tests.bench import servers
from tests.bench.checks import AnswerError, ask, check_answers
from tests.bench.figures import Aim, Figure, median
from tests.bench.job import Job, LoadError, Outcome, Stream
from tests.bench.plans import posts
from tests.bench.population import PAGE, Population
from tests.bench.servers import Server
from tests.bench.wire import request

CONNECTIONS = (16, 64)
SECONDS = 2.0
SHARE = Aim(at_least=0.8)
_SCOPE = "patient/*.rs"
_TOKEN_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Mine:
    """What is asked for: one patient's records, each by its id, and the newest page of its observations."""

    patient: str
    reads: list[str]
    searches: list[str]

    @classmethod
    def of(cls, population: Population) -> Mine:
        """Choose the patient of the first sorted page."""
        page = population.sorted_pages[0]
        patient = page.partition("patient=")[2].partition("&")[0]
        about = f'"Patient/{patient}"'.encode()
        reads = [
            f"/fhir/{entry.type}/{entry.uuid}"
            for entry in population.entries
            if entry.uuid == patient or about in entry.json
        ]
        return cls(patient, reads, [f"/fhir/Observation?patient={patient}&_sort=-date&_count={PAGE}"])


def measure(folder: Path, population: Population, rounds: int, say: Callable[[str], None]) -> list[Figure]:
    """Fill a store in ``folder`` and return the rates with token and audit, and their share of those without.

    Raises StartError, LoadError and AnswerError.
    """
    open_server = servers.ours(folder)
    guarded = servers.guarded(folder)
    mine = Mine.of(population)
    try:
        say("storing the population for a server with tokens and audit")
        open_server.start()
        for bodies, clients in ((population.bodies[:1], 1), (population.bodies[1:], 4)):
            _run(open_server, Stream("population", clients, posts(open_server, bodies), once=True), 120)
        check_answers(open_server, population)
        token = asyncio.run(issue(folder, guarded.port, mine.patient))
        guarded.start()
        check_rights(guarded, mine, population, token)
        figures: list[Figure] = []
        for name, paths in (("reads", mine.reads), ("searches of 20", mine.searches)):
            for connections in CONNECTIONS:
                say(f"{name} with token and audit, {connections} connections")
                pair = _turns([(open_server, ""), (guarded, token)], paths, connections, rounds)
                figures += compared(f"{name}, token and audit, {connections} connections", *pair)
        return figures
    finally:
        for server in (open_server, guarded):
            server.stop()


def compared(name: str, without: Sequence[float], guarded: Sequence[float]) -> list[Figure]:
    """Return the median rate of a guarded server, and the median of its shares round by round."""
    shares = [mine / other for mine, other in zip(guarded, without, strict=True)]
    return [
        Figure(name, median(guarded), "requests/s"),
        Figure(f"{name}: share of the rate without", median(shares), "of 1", aim=SHARE),
    ]


def _turns(
    servers_: Sequence[tuple[Server, str]], paths: Sequence[str], connections: int, rounds: int
) -> list[list[float]]:
    """Measure each server in each round, while the other one is stopped; return the rates of each."""
    rates: list[list[float]] = [[] for _ in servers_]
    for server, _ in servers_:
        server.pause()
    for _ in range(rounds):
        for place, (server, token) in enumerate(servers_):
            server.resume()
            if token:
                server.rest()
            sent = [request("GET", path, server.authority, token=token) for path in paths]
            rates[place].append(_run(server, Stream("reads", connections, sent), SECONDS).rate)
            server.pause()
    for server, _ in servers_:
        server.resume()
    return rates


def _run(server: Server, stream: Stream, seconds: float) -> Outcome:
    outcome = jobs.run(Job(server.port, [stream], seconds=seconds)).outcomes[0]
    if outcome.refused:
        raise LoadError(f"{server.name}: {outcome.refused} refused. {outcome.refusal}")
    return outcome


def check_rights(server: Server, mine: Mine, population: Population, token: str) -> None:
    """Raise AnswerError unless the patient's records are shown, others' are not, and nobody sees anything."""
    other = next(path for path in population.reads if "/Patient/" in path and mine.patient not in path)
    for path, shown, status in ((mine.reads[0], token, 200), (other, token, 404), (mine.reads[0], "", 401)):
        found, _ = ask(server, "GET", path, token=shown)
        if found != status:
            raise AnswerError(f"{server.name} answered {found} where it must answer {status}")


async def issue(folder: Path, port: int, patient: str) -> str:
    """Return an access token for a patient's app, signed as the server on ``port`` signs its own."""
    settings = Settings.model_validate(
        {"data": folder, "port": port, "audit": False, "insecure_no_auth": False, "base_url": ""}
    )
    service = await open_service(settings)
    try:
        house = service.house
        if house is None:
            raise AnswerError("the server has no authorization server")
        await house.open()
        app = Client("bench", "Bench", "none", _SCOPE, (), house.clock(), registration="bench")
        token = house.tokens.access(app, _SCOPE, _TOKEN_SECONDS, patient=patient)
        await house.close()
        return token
    finally:
        await service.close()
