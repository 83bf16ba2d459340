"""Commits of several processes on one MongoDB database: no lost write, no duplicate, no write skew."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from fhir_server.faults import Fault, Kind
from fhir_server.search.predicate import EVERYTHING, TokenIs, Where
from fhir_server.search.query import Query
from fhir_server.store.api import Change, Expectation, Stale, StillReferenced, Unreferenced
from fhir_server.store.mongo.groups import AT_ONCE, GROUP
from fhir_server.store.mongo.places import SEVERAL
from tests.contract.store_world import ALL, a_store, change, open_mongo, put
from tests.mongo import engine
from tests.mongo.commands import noted

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 5

RACE = """
import asyncio, sys
from pathlib import Path
from fhir_server.search.predicate import TokenIs, Where
from fhir_server.store.api import Expectation, Stale
from tests.contract.store_world import ALL, change, open_mongo

async def main(folder, name, number):
    store = await open_mongo(Path(folder))
    print("ready", flush=True)
    sys.stdin.readline()
    won = 0
    for n in range(int(number)):
        identifier = ["identifier", "urn:mrn", str(n)]
        nobody = Expectation("Patient", Where("identifier", TokenIs("urn:mrn", str(n))), ALL, ())
        try:
            made = store.prepare(change("Patient", f"{name}{n}", tokens=[identifier]))
            await store.commit([made], [nobody])
        except Stale:
            continue
        won += 1
    await store.close()
    print(won, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Any, Any]]:
    """Two stores on one database, as two processes have them."""
    async with a_store("mongodb-standard", tmp_path) as one:
        other = await open_mongo(tmp_path)
        yield one, other
        await other.close()


async def outcomes(*commits: Any) -> list[Any]:
    return await asyncio.gather(*commits, return_exceptions=True)


def won(results: Sequence[Any]) -> int:
    """Count the commits that went through; the others must have been refused as stale."""
    assert all(result is None or isinstance(result, (Stale, StillReferenced)) for result in results), results
    return sum(result is None for result in results)


async def total(store: Any, type_: str, where: Any = EVERYTHING) -> int:
    page = await store.search(ALL, Query(type_, where, count=100, total="accurate"))
    assert page.total == len(page.matches)
    return int(page.total)


def nobody(type_: str, param: str, code: str) -> Expectation:
    return Expectation(type_, Where(param, TokenIs("s", code)), ALL, ())


def committing(store: Any, changes: Sequence[Change], *conditions: Any) -> Any:
    return store.commit([store.prepare(each) for each in changes], conditions)


async def test_of_two_updates_of_one_version_one_is_stale(pair: tuple[Any, Any]) -> None:
    await put(pair[0], change("Patient", "p"))

    for version in range(2, 2 + ROUNDS):
        tries = [put(store, change("Patient", "p", version, text=str(n))) for n, store in enumerate(pair)]
        assert won(await outcomes(*tries)) == 1

    history = [await pair[0].read_version(ALL, "Patient", "p", n) for n in range(1, 2 + ROUNDS)]
    assert [each.version for each in history] == list(range(1, 2 + ROUNDS))


async def test_of_two_creates_of_one_id_one_is_stale(pair: tuple[Any, Any]) -> None:
    for number in range(ROUNDS):
        tries = [
            put(store, change("Patient", f"p{number}", patients=[patient]))
            for store, patient in zip(pair, ("a", "b"), strict=True)
        ]
        assert won(await outcomes(*tries)) == 1

    assert await total(pair[0], "Patient") == ROUNDS


@pytest.mark.parametrize("param", ["identifier", "code"])
async def test_of_two_conditional_creates_one_wins(pair: tuple[Any, Any], param: str) -> None:
    for number in range(ROUNDS):
        tries = [
            committing(
                store,
                [change("Patient", f"{place}-{number}", tokens=[[param, "s", str(number)]])],
                nobody("Patient", param, str(number)),
            )
            for place, store in enumerate(pair)
        ]
        assert won(await outcomes(*tries)) == 1

    assert await total(pair[0], "Patient") == ROUNDS


async def test_conditional_creates_of_different_identifiers_all_win(pair: tuple[Any, Any]) -> None:
    tries = [
        committing(
            store,
            [change("Patient", f"{place}-{number}", tokens=[["identifier", "s", f"{place}-{number}"]])],
            nobody("Patient", "identifier", f"{place}-{number}"),
        )
        for place, store in enumerate(pair)
        for number in range(ROUNDS)
    ]

    assert won(await outcomes(*tries)) == 2 * ROUNDS
    assert await total(pair[0], "Patient") == 2 * ROUNDS


