"""``python -m tests.bench.mongo``: what MongoDB costs the server, on the stand-in that the tests use.

How fast the stand-in is says little of a real cluster. So what is measured is the server's own: round trips
and bytes on the wire, counted by a proxy, and the processor time of its process, without one. Beside them
stands the layout of others: one document for each searchable value, written and counted on the same engine.
Writes ``bench-mongo-results.json`` and the table in ``docs/benchmarks.md``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from statistics import median, median_low
from typing import Any, Final, TextIO

from pymongo import AsyncMongoClient

from fhir_server.config import Settings
from fhir_server.crypto.keys import KeyRing
from fhir_server.resources.codec import decode, encode, with_meta
from fhir_server.search.extract import Extractor
from fhir_server.search.parameters import CLINICAL_DATE
from fhir_server.search.parse import parse
from fhir_server.search.predicate import EVERYTHING, About
from fhir_server.search.terms import Options as Terms
from fhir_server.search.values import Values
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import Change, Reclass, Slice
from fhir_server.store.mongo.store import MongoStore, Options
from tests.bench import data
from tests.bench.docs import ROOT
from tests.mongo.engine import StandIn
from tests.mongo.proxy import Counted, Proxy

RESULTS: Final = ROOT / "bench-mongo-results.json"
PAGE: Final = ROOT / "docs" / "benchmarks.md"
BEGIN: Final = "<!-- mongodb: begin -->"
END: Final = "<!-- mongodb: end -->"

BUNDLES: Final = 12
ROUNDS: Final = 30
MOST_CPU: Final = 600
"""Microseconds of processor time for a resource stored in a bundle: the aim."""
LEAST_GAIN: Final = 10
"""Times fewer round trips for a bundle than with one document for each value: the aim."""

_NOW = "2026-03-01T08:30:00.125Z"
_NOW_MS = 1_772_353_800_125
_FOREVER = 2**52
_ALL = Visibility("bench", default=EVERYTHING)
_CONSENTED = replace(_ALL, by_type={}, default=About(frozenset({0, 1}), above=2))

Work = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Operation:
    """Something to measure: ``works`` are done one after the other; ``size``: resources that each stores."""

    name: str
    works: Sequence[Work]
    size: int = 1


def changes(extractor: Extractor, version: int = 1, seed: int = data.FIRST_SEED) -> Iterator[list[Change]]:
    """Yield bundles of a hundred changes without end, in their first or a later ``version``."""
    for batch in data.transactions(seed):
        made = []
        for entry in data.placed_entries(batch):
            tree = with_meta(decode(entry.json, max_depth=64), entry.uuid, version, _NOW)
            values = extractor.extract(tree)
            made.append(Change(entry.type, entry.uuid, version, _NOW_MS, "PUT", encode(tree), values))
        yield made


async def opened(folder: Path, address: str, extractor: Extractor) -> MongoStore:
    """Open a new store, with one patient in a class: whoever asks for consent has something to look up."""
    ring = KeyRing.create(folder, "standard")
    store = await MongoStore.open(
        address,
        ring,
        extractor=extractor.from_body,
        matcher=lambda *_: True,
        clinical=CLINICAL_DATE,
        # Learning a dictionary takes a processor for seconds, once in a store's life: not now.
        options=Options(learning=()),
    )
    await store.commit([], (), [Reclass("nobody", 0, (Slice(0, _FOREVER, b"rule"),))])
    return store


async def operations(store: MongoStore, settings: Settings, extractor: Extractor) -> list[Operation]:
    """Store a population; return what is to be measured on it."""

    def written(some: list[Change]) -> Work:
        async def work() -> None:
            await store.commit([store.prepare(change) for change in some])

        return work

    stored = list(islice(changes(extractor), BUNDLES))
    for bundle in stored:
        await written(bundle)()
    again = [replace(change, version=2) for bundle in islice(changes(extractor, 2), 7) for change in bundle]
    fresh = changes(extractor, seed=data.FIRST_SEED * 2)
    everything = [change for bundle in stored for change in bundle]
    terms = Terms(zone=settings.zone, now=_NOW_MS, base="")

    def find(visibility: Visibility, *criteria: tuple[str, str]) -> Work:
        query = parse("Observation", list(criteria), terms).query
        return lambda: store.search(visibility, query)

    patients = [change for change in everything if change.type == "Patient"]
    by_patient = [
        (("patient", change.id), ("date", "ge2025-01-01"), ("_sort", "-date")) for change in patients
    ]
    tokens = [next(row for row in _values(change).tokens if row[0] == "identifier") for change in patients]
    chained = [("patient.identifier", f"{system}|{code}") for _, system, code in tokens]
    total = ("_total", "accurate")
    reads = everything[:: max(1, len(everything) // ROUNDS)]
    return [
        Operation("create", [written([each]) for each in islice(next(fresh), ROUNDS)]),
        Operation("update", [written([each]) for each in again[:ROUNDS]]),
        Operation("bundle of 100 creates", [written(each) for each in islice(fresh, 6)], 100),
        Operation(
            "bundle of 100 updates",
            [written(again[begin : begin + 100]) for begin in range(100, len(again), 100)],
            100,
        ),
        Operation("read", [_read(store, _ALL, each) for each in reads]),
        Operation("read, with consents", [_read(store, _CONSENTED, each) for each in reads]),
        Operation("patient + date, newest first", [find(_ALL, *each) for each in by_patient]),
        Operation(
            "patient + date, newest first, with consents", [find(_CONSENTED, *each) for each in by_patient]
        ),
        Operation("chain: patient.identifier", [find(_ALL, each) for each in chained]),
        Operation("patient, exact total", [find(_ALL, each[0], total) for each in by_patient]),
    ]


def _values(change: Change) -> Values:
    assert change.values is not None
    return change.values


def _read(store: MongoStore, visibility: Visibility, change: Change) -> Work:
    return lambda: store.read(visibility, change.type, change.id)


async def on_the_wire(operation: Operation, wire: Proxy) -> Counted:
    """Return the medians of round trips and bytes of an operation."""
    taken = []
    for work in operation.works:
        begun = replace(wire.counted)
        await work()
        taken.append(wire.counted.since(begun))
    return Counted(*(median_low(getattr(each, name) for each in taken) for name in Counted.__slots__))


async def processor(operation: Operation) -> float:
    """Return the median processor time of this process for one operation, in microseconds."""
    taken = []
    for work in operation.works:
        begun = time.process_time_ns()
        await work()
        taken.append((time.process_time_ns() - begun) / 1000)
    return median(taken)


async def one_document_a_value(address: str, bundle: list[Change]) -> None:
    """Write a bundle in the layout of others: a document for the resource, and one for each of its values.

    Each resource is a transaction of three commands, which is few: the resource, its values, the commit.
    """
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(address)
    db = client.get_default_database()
    async with client.start_session() as session:
        for change in bundle:
            async with await session.start_transaction():
                found = await db.plain.insert_one({"body": change.body}, session=session)
                rows = _rows(_values(change), found.inserted_id)
                if rows:
                    await db.plain_value.insert_many(rows, session=session)
    await client.close()


def _rows(values: Values, owner: object) -> list[dict[str, Any]]:
    kinds = ("tokens", "strings", "dates", "numbers", "quantities", "references", "uris")
    return [
        {"of": owner, "kind": kind, "value": list(map(str, row))}
        for kind in kinds
        for row in getattr(values, kind)
    ]


async def measured(folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Start a stand-in, measure, and return the results."""
    settings = Settings()
    extractor = Extractor(settings.zone)
    stand_in = StandIn(folder / "engine")
    stand_in.start()
    try:
        with Proxy(stand_in.port) as wire:
            store = await opened(folder / "wire", stand_in.address("wire", wire.port), extractor)
            counted = {}
            for operation in await operations(store, settings, extractor):
                say(f"counting {operation.name}")
                counted[operation.name] = await on_the_wire(operation, wire)
            await store.close()
            say("counting one document for each value")
            [bundle] = islice(changes(extractor, seed=data.FIRST_SEED * 3), 1)
            before = replace(wire.counted)
            await one_document_a_value(stand_in.address("plain", wire.port), bundle)
            plain = wire.counted.since(before)
        store = await opened(folder / "cpu", stand_in.address("cpu"), extractor)
        spent = {}
        for operation in await operations(store, settings, extractor):
            say(f"timing {operation.name}")
            spent[operation.name] = await processor(operation) / operation.size
        await store.close()
    finally:
        stand_in.kill()
    return results(counted, spent, plain)


