"""The log: durable before it returns, recovered after a crash, each process in a chain of its own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fhir_server.audit.log import Log
from fhir_server.audit.segment import is_signed, read_statement
from fhir_server.audit.shelf import Segment, Shelf
from fhir_server.audit.verify import verify
from fhir_server.audit.writer import Options
from fhir_server.faults import Fault
from tests import engines
from tests.audit.world import keys_in, read, shelf_in, write_in, written, written_in

pytestmark = pytest.mark.every_engine

DIES = """
import asyncio, os, sys
from pathlib import Path
from tests.audit.world import keys_in, read, shelf_at
from fhir_server.audit.log import Log

async def run(folder, address):
    log = Log.open(shelf_at(folder, address), keys_in(folder))
    for number in range(5):
        await log.append([read(number)])
    print("acknowledged", flush=True)
    os.kill(os.getpid(), 9)

asyncio.run(run(Path(sys.argv[1]), sys.argv[2]))
"""

OpenLog = Callable[..., Log]


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    with closing(shelf_in(tmp_path)) as made:
        yield made


@pytest.fixture
def open_log(tmp_path: Path, shelf: Shelf) -> OpenLog:
    def opened(**options: object) -> Log:
        return Log.open(shelf, keys_in(tmp_path), Options(**options))  # type: ignore[arg-type]  # any of them

    return opened


def die(folder: Path, shelf: Shelf) -> None:
    """Have a process append five entries and be killed; return when its chain is free."""
    command = [sys.executable, "-c", DIES, str(folder), engines.address(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "acknowledged\n", done.stderr
    while not shelf.is_free("p00"):
        time.sleep(0.02)


async def test_what_was_appended_is_there_before_the_log_is_closed(tmp_path: Path, open_log: OpenLog) -> None:
    log = open_log()
    await log.append([read(1), read(2)])

    assert written(tmp_path) == [read(1), read(2)]
    await log.close()


async def test_many_at_once_are_all_written(tmp_path: Path, open_log: OpenLog) -> None:
    log = open_log()
    await asyncio.gather(*(log.append([read(number)]) for number in range(200)))
    await log.close()

    assert sorted(entry.at for entry in written(tmp_path)) == [read(n).at for n in range(200)]


@pytest.mark.parametrize("suite", ["standard", "guomi"])
def test_kill_minus_nine_loses_nothing_that_was_acknowledged(
    tmp_path: Path, shelf: Shelf, suite: str
) -> None:
    keys = keys_in(tmp_path, suite)
    die(tmp_path, shelf)
    write_in(shelf, keys, [[read(9)]])

    assert written_in(shelf, keys) == [*(read(number) for number in range(5)), read(9)]
    assert verify(shelf, keys).findings == ()


def test_a_segment_that_a_crash_left_open_is_closed_and_signed(tmp_path: Path, shelf: Shelf) -> None:
    keys = keys_in(tmp_path)
    die(tmp_path, shelf)
    assert shelf.chains() == ["p00"]
    assert shelf.statement(Segment("p00", 1)) is None

    write_in(shelf, keys, [])

    statement = read_statement(shelf.statement(Segment("p00", 1)))
    assert statement is not None
    assert is_signed(keys, statement)
    assert (statement.count, statement.dropped) == (5, 0)


def test_full_segments_are_closed_and_follow_each_other(tmp_path: Path, shelf: Shelf) -> None:
    keys = keys_in(tmp_path)
    write_in(shelf, keys, [[read(number)] for number in range(12)], segment_bytes=600)

    assert len(shelf.segments("p00")) > 3
    assert [entry.at for entry in written_in(shelf, keys)] == [read(number).at for number in range(12)]
    assert verify(shelf, keys).findings == ()


async def test_an_old_segment_is_closed_by_the_next_entry(shelf: Shelf, open_log: OpenLog) -> None:
    now = [1000]
    log = open_log(segment_ms=50, clock=lambda: now[0])
    await log.append([read(1)])
    now[0] = 1050
    await log.append([read(2)])
    await log.close()

    assert shelf.segments("p00") == [("p00", 1), ("p00", 2)]


async def test_two_at_once_have_chains_of_their_own_and_the_first_free_one_is_taken_again(
    tmp_path: Path, shelf: Shelf, open_log: OpenLog
) -> None:
    first, second = open_log(), open_log()
    assert (first.chain, second.chain) == ("p00", "p01")
    await asyncio.gather(first.append([read(1)]), second.append([read(2)]))
    await first.close()
    third = open_log()

    assert third.chain == "p00"
    await third.close()
    await second.close()
    assert verify(shelf, keys_in(tmp_path)).findings == ()


async def test_a_closed_log_takes_nothing_more(open_log: OpenLog) -> None:
    log = open_log()
    await log.close()

    with pytest.raises(Fault):
        await log.append([read(1)])


async def test_who_is_cancelled_takes_nobody_along(tmp_path: Path, open_log: OpenLog) -> None:
    log = open_log()
    tasks = [asyncio.create_task(log.append([read(number)])) for number in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    await log.close()

    assert [type(result) for result in results] == [type(None), asyncio.CancelledError, type(None)]
    assert len(written(tmp_path)) == 3