@pytest.mark.parametrize(("first", "second"), [("identifier", "identifier"), ("identifier", "code")])
async def test_two_commits_are_not_blind_to_what_the_other_writes(
    pair: tuple[Any, Any], first: str, second: str
) -> None:
    """Each expects that there is none of what the other one makes: only one order of the two is possible."""
    for number in range(ROUNDS):
        code = str(number)
        tries = [
            committing(
                pair[0],
                [change("Patient", f"p{code}", tokens=[[first, "s", code]])],
                nobody("Group", second, code),
            ),
            committing(
                pair[1],
                [change("Group", f"g{code}", tokens=[[second, "s", code]])],
                nobody("Patient", first, code),
            ),
        ]
        assert won(await outcomes(*tries)) == 1

    assert await total(pair[0], "Patient") + await total(pair[0], "Group") == ROUNDS


async def test_a_commit_that_expects_a_resource_does_not_outlive_its_deletion(pair: tuple[Any, Any]) -> None:
    for number in range(ROUNDS):
        id_, code = f"p{number}", str(number)
        await put(pair[0], change("Patient", id_, tokens=[["identifier", "s", code]]))
        there = Expectation("Patient", Where("identifier", TokenIs("s", code)), ALL, (id_,))
        tries = [
            committing(
                pair[0],
                [change("Observation", f"o{number}", references=[["subject", f"Patient/{id_}"]])],
                there,
            ),
            committing(pair[1], [change("Patient", id_, 2, "DELETE")], Unreferenced("Patient", id_)),
        ]
        assert won(await outcomes(*tries)) == 1

    assert await total(pair[0], "Observation") == await total(pair[0], "Patient")


async def test_a_reference_made_before_keeps_its_target(pair: tuple[Any, Any]) -> None:
    await put(pair[0], change("Patient", "p"), change("Patient", "q"))
    await put(pair[1], change("Observation", "o", references=[["subject", "Patient/q"]]))
    both = [change("Patient", "p", 2, "DELETE"), change("Patient", "q", 2, "DELETE")]

    with pytest.raises(StillReferenced) as still:
        await committing(pair[0], both, Unreferenced("Patient", "p"), Unreferenced("Patient", "q"))

    assert (still.value.target, still.value.referrer) == ("Patient/q", "Observation/o")
    assert await total(pair[0], "Patient") == 2


async def test_two_processes_create_each_patient_once(tmp_path: Path) -> None:
    async with a_store("mongodb-standard", tmp_path) as store:
        command = [sys.executable, "-c", RACE, str(tmp_path)]
        pipe = asyncio.subprocess.PIPE
        racers = [
            await asyncio.create_subprocess_exec(
                *(*command, name, "12"),
                cwd=ROOT,
                env={**os.environ, "MONGODB_URI": engine.address("")},
                stdin=pipe,
                stdout=pipe,
            )
            for name in ("one", "two")
        ]
        for racer in racers:
            assert racer.stdout is not None
            assert await racer.stdout.readline() == b"ready\n"
        told = await asyncio.gather(*(racer.communicate(b"\n") for racer in racers))

        assert sum(int(output) for output, _ in told) == 12
        assert await total(store, "Patient") == 12


async def test_a_record_goes_with_its_patient(pair: tuple[Any, Any]) -> None:
    """What it is about decides where it lies; its earlier versions stay where they were."""
    store, other = pair
    patient = [store._tools.blind.target(f"Patient/{id_}") for id_ in ("a", "b")]
    own = store._tools.blind.target("Observation/o")
    db = store._tools.engine.db
    for version, (patients, lies) in enumerate(
        [(["a"], patient[0]), (["b"], patient[1]), (["a", "b"], SEVERAL), (["b"], patient[1])], 1
    ):
        await put(store, change("Observation", "o", version, patients=patients))
        assert (await db.resource.find_one({"_id": own}))["c"] == lies
        assert (await db.identity.find_one({"_id": own}))["c"] == lies

    await put(other, change("Observation", "o", 5, "DELETE"))

    assert (await db.resource.find_one({"_id": own}))["c"] == patient[1]
    kept = await db.history.find({"h": own}, sort=[("v", 1)]).to_list()
    assert [each["c"] for each in kept] == [patient[0], patient[1], SEVERAL, patient[1]]
    assert [each["until"] for each in kept] == [2_000, 3_000, 4_000, 5_000]


