"""Searches of a large store measured in process: what the store alone takes, without HTTP.

Each row is a kind of search, with values picked from the store's own records, the same in every run.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from fhir_server.config import Settings
from fhir_server.crypto.keys import KeyRing
from fhir_server.search.extract import Extractor
from fhir_server.search.parameters import CLINICAL_DATE
from fhir_server.search.parse import parse
from fhir_server.search.predicate import EVERYTHING, ReferenceIs, Where
from fhir_server.search.query import Position, Query
from fhir_server.search.terms import Options
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import Page, Store
from fhir_server.store.sqlite.store import SqliteStore
from tests.bench.figures import Aim, Figure, percentile

ALL = Visibility("bench", default=EVERYTHING)
_P50, _P99 = Aim(at_most=2.0), Aim(at_most=10.0)
_ROUNDS = 200
_SECONDS = 8.0
_SAMPLES = 150

Tree = dict[str, Any]
Search = Callable[[], Awaitable[Page]]


@dataclass(frozen=True, slots=True)
class Row:
    """A kind of search: its name, the searches, whether the aims of issue 3 hold for it."""

    name: str
    searches: Sequence[Search]
    is_aimed: bool = True


def measure(folder: Path, say: Callable[[str], None]) -> list[Figure]:
    """Open the store of a stopped server's data folder and measure every row."""
    return asyncio.run(measured(folder, say))


async def measured(folder: Path, say: Callable[[str], None]) -> list[Figure]:
    """Do what :func:`measure` says, in a running event loop."""
    settings = Settings(data=folder)
    extractor = Extractor(settings.zone, settings.base_url)
    store = SqliteStore.open(
        settings.data,
        KeyRing.load(settings.key_folder),
        extractor=extractor.from_body,
        matcher=lambda *_: True,
        clinical=CLINICAL_DATE,
    )
    try:
        figures = []
        for row in await rows(store, settings):
            say(f"measuring {row.name}, in process")
            figures += await _figures(row)
        return figures
    finally:
        await store.close()


async def _figures(row: Row) -> list[Figure]:
    # The first round warms the caches, as a server's would be.
    until = time.perf_counter() + _SECONDS
    for search in row.searches:
        await search()
        if time.perf_counter() > until:
            break
    taken = []
    until = time.perf_counter() + _SECONDS
    for number in range(_ROUNDS):
        began = time.perf_counter()
        await row.searches[number % len(row.searches)]()
        taken.append((time.perf_counter() - began) * 1000)
        if time.perf_counter() > until:
            break
    taken.sort()
    p50, p99 = (_P50, _P99) if row.is_aimed else (None, None)
    return [
        Figure(f"{row.name}, in process, p50", percentile(taken, 0.5), "ms", aim=p50),
        Figure(f"{row.name}, in process, p99", percentile(taken, 0.99), "ms", aim=p99),
    ]


