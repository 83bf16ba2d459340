"""Jobs: carried out once, given back, taken over, cancelled. The store is a real one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fhir_server.clock import now_ms
from fhir_server.faults import Fault, Kind
from fhir_server.jobs.runner import SILENT_MS, JobRunner, Lost, Task
from fhir_server.store.upkeep import Job, Jobs, JobUnderWay
from tests.contract.store_world import ENGINES, a_store


@pytest.fixture(params=ENGINES)
async def jobs(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Jobs]:
    """Open the jobs of an empty store."""
    async with a_store(request.param, tmp_path) as store:
        yield store.jobs


async def ended(jobs: Jobs, id_: str) -> Job:
    for _ in range(500):
        job = await jobs.get(id_)
        assert job is not None
        if job.is_finished:
            return job
        await asyncio.sleep(0.01)
    raise AssertionError("the job does not end")


async def test_a_job_is_carried_out_with_its_parameters(jobs: Jobs) -> None:
    async def work(task: Task) -> str:
        task.progress["seen"] = task.parameters["wanted"]
        await task.save(at_once=True)
        return "All of it."

    job = await jobs.add("count", {"wanted": 3}, now_ms())
    runner = JobRunner(jobs, {"count": work})

    assert await runner.run_next()
    assert not await runner.run_next()
    done = await ended(jobs, job.id)
    assert (done.state, done.outcome, done.progress) == ("done", "All of it.", {"seen": 3})


async def test_a_job_of_another_kind_is_left_alone(jobs: Jobs) -> None:
    job = await jobs.add("other", {}, now_ms())

    assert not await JobRunner(jobs, {}).run_next()

    left = await jobs.get(job.id)
    assert left is not None
    assert left.state == "queued"


async def test_one_job_of_a_kind_at_a_time(jobs: Jobs) -> None:
    first = await jobs.add("count", {}, now_ms())

    with pytest.raises(JobUnderWay) as caught:
        await jobs.add("count", {}, now_ms())

    assert caught.value.id == first.id
    assert (await jobs.add("other", {}, now_ms())).id != first.id


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (Fault(Kind.CONFLICT, "Two of them."), "Two of them."),
        (RuntimeError("张三"), "The job failed unexpectedly; the server's log says why."),
    ],
)
async def test_a_failure_is_told_without_what_is_in_an_unforeseen_error(
    jobs: Jobs, error: Exception, words: str
) -> None:
    async def work(_: Task) -> str:
        raise error

    job = await jobs.add("count", {}, now_ms())
    await JobRunner(jobs, {"count": work}).run_next()

    failed = await ended(jobs, job.id)
    assert (failed.state, failed.outcome) == ("failed", words)


async def test_a_store_that_is_away_for_a_moment_fails_no_job(jobs: Jobs) -> None:
    tried: list[int] = []

    async def work(_: Task) -> str:
        tried.append(1)
        if len(tried) == 1:
            raise Fault(Kind.UNAVAILABLE, "Locked.")
        return "Done."

    job = await jobs.add("count", {}, now_ms())
    runner = JobRunner(jobs, {"count": work})
    with pytest.raises(Fault):
        await runner.run_next()
    taken = await jobs.claim("next", frozenset({"count"}), now_ms(), now_ms() + 1)

    assert taken is not None
    assert taken.id == job.id


async def test_a_stopped_process_gives_its_job_back_with_its_progress(jobs: Jobs) -> None:
    begun = asyncio.Event()

    async def work(task: Task) -> str:
        if task.progress.get("half"):
            return "The other half."
        task.progress["half"] = True
        await task.save(at_once=True)
        begun.set()
        await asyncio.sleep(60)
        return "Never."

    job = await jobs.add("count", {}, now_ms())
    first = JobRunner(jobs, {"count": work})
    first.start()
    await asyncio.wait_for(begun.wait(), 5)
    await first.close()

    second = JobRunner(jobs, {"count": work})
    assert await second.run_next()
    assert (await ended(jobs, job.id)).outcome == "The other half."


async def test_a_silent_owner_loses_its_job_and_hears_of_it(jobs: Jobs) -> None:
    job = await jobs.add("count", {}, now_ms())
    now = now_ms()
    mine = await jobs.claim("first", frozenset({"count"}), now, now - SILENT_MS)
    assert mine is not None

    assert await jobs.claim("second", frozenset({"count"}), now, now - SILENT_MS) is None
    later = now + SILENT_MS + 1
    theirs = await jobs.claim("second", frozenset({"count"}), later, later - SILENT_MS)

    assert theirs is not None
    assert theirs.id == job.id
    with pytest.raises(Lost):
        await Task(mine, jobs, "first").save(at_once=True)
    await jobs.finish(job.id, "first", "done", "Mine!", later)
    left = await jobs.get(job.id)
    assert left is not None
    assert (left.state, left.owner) == ("running", "second")


async def test_a_running_job_is_cancelled_at_its_next_step(jobs: Jobs) -> None:
    begun = asyncio.Event()

    async def work(task: Task) -> str:
        while True:
            begun.set()
            await task.save(at_once=True)
            await asyncio.sleep(0.01)

    job = await jobs.add("count", {}, now_ms())
    runner = JobRunner(jobs, {"count": work})
    runner.start()
    await asyncio.wait_for(begun.wait(), 5)

    await jobs.cancel(job.id, now_ms())

    assert (await ended(jobs, job.id)).state == "cancelled"
    await runner.close()


async def test_a_queued_job_is_cancelled_at_once_and_an_unknown_one_is_none(jobs: Jobs) -> None:
    job = await jobs.add("count", {}, now_ms())

    cancelled = await jobs.cancel(job.id, now_ms())

    assert cancelled is not None
    assert cancelled.state == "cancelled"
    assert await jobs.cancel("unknown", now_ms()) is None
    assert await jobs.get("unknown") is None


async def test_finished_jobs_are_forgotten_in_the_end(jobs: Jobs) -> None:
    first = await jobs.add("count", {}, 0)
    await jobs.cancel(first.id, 0)
    for number in range(1, 102):
        job = await jobs.add("count", {}, number)
        await jobs.cancel(job.id, number)

    assert await jobs.get(first.id) is None
    assert await jobs.get(job.id) is not None