async def test_what_waits_is_written_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_store("mongodb-standard", tmp_path) as store:
        await put(store, change("Patient", "first"))
        sizes = []
        transaction = store._writer._transaction

        async def counted(commits: Sequence[Any]) -> Any:
            sizes.append(len(commits))
            return await transaction(commits)

        monkeypatch.setattr(store._writer, "_transaction", counted)
        await asyncio.gather(*(put(store, change("Patient", f"p{n}")) for n in range(AT_ONCE + 2 * GROUP)))

        assert sizes == [*[1] * AT_ONCE, GROUP, GROUP]
        assert await total(store, "Patient") == AT_ONCE + 2 * GROUP + 1


async def test_versions_that_follow_each_other_are_written_together(tmp_path: Path) -> None:
    """Each is checked against the one before it, in the order in which they came."""
    async with a_store("mongodb-standard", tmp_path) as store:
        await put(store, *(change("Patient", f"busy{n}") for n in range(AT_ONCE)))
        hold = [put(store, change("Patient", f"busy{n}", 2)) for n in range(AT_ONCE)]
        follow = [put(store, change("Patient", "p", version, text=str(version))) for version in range(1, 6)]

        assert won(await outcomes(*hold, *follow, put(store, change("Patient", "p", 5)))) == AT_ONCE + 5

        assert (await store.read(ALL, "Patient", "p")).version == 5
        for version in range(1, 6):
            stored = await store.read_version(ALL, "Patient", "p", version)
            assert (stored.version, stored.updated) == (version, 1_000 * version)


async def test_a_commit_that_cannot_be_written_spoils_none_of_its_neighbours(tmp_path: Path) -> None:
    async with a_store("mongodb-standard", tmp_path) as store:
        spoilt = store.prepare(change("Patient", "spoilt"))
        # A key of a document must be a text: the driver refuses it, after the commit has passed its checks.
        spoilt.fields[5] = 5
        tries = [put(store, change("Patient", f"p{n}")) for n in range(AT_ONCE + 4)]

        *good, bad = await outcomes(*tries, store.commit([spoilt]))

        assert won(good) == AT_ONCE + 4
        assert isinstance(bad, Exception)
        assert not isinstance(bad, Stale)
        assert await total(store, "Patient") == AT_ONCE + 4


async def test_who_is_cancelled_while_he_waits_stops_nobody(tmp_path: Path) -> None:
    async with a_store("mongodb-standard", tmp_path) as store:
        tasks = [asyncio.create_task(put(store, change("Patient", f"p{n}"))) for n in range(AT_ONCE + 6)]
        await asyncio.sleep(0)
        tasks[-2].cancel()

        results = await outcomes(*tasks)

        assert isinstance(results[-2], asyncio.CancelledError)
        assert won([*results[:-2], results[-1]]) == AT_ONCE + 5


async def test_closing_waits_for_what_was_accepted(tmp_path: Path) -> None:
    async with a_store("mongodb-standard", tmp_path) as store:
        other = await open_mongo(tmp_path)
        tasks = [asyncio.create_task(put(other, change("Patient", f"p{n}"))) for n in range(AT_ONCE + 6)]
        await asyncio.sleep(0)
        await other.close()

        assert won(await outcomes(*tasks)) == AT_ONCE + 6
        with pytest.raises(Fault) as fault:
            await put(other, change("Patient", "late"))
        assert fault.value.kind is Kind.UNAVAILABLE
        assert await total(store, "Patient") == AT_ONCE + 6


async def test_a_bundle_is_five_round_trips_whatever_its_size(tmp_path: Path) -> None:
    with noted() as names:
        async with a_store("mongodb-standard", tmp_path) as store:
            await put(store, change("Patient", "first"))
            names.clear()
            await put(store, *(change("Observation", f"o{n}", patients=["p"]) for n in range(50)))
            created = names.copy()
            names.clear()
            await put(store, *(change("Observation", f"o{n}", 2, patients=["p"]) for n in range(50)))
            updated = names.copy()

    assert created == ["findAndModify", "find", "insert", "insert", "commitTransaction"]
    assert updated == ["findAndModify", "find", "update", "insert", "commitTransaction"]
