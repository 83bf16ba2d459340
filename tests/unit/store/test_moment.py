"""A moment: one request asks its store once; the next request, and what is outside any, asks again."""

from __future__ import annotations

import asyncio

from fhir_server.store import moment


def test_what_was_kept_is_there_until_the_moment_is_over() -> None:
    opened = moment.begin()
    moment.keep("stamps", 7)

    assert moment.kept("stamps") == 7
    assert moment.kept("other") is None
    moment.end(opened)
    assert moment.kept("stamps") is None


def test_outside_a_moment_nothing_is_kept() -> None:
    moment.keep("stamps", 7)

    assert moment.kept("stamps") is None


def test_a_moment_within_another_begins_empty_and_ends_alone() -> None:
    outer = moment.begin()
    moment.keep("stamps", 1)
    inner = moment.begin()

    assert moment.kept("stamps") is None
    moment.keep("stamps", 2)
    moment.end(inner)
    assert moment.kept("stamps") == 1
    moment.end(outer)


async def test_tasks_of_one_request_share_its_moment_and_those_of_another_do_not() -> None:
    async def request(number: int) -> list[int | None]:
        opened = moment.begin()
        try:
            moment.keep("stamps", number)
            await asyncio.sleep(0)
            return await asyncio.gather(*(asyncio.create_task(part()) for _ in range(2)))
        finally:
            moment.end(opened)

    async def part() -> int | None:
        await asyncio.sleep(0)
        return moment.kept("stamps")

    assert await asyncio.gather(request(1), request(2)) == [[1, 1], [2, 2]]