async def rows(store: Store, settings: Settings) -> list[Row]:
    """Pick values from the store and make the searches of every row."""
    patients = await _some(store, "Patient")
    observations = await _some(store, "Observation")
    options = Options(zone=settings.zone, now=0, base=settings.base_url)

    def find(type_: str, *parameters: tuple[str, str]) -> Search:
        query = parse(type_, parameters, options).query
        return lambda: store.search(ALL, query)

    def patient_of(tree: Tree) -> str:
        return str(tree["subject"]["reference"])

    def code(tree: Tree) -> str:
        coding = tree["code"]["coding"][0]
        return f"{coding['system']}|{coding['code']}"

    def read(tree: Tree) -> Search:
        async def one() -> Page:
            stored = await store.read(ALL, tree["resourceType"], tree["id"])
            return Page([stored] if stored else [], None, None)

        return one

    def referring(count: int, start: int) -> Search:
        """Search for patients, and for the observations that refer to them."""
        chosen = [patients[(start + n) % len(patients)]["id"] for n in range(count)]
        query = parse("Patient", [("_id", ",".join(chosen))], options).query
        targets = tuple(f"Patient/{id_}" for id_ in chosen)

        async def both() -> Page:
            await store.search(ALL, query)
            where = Where("patient", ReferenceIs(targets))
            return await store.search(ALL, Query("Observation", where, count=1001))

        return both

    days = [tree["effectiveDateTime"][:10] for tree in observations]
    measured = [tree for tree in observations if "valueQuantity" in tree]
    counted = Counter(map(code, observations)).most_common()
    common, rare = counted[0][0], counted[-1][0]
    families = [tree["name"][0]["family"] for tree in patients]
    givens = ["".join(tree["name"][0]["given"])[:1] for tree in patients]
    newest, page = ("_sort", "-date"), ("_count", "20")
    return [
        Row("read", [read(tree) for tree in observations]),
        Row("Patient?identifier", [find("Patient", ("identifier", _identifier(p))) for p in patients]),
        Row("code=common", [find("Observation", ("code", common), page)]),
        Row("code=common, newest first", [find("Observation", ("code", common), page, newest)]),
        Row("code, newest first", [find("Observation", ("code", c), page, newest) for c, _ in counted]),
        Row(
            "code=common, exact total", [find("Observation", ("code", common), ("_total", "accurate"))], False
        ),
        Row("family, by its beginning", [find("Patient", ("family", f), page) for f in families]),
        Row(
            "family and given",
            [
                find("Patient", ("family", f), ("given", g), page)
                for f, g in zip(families, givens, strict=True)
            ],
        ),
        Row("date range of 30 days", [_period(find, day, 30) for day in days]),
        Row(
            "patient + _sort=-date, 20 entries",
            [find("Observation", ("patient", patient_of(o)), newest, page) for o in observations],
        ),
        Row(
            "patient + code + date, newest first",
            [
                find("Observation", ("patient", patient_of(o)), ("code", code(o)), ("date", f"ge{d}"), newest)
                for o, d in zip(observations, days, strict=True)
            ],
        ),
        Row(
            "code + date of a year + status, newest first",
            [
                _period(find, d, 365, ("code", code(o)), ("status", "final"), newest)
                for o, d in zip(observations, days, strict=True)
            ],
        ),
        Row(
            "rare code + date + status",
            [_period(find, d, 30, ("code", rare), ("status", "final")) for d in days],
        ),
        Row(
            "code + value-quantity",
            [
                find("Observation", ("code", code(o)), ("value-quantity", f"gt{o['valueQuantity']['value']}"))
                for o in measured
            ],
        ),
        Row(
            "patient + value-quantity, newest first",
            [
                find(
                    "Observation",
                    ("patient", patient_of(o)),
                    ("value-quantity", f"gt{o['valueQuantity']['value']}||{o['valueQuantity']['unit']}"),
                    newest,
                )
                for o in measured
            ],
        ),
        Row("Patient + _revinclude", [referring(1, start) for start in range(len(patients))]),
        Row("10 Patients + _revinclude", [referring(10, start) for start in range(len(patients))]),
        Row(
            "chain patient.family + code",
            [
                find("Observation", ("patient.family", f), ("code", code(o)), page)
                for f, o in zip(families * 9, observations, strict=False)
            ],
        ),
        Row(
            "_has Observation by code",
            [find("Patient", ("_has:Observation:patient:code", code(o)), page) for o in observations],
        ),
        Row(
            "_has Observation by code, and by date",
            [
                find(
                    "Patient",
                    ("_has:Observation:patient:code", code(o)),
                    ("_has:Observation:patient:date", d),
                    page,
                )
                for o, d in zip(observations, days, strict=True)
            ],
            is_aimed=False,
        ),
        Row("name:contains", [find("Patient", ("family:contains", f), page) for f in families[:40]], False),
    ]


def _identifier(patient: Tree) -> str:
    identifier = patient["identifier"][0]
    return f"{identifier['system']}|{identifier['value']}"


def _period(find: Callable[..., Search], day: str, length: int, *others: tuple[str, str]) -> Search:
    end = date.fromisoformat(day) + timedelta(days=length)
    return find(
        "Observation", *others, ("date", f"ge{day}"), ("date", f"lt{end.isoformat()}"), ("_count", "20")
    )


async def _some(store: Store, type_: str) -> list[Tree]:
    """Return records from all over a type, in an order that has nothing to do with where they lie."""
    first = await store.search(ALL, Query(type_, count=1))
    if first.next is None:
        return [json.loads(stored.body) for stored in first.matches]
    number = (await store.facts()).resources[type_]
    found: dict[str, Tree] = {}
    for place in random.Random(1).sample(range(number), min(_SAMPLES, number)):
        after = Position((), first.next.tie + place - 1)
        for stored in (await store.search(ALL, Query(type_, count=1, after=after))).matches:
            found[stored.id] = json.loads(stored.body)
    return list(found.values())
