"""What consent costs: the same reads and searches with and without it, and a filing, in process and in turns.

``python -m tests.bench.consent --patients 100000`` measures a large store by itself. An organisation asks by
an agreement for the records of another one; a fifth of the patients have said something, in fifty ways. Times
are of the processor, so that what else the machine does counts little.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from fhir_server.access.actor import Actor
from fhir_server.access.agreements import Agreement, contract
from fhir_server.access.decider import Decider
from fhir_server.access.scopes import understand
from fhir_server.access.standing import Standing
from fhir_server.app import open_service
from fhir_server.clock import instant, now_ms
from fhir_server.config import Settings
from fhir_server.consent.combine import slices, spoken
from fhir_server.consent.source import directive
from fhir_server.crypto.keys import KeyRing
from fhir_server.interactions.context import Services
from fhir_server.interactions.deciding import note
from fhir_server.interactions.request import Request
from fhir_server.interactions.runner import Runner
from fhir_server.resources.codec import encode, with_meta
from fhir_server.store.api import Change, Reclass
from tests.bench import report
from tests.bench.figures import Aim, Figure, median

Tree = dict[str, Any]
Say = Callable[[str], None]

PATIENTS: Final = 3_000
"""Patients of ``make bench``; the aim for populations speaks of 100,000."""
OBSERVATIONS: Final = 3
RECORDS: Final = 5_000
"""Records of the patient whose Consent is filed and withdrawn again and again."""
CLASSES: Final = 50
_SHARE: Final = 5
"""Every so many-th patient has said something."""
_CODES: Final = ("8867-4", "8480-6", "2339-0", "718-7", "4548-4")
_BATCH: Final = 500
_READ = Aim(at_most=14.5)
"""15 % of what a read with a token costs the processor, HTTP included: 97 µs."""
_SINGLE, _MANY = Aim(at_most=1.15), Aim(at_most=1.30)
_FILING = Aim(at_most=20)
_ACT_CODE: Final = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
_PARTICIPATION: Final = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
_REASON: Final = "http://terminology.hl7.org/CodeSystem/v3-ActReason"


class Unasked(Decider):
    """Decides as if consent were never asked: what consent costs is measured against it."""

    async def _standing_of(self, actor: Actor) -> Standing | None:
        del actor
        return None


def measure(folder: Path, patients: int, rounds: int, say: Say) -> list[Figure]:
    """Fill a store in ``folder`` and return what consent costs there."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    KeyRing.create(folder / "keys", "standard")
    return asyncio.run(_measure(folder, patients, rounds, say))


async def _measure(folder: Path, patients: int, rounds: int, say: Say) -> list[Figure]:
    async with _opened(folder) as (services, runner):
        say(f"storing {patients:,} patients, a fifth of them with consents in {CLASSES} classes")
        await _fill(services, patients)
        say("measuring what consent costs")
        asked = _actor()
        unasked = Runner(services)
        unasked._decider = Unasked(services.store, services.settings.zone)
        figures = []
        for name, aim, requests in _questions(patients):
            without, with_ = await _times(unasked, runner, asked, requests, rounds)
            if name == "reads":
                more = (with_ - without) / len(requests) * 1e6
                figures.append(Figure("consent: what it adds to a read", more, "µs CPU", aim=_READ))
            else:
                figures.append(Figure(f"consent: {name}, with / without", with_ / without, "times", aim=aim))
        for name, patient in ((f"a patient with {RECORDS:,} records", "large"), ("one with 3 records", "p0")):
            filed = await _filing(runner, patient, 10 * rounds)
            figures.append(Figure(f"consent: filing or withdrawing, {name}", filed, "ms", aim=_FILING))
        plain = await _filing(runner, "p0", 10 * rounds, type_="Basic")
        figures.append(Figure("consent: a plain durable write beside it", plain, "ms"))
        return figures


@asynccontextmanager
async def _opened(folder: Path) -> AsyncIterator[tuple[Services, Runner]]:
    settings = Settings.model_validate(
        {"data": folder, "audit": False, "insecure_no_auth": True, "base_url": "", "search_seconds": 60}
    )
    service = await open_service(settings)
    try:
        runner: Runner = service.run.__self__  # type: ignore[attr-defined]  # the one door of the service
        yield runner.services, runner
    finally:
        await service.close()


