"""A task has its time and no more; what it does after that, and who else cancels it, is its own affair."""

from __future__ import annotations

import asyncio

import pytest

from fhir_server.rest.deadline import Deadlines


async def _wait(deadlines: Deadlines, seconds: float) -> str:
    with deadlines.limit() as limit:
        await asyncio.sleep(seconds)
    return f"in time {limit.is_over}"


async def test_a_task_that_takes_too_long_is_told_and_goes_on() -> None:
    deadlines = Deadlines(0.02)
    with pytest.raises(TimeoutError):
        await _wait(deadlines, 5)

    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert await _wait(deadlines, 0) == "in time False"


async def test_a_task_that_is_quick_is_never_told() -> None:
    deadlines = Deadlines(0.03)
    for _ in range(5):
        assert await _wait(deadlines, 0.01) == "in time False"


async def test_each_of_many_has_its_own_time() -> None:
    deadlines = Deadlines(0.06)
    slow = asyncio.create_task(_wait(deadlines, 5))
    await asyncio.sleep(0.03)
    later = asyncio.create_task(_wait(deadlines, 0.05))
    last = asyncio.create_task(_wait(deadlines, 5))
    results = await asyncio.gather(slow, later, last, return_exceptions=True)

    assert [type(result) for result in results] == [TimeoutError, str, TimeoutError]
    # When nothing ran for a while, the next one is watched again.
    with pytest.raises(TimeoutError):
        await _wait(deadlines, 5)


async def test_cancelled_by_somebody_else_stays_cancelled() -> None:
    task = asyncio.create_task(_wait(Deadlines(5), 5))
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelled_by_both_stays_cancelled() -> None:
    deadlines = Deadlines(0.01)

    async def stubborn() -> None:
        with deadlines.limit():
            try:
                await asyncio.sleep(5)
            finally:
                task.cancel()  # as a server that stops would, in the same moment

    task = asyncio.create_task(stubborn())
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_another_exception_passes() -> None:
    async def fail() -> None:
        with Deadlines(0.01).limit():
            try:
                await asyncio.sleep(5)
            except asyncio.CancelledError:
                raise ValueError("mine") from None

    with pytest.raises(ValueError, match="mine"):
        await fail()
