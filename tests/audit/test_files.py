"""The log in files: shared syncs, a full disk, what a crash left torn, nothing readable in any file."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from fhir_server.audit import files
from fhir_server.audit.log import Log
from fhir_server.audit.recorder import Recorder
from fhir_server.audit.segment import Reading
from fhir_server.audit.shelf import Segment
from fhir_server.audit.verify import verify
from fhir_server.faults import Fault, Kind
from tests.audit.hands import FileHands, content
from tests.audit.world import files_in, keys_in, read, write_in, written_in

FIRST = Segment("p00", 1)


async def test_many_at_once_share_syncs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs = []
    monkeypatch.setattr(files.os, "fdatasync", lambda handle: syncs.append(handle) or os.fsync(handle))
    log = Log.open(files_in(tmp_path), keys_in(tmp_path))
    await asyncio.gather(*(log.append([read(number)]) for number in range(200)))
    await log.close()

    assert len(written_in(files_in(tmp_path), keys_in(tmp_path))) == 200
    assert len(syncs) < 20


def test_a_torn_tail_is_set_aside_loudly_and_the_rest_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shelf, keys = files_in(tmp_path), keys_in(tmp_path)
    write_in(shelf, keys, [[read(number)] for number in range(5)])
    FileHands(shelf, tmp_path / "audit").set_statement(FIRST, None)
    with shelf.path(FIRST).open("ab") as file:
        file.write(b"\x00\x00\x01\x00half" + bytes(100))

    write_in(shelf, keys, [])

    assert written_in(shelf, keys) == [read(number) for number in range(5)]
    assert shelf.torn_path(FIRST).read_bytes() == b"\x00\x00\x01\x00half"
    assert "set aside" in caplog.text
    (finding,) = verify(shelf, keys).findings
    assert "8 unreadable bytes; look at 00000001.torn" in finding.words


def test_the_room_behind_the_entries_is_cut_when_a_segment_is_closed(tmp_path: Path) -> None:
    shelf, keys = files_in(tmp_path), keys_in(tmp_path)
    write_in(shelf, keys, [[read(1)]])
    reading = Reading.begin(keys, content(shelf, FIRST))
    list(reading.entries())

    assert reading.offset == shelf.path(FIRST).stat().st_size


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

    monkeypatch.setattr(files.os, "pwrite", refuse)
    return full


async def test_what_cannot_be_written_is_refused_and_the_log_goes_on_when_it_can(
    tmp_path: Path, full_disk: list[bool], caplog: pytest.LogCaptureFixture
) -> None:
    full_disk.clear()
    shelf, keys = files_in(tmp_path), keys_in(tmp_path)
    log = Log.open(shelf, keys)
    await log.append([read(1)])
    full_disk.append(True)
    with pytest.raises(Fault) as refused:
        await log.append([read(2)])
    full_disk.clear()
    await log.append([read(3)])
    await log.close()

    assert refused.value.kind is Kind.UNAVAILABLE
    assert written_in(shelf, keys) == [read(1), read(3)]
    assert verify(shelf, keys).findings == ()
    assert "could not be written" in caplog.text


async def test_a_recorder_refuses_or_goes_on_as_it_was_told(
    tmp_path: Path, full_disk: list[bool], caplog: pytest.LogCaptureFixture
) -> None:
    log = Log.open(files_in(tmp_path), keys_in(tmp_path))
    with pytest.raises(Fault):
        await Recorder(log, "refuse").record([read(1)])
    await Recorder(log, "continue").record([read(1)])
    full_disk.clear()
    await log.close()

    assert "in no audit log" in caplog.text


def test_nothing_of_an_entry_can_be_read_from_the_files(tmp_path: Path) -> None:
    write_in(files_in(tmp_path), keys_in(tmp_path), [[read(1, patient="planted-patient")]])

    for path in (tmp_path / "audit").rglob("*"):
        if path.is_file():
            assert b"planted" not in path.read_bytes()
            assert path.stat().st_mode & 0o077 == 0, path