def _actor() -> Actor:
    return Actor(
        "bench",
        organization="Organization/b",
        rights=understand("system/*.rs"),
        purposes=frozenset({"TREAT"}),
        purpose="TREAT",
    )


async def _fill(services: Services, patients: int) -> None:
    """Store the organisations with their agreement, the patients, and what a fifth of them have said."""
    batch: list[Tree] = []
    reclasses: list[Reclass] = []
    for tree in _population(patients):
        batch.append(tree)
        if tree["resourceType"] == "Consent":
            read = directive(tree, services.settings.zone)
            found = [read] if read is not None else []
            patient = tree["patient"]["reference"].partition("/")[2]
            reclasses.append(Reclass(patient, 0, spoken(slices(found)), note(found)))
        if len(batch) >= _BATCH:
            await _store(services, batch, reclasses)
            batch, reclasses = [], []
    await _store(services, batch, reclasses)


async def _store(services: Services, trees: list[Tree], reclasses: list[Reclass]) -> None:
    now = now_ms()
    prepared = []
    for tree in trees:
        whole = with_meta(tree, tree["id"], 1, instant(now))
        values = services.extractor.extract(whole)
        change = Change(tree["resourceType"], tree["id"], 1, now, "PUT", encode(whole), values)
        prepared.append(services.store.prepare(change))
    await services.store.commit(prepared, (), reclasses)


