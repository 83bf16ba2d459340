"""``--large``: fill a store with a million resources over HTTP, watch the rate as it grows, then search it.

Searches are measured over HTTP, and in process once the server has stopped; in process also while the store
was a tenth as large, which tells how their cost grows.

The store stays under ``.bench/large``; a run that was stopped goes on where it stopped.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from urllib.parse import quote

from rich.console import Console

from tests.bench import data, report, searches, servers
from tests.bench import job as jobs
from tests.bench.checks import check_validates
from tests.bench.data import Entry
from tests.bench.figures import Aim, Figure
from tests.bench.job import Job, LoadError, Stream
from tests.bench.plans import gets, posts
from tests.bench.population import PAGE, Population, settle
from tests.bench.servers import Server

CHUNK = 100
"""Transactions of one chunk; after each the state is saved."""
_CLIENTS = 4
_SEEDS = 10
"""Seeds set aside for a chunk, more than it needs. A chunk sent after an interruption has new ones."""
_POINTS = 10
_SMALL = 100_000
"""Resources at which the searches are measured the first time."""
_GROWTH = Aim(at_most=1.5)
_RATES = {"Patient?identifier": Aim(at_least=5000), "patient + _sort=-date, 20 entries": Aim(at_least=2500)}


@dataclass(slots=True)
class State:
    """How far the store is filled. ``curve``: resources stored, and the rate of the chunk before.

    ``small``: what searches took in process when there were :data:`_SMALL` resources.
    """

    chunks_begun: int = 0
    resources: int = 0
    seconds: float = 0.0
    curve: list[tuple[int, float]] = field(default_factory=list)
    queries: dict[str, list[str]] = field(default_factory=dict)
    small: dict[str, float] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write the state so that a crash leaves the old one or the new one."""
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(self)))
        fresh.replace(path)

    @classmethod
    def load(cls, path: Path) -> State:
        """Read the state; a new one when there is none."""
        return cls(**json.loads(path.read_text())) if path.exists() else cls()


def measure(folder: Path, resources: int, output: Path, console: Console, *, fresh: bool) -> None:
    """Fill the store up to ``resources``, measure the searches on it, print and write both."""
    if fresh:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "state.json"
    state = State.load(path)
    server = servers.ours(folder / "store")
    try:
        began = server.start()
        check_validates(server)
        while state.resources < resources:
            fill(server, state, path)
            if state.resources == _SMALL:
                state.small = {each.name: each.value for each in _in_process(folder, console)}
                state.save(path)
            done, rate = state.curve[-1]
            left = max(0, resources - done) / rate
            console.print(
                f"{done:>10,} of {resources:,} resources, {rate:,.0f}/s, about {left / 60:.0f} min left"
            )
        notes: list[str] = []
        figures = [*growth(state), *over_http(server, state.queries, notes, console)]
        memory, own = server.memory(), server.memory(mapped=False)
    finally:
        server.stop()
    figures.append(Figure("start-up", began, "s", aim=Aim(at_most=2)))
    if memory is not None and own is not None:
        figures.append(Figure("memory after the load", memory, "MB", aim=Aim(at_most=300)))
        figures.append(Figure("memory after the load, without mapped files", own, "MB"))
    inside = _in_process(folder, console)
    figures += [*inside, *_grown(inside, state.small)]
    size = server.disk() / state.resources
    figures.append(Figure("disk per resource", size, "bytes", aim=Aim(at_most=1000)))
    console.print(report.table(f"A store of {state.resources:,} resources", figures))
    for note in notes:
        console.print(f"Note: {note}", markup=False)
    report.write(output, figures, notes)
    console.print(f"Written: {output.name}")


def _in_process(folder: Path, console: Console) -> list[Figure]:
    return searches.measure(folder / "store", lambda words: console.print(words, markup=False))


def _grown(figures: list[Figure], small: dict[str, float]) -> list[Figure]:
    """Return how many times longer each search takes than when the store was small."""
    return [
        Figure(
            f"{each.name}, against {_SMALL:,} resources", each.value / small[each.name], "times", aim=_GROWTH
        )
        for each in figures
        if each.name.endswith("p50") and each.aim is not None and small.get(each.name)
    ]


