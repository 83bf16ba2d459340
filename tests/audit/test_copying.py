"""A copy of the log while it is written: nothing half, nothing lost, nothing that does not belong to it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.audit import copying
from fhir_server.audit.chain import LENGTH
from fhir_server.audit.copying import copy_log

HEADER = b'{"format": 1}\n'
FRAME = LENGTH.pack(20) + b"s" * 20


def chain(log: Path, content: bytes, number: int = 1, name: str = "p00") -> Path:
    folder = log / name
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{number:08d}.seg"
    path.write_bytes(content)
    return path


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "_MOMENT_SECONDS", 0.05)


def test_closed_segments_are_copied_as_they_are_with_their_statements(tmp_path: Path) -> None:
    log, target = tmp_path / "log", tmp_path / "copy"
    for number in (1, 2):
        chain(log, HEADER + FRAME * number, number).with_suffix(".json").write_bytes(b"{}")
    (log / "p00/00000001.torn").write_bytes(b"?")
    (log / "p00/pruned.json").write_bytes(b"{}")
    chain(log, HEADER, name="p01")

    assert copy_log(log, target) == 3

    assert {path.relative_to(target): path.read_bytes() for path in target.rglob("*") if path.is_file()} == {
        path.relative_to(log): path.read_bytes() for path in log.rglob("*") if path.is_file()
    }


def test_locks_and_the_index_stay_behind(tmp_path: Path) -> None:
    log, target = tmp_path / "log", tmp_path / "copy"
    path = chain(log, HEADER)
    (path.parent / "lock").write_bytes(b"")
    (log / "index").mkdir()
    (log / "index/fhir.sqlite").write_bytes(b"x")

    copy_log(log, target)

    assert [path.name for path in target.rglob("*") if path.is_file()] == ["00000001.seg"]


def test_a_log_that_is_not_there_is_no_log(tmp_path: Path) -> None:
    assert copy_log(tmp_path / "log", tmp_path / "copy") == 0


@settings(max_examples=30)
@given(count=st.integers(0, 5), room=st.integers(0, 64))
def test_an_open_segment_ends_after_its_last_entry_without_the_room_behind_it(
    tmp_path_factory: pytest.TempPathFactory, count: int, room: int
) -> None:
    place = tmp_path_factory.mktemp("log")
    chain(place / "log", HEADER + FRAME * count + bytes(room))

    copy_log(place / "log", place / "copy")

    assert (place / "copy/p00/00000001.seg").read_bytes() == HEADER + FRAME * count


def test_an_entry_that_is_being_written_is_left_out_or_whole(tmp_path: Path) -> None:
    path = chain(tmp_path / "log", HEADER + FRAME + bytes(LENGTH.size) + FRAME[LENGTH.size :])

    def write_the_length_last() -> None:
        time.sleep(0.01)
        with path.open("r+b") as file:
            file.seek(len(HEADER + FRAME))
            file.write(FRAME[: LENGTH.size])

    writer = threading.Thread(target=write_the_length_last)
    writer.start()
    copy_log(tmp_path / "log", tmp_path / "copy")
    writer.join()

    assert (tmp_path / "copy/p00/00000001.seg").read_bytes() == HEADER + FRAME * 2


def test_what_a_crash_left_is_kept_for_whoever_looks_into_it(tmp_path: Path) -> None:
    left = HEADER + FRAME + FRAME[:9]
    chain(tmp_path / "log", left)

    copy_log(tmp_path / "log", tmp_path / "copy")

    assert (tmp_path / "copy/p00/00000001.seg").read_bytes() == left


def test_only_its_owner_may_read_a_copy(tmp_path: Path) -> None:
    chain(tmp_path / "log", HEADER)
    chain(tmp_path / "log", HEADER, 2).with_suffix(".json").write_bytes(b"{}")

    copy_log(tmp_path / "log", tmp_path / "copy")

    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "copy/p00").iterdir()}
    assert modes == {0o600}