def _population(patients: int) -> Iterator[Tree]:
    chance = random.Random(1)
    sharing = Agreement(
        "sharing",
        "Organization/b",
        ("Organization/a",),
        frozenset({"Patient", "Observation", "Encounter", "Condition"}),
        frozenset({"TREAT"}),
        0,
        0,
        "executed",
        is_signed=True,
    )
    yield from ({"resourceType": "Organization", "id": id_, "name": id_} for id_ in ("a", "b"))
    signature = {
        "type": [{"system": "urn:iso-astm:E1762-95:2013", "code": "1.2.840.10065.1.12.1.1"}],
        "when": "2026-01-01T00:00:00Z",
        "who": {"reference": "Organization/b"},
    }
    yield contract(sharing, signature)
    for n in range(patients):
        yield _patient(f"p{n}", n)
        yield from (_observation(f"p{n}-{k}", f"p{n}", chance) for k in range(OBSERVATIONS))
        if n % _SHARE == 0:
            yield _consent(f"p{n}", n // _SHARE % CLASSES)
    yield _patient("large", patients)
    yield from (_observation(f"large-{n}", "large", chance) for n in range(RECORDS))


def _patient(id_: str, number: int) -> Tree:
    return {
        "resourceType": "Patient",
        "id": id_,
        "name": [{"family": f"Family{number % 997}", "given": ["Ada"]}],
        "gender": "female" if number % 2 else "male",
        "managingOrganization": {"reference": "Organization/a"},
    }


def _observation(id_: str, patient: str, chance: random.Random) -> Tree:
    is_sensitive = chance.random() < 0.1
    security = {"meta": {"security": [{"system": _ACT_CODE, "code": "PSY"}]}} if is_sensitive else {}
    return {
        "resourceType": "Observation",
        "id": id_,
        **security,
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": chance.choice(_CODES)}]},
        "subject": {"reference": f"Patient/{patient}"},
        "effectiveDateTime": f"202{chance.randrange(6)}-{chance.randrange(1, 13):02}-01",
    }


def _consent(patient: str, kind: int) -> Tree:
    """Return one of fifty wishes: against the asker or another, all or what is sensitive, for any purpose."""
    role = {
        "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]
    }
    organizations = [f"Organization/{'b' if kind % 2 else 'c'}", f"Organization/other-{kind}"]
    root: Tree = {
        "type": "deny",
        "actor": [{"role": role, "reference": {"reference": each}} for each in organizations],
    }
    if kind % 3:
        root["securityLabel"] = [{"system": _ACT_CODE, "code": "PSY"}]
    if kind % 5 == 0:
        root["purpose"] = [{"system": _REASON, "code": "HRESCH"}]
    scope = {"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}
    return {
        "resourceType": "Consent",
        "id": f"consent-{patient}",
        "status": "active",
        "scope": {"coding": [scope]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": f"Patient/{patient}"},
        "dateTime": "2026-01-01",
        "policy": [{"uri": "urn:bench"}],
        "provision": root,
    }


def _questions(patients: int) -> Iterator[tuple[str, Aim, list[Request]]]:
    chance = random.Random(2)
    # None of those who have said something: a record that is refused is another question.
    chosen = [f"p{chance.randrange(patients) // _SHARE * _SHARE + 1}" for _ in range(50)]
    reads = [_request("read", "Observation", id_=f"{each}-0") for each in chosen]
    yield "reads", _SINGLE, reads
    single = [_search(("patient", each), ("_sort", "-date"), ("_count", "20")) for each in chosen]
    yield "a patient's observations", _SINGLE, single
    newest = [_search(("patient", "large"), ("_sort", "-date"), ("_count", "20"))]
    yield f"the newest 20 of {RECORDS:,} observations", _SINGLE, newest
    code, dated = ("code", _CODES[0]), ("date", "ge2025-07")
    yield "a page by code", _MANY, [_search(code, ("_count", "20"))]
    yield "a page by code and date, with total", _MANY, [_search(code, dated, ("_total", "accurate"))]
    name = ("family", "Family12")
    yield "patients by name, with total", _MANY, [_search(name, ("_total", "accurate"), type_="Patient")]
    yield "total of a code", _MANY, [_search(code, ("_summary", "count"))]


def _search(*parameters: tuple[str, str], type_: str = "Observation") -> Request:
    return _request("search-type", type_, parameters=parameters)


def _request(name: str, type_: str, id_: str | None = None, **more: Any) -> Request:
    return Request(name, method="GET", type=type_, id=id_, base="http://localhost/fhir", **more)


async def _times(
    unasked: Runner, asked: Runner, actor: Actor, requests: list[Request], rounds: int
) -> tuple[float, float]:
    """Return the processor seconds of all ``requests`` without and with consent, of a middling round."""
    own = [replace(request, actor=actor) for request in requests]
    pairs = []
    for turn in range(rounds * 3 + 1):
        without, with_ = [await _time(runner, own) for runner in (unasked, asked)]
        if turn:  # the first turn compiles
            pairs.append((with_ / without, without, with_))
    pairs.sort()
    return pairs[len(pairs) // 2][1:]


async def _time(runner: Runner, requests: list[Request]) -> float:
    began, turns = time.process_time(), 0
    while turns == 0 or time.process_time() - began < 0.05:
        for request in requests:
            await runner.run(request)
        turns += 1
    return (time.process_time() - began) / turns


async def _filing(runner: Runner, patient: str, times: int, type_: str = "Consent") -> float:
    """Return the milliseconds, by the clock, of a filing or a withdrawal: median; the disk's part is in it.

    ``type_`` Basic: of a record that decides nothing, which tells the disk's part.
    """
    filed = {**_consent(patient, 1), "id": f"filed-{patient}"}
    plain = {"resourceType": "Basic", "id": f"filed-{patient}", "code": {"text": "active"}}
    taken = []
    for turn in range(times):
        status = "inactive" if turn % 2 else "active"
        body = {**plain, "code": {"text": status}} if type_ == "Basic" else {**filed, "status": status}
        request = _request("update", type_, id_=body["id"], body=body)
        began = time.perf_counter()
        await runner.run(request)
        taken.append((time.perf_counter() - began) * 1000)
    return median(taken)


def main(words: list[str] | None = None) -> int:
    """Measure one store by itself and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.consent", description=__doc__)
    parser.add_argument("--patients", type=int, default=PATIENTS, help="how many patients the store holds")
    parser.add_argument("--rounds", type=int, default=3, help="rounds; the median counts")
    chosen = parser.parse_args(words)
    console = Console(width=150 if not sys.stdout.isatty() else None)
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder) / "data", chosen.patients, chosen.rounds, console.print)
    console.print(report.table(f"{chosen.patients:,} patients", figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