def fill(server: Server, state: State, path: Path) -> None:
    """Send one chunk and save the state. Raises :class:`LoadError` when anything was refused."""
    number = state.chunks_begun
    state.chunks_begun += 1
    state.save(path)
    source = data.transactions(data.FIRST_SEED + number * _SEEDS)
    # The first transaction of every chunk has known ids: what is asked for later lies everywhere.
    known = settle(source, 1)
    bodies = [known.bodies[1], *map(data.create_bundle, islice(source, CHUNK - 1))]
    if number == 0:
        _send(server, [known.bodies[0]], 1)
    elapsed = _send(server, bodies, _CLIENTS)
    stored = CHUNK * data.SIZE
    state.resources += stored
    state.seconds += elapsed
    state.curve.append((state.resources, stored / elapsed))
    for name, paths in queries(known, random.Random(number)).items():
        state.queries.setdefault(name, []).extend(paths)
    state.save(path)


def _send(server: Server, bodies: list[bytes], clients: int) -> float:
    stream = Stream("transactions", clients, posts(server, bodies), once=True)
    outcome = jobs.run(Job(server.port, [stream], seconds=300, grace=60)).outcomes[0]
    if outcome.refused or outcome.answered < len(bodies):
        raise LoadError(
            f"{outcome.answered} of {len(bodies)} transactions were stored. {outcome.refusal}".strip()
        )
    return outcome.elapsed


def queries(known: Population, choose: random.Random) -> dict[str, list[str]]:
    """Return the paths to ask for, by the name of the figure they make."""
    found = {
        "read": choose.sample(known.reads, min(20, len(known.reads))),
        "Patient?identifier": known.identifiers,
        "patient + _sort=-date, 20 entries": known.sorted_pages,
    }
    some = [entry for entry in known.entries if entry.type == "Observation"]
    found["patient + code, newest first"] = [
        _patient_code(entry) for entry in choose.sample(some, min(5, len(some)))
    ]
    found["code + date, 20 entries"] = [_code_date(entry) for entry in choose.sample(some, min(2, len(some)))]
    found["Patient + _revinclude=Observation:patient"] = [
        f"/fhir/Patient?_id={entry.uuid}&_revinclude=Observation:patient" for entry in _patients(known)
    ]
    found["Patient?family"] = [
        f"/fhir/Patient?family={quote(json.loads(entry.json)['name'][0]['family'])}&_count={PAGE}"
        for entry in _patients(known)
    ]
    return found


def _patients(known: Population) -> Iterator[Entry]:
    return (entry for entry in known.entries if entry.type == "Patient")


def _patient_code(entry: Entry) -> str:
    subject = json.loads(entry.json)["subject"]["reference"].partition("/")[2]
    return f"/fhir/Observation?patient={subject}&code={_code(entry)}&_sort=-date&_count={PAGE}"


def _code_date(entry: Entry) -> str:
    day = json.loads(entry.json)["effectiveDateTime"][:10]
    return f"/fhir/Observation?code={_code(entry)}&date=ge{day}&_count={PAGE}"


def _code(entry: Entry) -> str:
    coding = json.loads(entry.json)["code"]["coding"][0]
    return quote(f"{coding['system']}|{coding['code']}", safe="")


def growth(state: State) -> list[Figure]:
    """Return the ingest rate over the whole fill, and at up to ten points of it."""
    step = max(1, len(state.curve) // _POINTS)
    figures = [
        Figure("ingest, whole fill", state.resources / state.seconds, "resources/s", aim=Aim(at_least=3000))
    ]
    for at in range(step - 1, len(state.curve), step):
        part = state.curve[at + 1 - step : at + 1]
        rate = len(part) / sum(
            1 / rate for _, rate in part
        )  # chunks are equal: the harmonic mean is total / time
        figures.append(Figure(f"ingest up to {part[-1][0]:,}", rate, "resources/s"))
    return figures


def over_http(
    server: Server, asked: dict[str, list[str]], notes: list[str], console: Console
) -> list[Figure]:
    """Measure each kind of query for three seconds over four connections; one that fails is noted."""
    figures = []
    for name, paths in asked.items():
        if not paths:
            notes.append(f"{name}: the data held nothing to ask for")
            continue
        console.print(f"measuring {name}", markup=False)
        try:
            outcome = jobs.run(Job(server.port, [Stream(name, 4, gets(server, paths))], seconds=3)).outcomes[
                0
            ]
        except LoadError as error:
            notes.append(f"{name}: {error}")
            continue
        if outcome.refused:
            notes.append(f"{name}: {outcome.refused} refused. {outcome.refusal}")
            continue
        rate = Figure(f"{name}, 4 connections", outcome.rate, "requests/s", aim=_RATES.get(name))
        figures.append(rate)
        figures += [Figure(f"{name}, p{p}", outcome.milliseconds(p / 100), "ms") for p in (50, 99)]
    return figures