def results(counted: dict[str, Counted], spent: dict[str, float], plain: Counted) -> dict[str, Any]:
    """Return everything as rows of the table."""
    figures: list[dict[str, Any]] = []

    def add(figure: str, value: float, unit: str, aim: str = "", *, met: bool | None = None) -> None:
        figures.append({"figure": figure, "value": value, "unit": unit, "aim": aim, "met": met})

    for name, each in counted.items():
        add(f"{name}: round trips", each.trips, "trips")
        add(f"{name}: sent", round(each.sent / 1024, 1), "KiB")
        add(f"{name}: received", round(each.received / 1024, 1), "KiB")
        of_bundle = name.startswith("bundle")
        cpu = round(spent[name])
        add(
            f"{name}: processor time of the server",
            cpu,
            "µs/resource" if of_bundle else "µs",
            f"≤ {MOST_CPU}" if of_bundle else "",
            met=cpu <= MOST_CPU if of_bundle else None,
        )
    add("one document a value, bundle of 100 creates: round trips", plain.trips, "trips")
    add("one document a value, bundle of 100 creates: sent", round(plain.sent / 1024, 1), "KiB")
    gain = plain.trips / counted["bundle of 100 creates"].trips
    add("round trips saved in a bundle", round(gain, 1), "times", f"≥ {LEAST_GAIN}", met=gain >= LEAST_GAIN)
    return {"figures": figures}


def table(told: dict[str, Any]) -> str:
    """Return the results as a table."""
    met = {True: "yes", False: "**no**", None: ""}
    lines = ["| figure | value | unit | aim | met |", "|---|--:|---|---|---|"]
    for row in told["figures"]:
        cells = [row["figure"], f"{row['value']:,}", row["unit"], row["aim"], met[row["met"]]]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def replaced(page: str, told: dict[str, Any]) -> str:
    """Return the page with the table between its two marks. Raises ValueError when one is missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page needs the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{table(told)}\n{END}{after}"


def _say(to: TextIO, text: str) -> None:
    to.write(f"{text}\n")


def main() -> None:
    """Measure and write the results down; with ``--print`` show them alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--print", action="store_true", help="write nothing")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        told = asyncio.run(measured(Path(folder), lambda text: _say(sys.stderr, text)))
    _say(sys.stdout, table(told))
    if not arguments.print:
        RESULTS.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(replaced(page, told), encoding="utf-8")


if __name__ == "__main__":
    main()
