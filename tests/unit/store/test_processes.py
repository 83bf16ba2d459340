"""Several processes on one file, and processes that are killed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from fhir_server.search.predicate import TokenIs, Where
from fhir_server.search.query import Query
from tests.contract.store_world import ALL, change, open_sqlite, put

ROOT = Path(__file__).resolve().parents[3]


def start(folder: Path, name: str, clients: int, commits: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.unit.store.worker", str(folder), name, str(clients), str(commits)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def acknowledged(output: str) -> dict[str, float]:
    """Read whole lines only: the last one may have been cut off by the kill."""
    lines = [line.split() for line in output.splitlines(keepends=True) if line.endswith("\n")]
    return {id_: float(seconds) for id_, seconds in lines if id_ != "ready"}


@pytest.mark.xdist_group("processes")
async def test_a_kill_under_load_loses_nothing_acknowledged_nor_leaves_half_a_record(tmp_path: Path) -> None:
    await open_sqlite(tmp_path).close()
    promised: set[str] = set()
    for round_ in range(4):
        process = start(tmp_path, f"r{round_}", clients=8, commits=1_000_000)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready")
        await asyncio.sleep(0.15 + 0.11 * round_)
        process.kill()
        output, _ = process.communicate()
        promised |= set(acknowledged(output))

    store = open_sqlite(tmp_path)
    assert len(promised) > 20
    for id_ in promised:
        assert await store.read(ALL, "Patient", id_)
        assert (await store.search(ALL, Query("Patient", Where("code", TokenIs("s", id_))))).matches
    patients = {stored.id async for stored in store.scan(ALL, "Patient")}
    assert patients == {stored.id async for stored in store.scan(ALL, "Group")}
    assert promised <= patients
    assert await store.check() == []
    await store.close()


@pytest.mark.xdist_group("processes")
async def test_two_processes_take_turns_and_no_commit_waits_a_second(tmp_path: Path) -> None:
    await open_sqlite(tmp_path).close()
    processes = [start(tmp_path, name, clients=8, commits=400) for name in ("a", "b")]

    outputs = [process.communicate(timeout=60)[0] for process in processes]

    waits = [acknowledged(output) for output in outputs]
    assert [process.returncode for process in processes] == [0, 0]
    assert [len(each) for each in waits] == [400, 400]
    assert max(max(each.values()) for each in waits) < 1.0
    store = open_sqlite(tmp_path)
    page = await store.search(ALL, Query("Patient", Where("code", TokenIs("s", "common")), total="accurate"))
    assert page.total == 800
    assert await store.check() == []
    await store.close()


async def test_stores_on_one_file_see_each_others_commits_and_names(tmp_path: Path) -> None:
    first, second = open_sqlite(tmp_path), open_sqlite(tmp_path)

    await put(first, change("Patient", "p1", tokens=[["code", "s", "a"]]))
    await put(second, change("Patient", "p2", tokens=[["code", "s", "a"], ["other", "s", "b"]]))
    await put(first, change("Patient", "p1", 2, tokens=[["other", "s", "b"]]))

    for store in (first, second):
        found = await store.search(ALL, Query("Patient", Where("other", TokenIs("s", "b"))))
        assert [match.id for match in found.matches] == ["p1", "p2"]
        assert await store.check() == []
    await asyncio.gather(first.close(), second.close())
