"""The log: durable before it returns, recovered after a crash, each process in a chain of its own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fhir_server.audit import writer
from fhir_server.audit.log import Log
from fhir_server.audit.recorder import Recorder
from fhir_server.audit.segment import Reading, Segment, chain_folders, is_signed, segments
from fhir_server.audit.verify import verify
from fhir_server.audit.writer import Options
from fhir_server.faults import Fault, Kind
from tests.audit.world import keys_in, read, write, written

DIES = """
import asyncio, os, sys
from pathlib import Path
from tests.audit.world import keys_in, read
from fhir_server.audit.log import Log

async def run(folder):
    log = Log.open(folder / "audit", keys_in(folder))
    for number in range(5):
        await log.append([read(number)])
    print("acknowledged", flush=True)
    os.kill(os.getpid(), 9)

asyncio.run(run(Path(sys.argv[1])))
"""


def open_log(folder: Path, **options: object) -> Log:
    return Log.open(folder / "audit", keys_in(folder), Options(**options))  # type: ignore[arg-type]


def die(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DIES, str(folder)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == "acknowledged\n", done.stderr


async def test_what_was_appended_is_there_before_the_log_is_closed(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    await log.append([read(1), read(2)])

    assert written(tmp_path) == [read(1), read(2)]
    await log.close()


async def test_many_at_once_are_all_written_and_share_syncs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs = []
    monkeypatch.setattr(writer.os, "fdatasync", lambda handle: syncs.append(handle) or os.fsync(handle))
    log = open_log(tmp_path)
    await asyncio.gather(*(log.append([read(number)]) for number in range(200)))
    await log.close()

    assert sorted(entry.at for entry in written(tmp_path)) == [read(n).at for n in range(200)]
    assert len(syncs) < 20


@pytest.mark.parametrize("suite", ["standard", "guomi"])
def test_kill_minus_nine_loses_nothing_that_was_acknowledged(tmp_path: Path, suite: str) -> None:
    keys = keys_in(tmp_path, suite)
    die(tmp_path)
    write(tmp_path, [[read(9)]])

    assert written(tmp_path) == [*(read(number) for number in range(5)), read(9)]
    assert verify(tmp_path / "audit", keys, {}).findings == ()


def test_a_segment_that_a_crash_left_open_is_closed_and_signed(tmp_path: Path) -> None:
    keys = keys_in(tmp_path)
    die(tmp_path)
    (folder,) = chain_folders(tmp_path / "audit")
    assert Segment(folder, 1).statement() is None

    write(tmp_path, [])

    statement = Segment(folder, 1).statement()
    assert statement is not None
    assert is_signed(keys, statement)
    assert (statement.count, statement.dropped) == (5, 0)


def test_a_torn_tail_is_set_aside_loudly_and_the_rest_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = keys_in(tmp_path)
    die(tmp_path)
    segment = Segment(chain_folders(tmp_path / "audit")[0], 1)
    reading = Reading.begin(keys, segment.path.read_bytes())
    list(reading.entries())
    with segment.path.open("r+b") as file:
        file.seek(reading.offset)
        file.write(b"\x00\x00\x01\x00half")

    write(tmp_path, [])

    assert written(tmp_path) == [read(number) for number in range(5)]
    assert segment.torn_path.read_bytes() == b"\x00\x00\x01\x00half"
    assert "set aside" in caplog.text
    (finding,) = verify(tmp_path / "audit", keys, {}).findings
    assert "8 unreadable bytes" in finding.words


def test_full_segments_are_closed_and_follow_each_other(tmp_path: Path) -> None:
    keys = keys_in(tmp_path)
    write(tmp_path, [[read(number)] for number in range(12)], segment_bytes=600)
    (folder,) = chain_folders(tmp_path / "audit")

    assert len(segments(folder)) > 3
    assert [entry.at for entry in written(tmp_path)] == [read(number).at for number in range(12)]
    assert verify(tmp_path / "audit", keys, {}).findings == ()


async def test_an_old_segment_is_closed_by_the_next_entry(tmp_path: Path) -> None:
    now = [1000]
    log = open_log(tmp_path, segment_ms=50, clock=lambda: now[0])
    await log.append([read(1)])
    now[0] = 1050
    await log.append([read(2)])
    await log.close()

    assert len(segments(chain_folders(tmp_path / "audit")[0])) == 2


async def test_two_at_once_have_chains_of_their_own_and_the_first_free_one_is_taken_again(
    tmp_path: Path,
) -> None:
    first, second = open_log(tmp_path), open_log(tmp_path)
    assert (first.chain, second.chain) == ("p00", "p01")
    await asyncio.gather(first.append([read(1)]), second.append([read(2)]))
    await first.close()
    third = open_log(tmp_path)

    assert third.chain == "p00"
    await third.close()
    await second.close()
    assert verify(tmp_path / "audit", keys_in(tmp_path), {}).findings == ()


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Make a disk that is full while the list is not empty."""
    full = [True]
    real = os.pwrite

    def refuse(handle: int, data: bytes, offset: int) -> int:
        if full:
            real(handle, bytes(data)[: len(data) // 2], offset)
            raise OSError(28, "No space left on device")
        return real(handle, data, offset)

    monkeypatch.setattr(writer.os, "pwrite", refuse)
    return full


async def test_what_cannot_be_written_is_refused_and_the_log_goes_on_when_it_can(
    tmp_path: Path, full_disk: list[bool], caplog: pytest.LogCaptureFixture
) -> None:
    full_disk.clear()
    log = open_log(tmp_path)
    await log.append([read(1)])
    full_disk.append(True)
    with pytest.raises(Fault) as refused:
        await log.append([read(2)])
    full_disk.clear()
    await log.append([read(3)])
    await log.close()

    assert refused.value.kind is Kind.UNAVAILABLE
    assert written(tmp_path) == [read(1), read(3)]
    assert verify(tmp_path / "audit", keys_in(tmp_path), {}).findings == ()
    assert "could not be written" in caplog.text


async def test_a_recorder_refuses_or_goes_on_as_it_was_told(
    tmp_path: Path, full_disk: list[bool], caplog: pytest.LogCaptureFixture
) -> None:
    log = open_log(tmp_path)
    with pytest.raises(Fault):
        await Recorder(log, "refuse").record([read(1)])
    await Recorder(log, "continue").record([read(1)])
    full_disk.clear()
    await log.close()

    assert "in no audit log" in caplog.text


async def test_a_closed_log_takes_nothing_more(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    await log.close()

    with pytest.raises(Fault):
        await log.append([read(1)])


async def test_who_is_cancelled_takes_nobody_along(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    tasks = [asyncio.create_task(log.append([read(number)])) for number in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    await log.close()

    assert [type(result) for result in results] == [type(None), asyncio.CancelledError, type(None)]
    assert len(written(tmp_path)) == 3


def test_nothing_of_an_entry_can_be_read_from_the_files(tmp_path: Path) -> None:
    write(tmp_path, [[read(1, patient="planted-patient")]])

    for path in (tmp_path / "audit").rglob("*"):
        if path.is_file():
            assert b"planted" not in path.read_bytes()
            assert path.stat().st_mode & 0o077 == 0, path
