"""When a group of entries is handed over: half of those who ask, or all of them on a slow disk."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from fhir_server.audit.entry import Entry
from fhir_server.audit.log import Log, Pace
from fhir_server.audit.writer import Writer
from tests.audit.world import files_in, keys_in, read, written_in


def after(*groups: tuple[float, float, int, int]) -> Pace:
    """Return the pace after groups of (seconds to gather, seconds to write, written, waiting by then).

    Those who wait came during the first third of the write.
    """
    pace, now = Pace(), 100.0
    for gathering, writing, count, waiting in groups:
        now += gathering
        pace.came(now)
        pace.begins(now)
        if waiting:
            pace.came(now + writing / 3)
        now += writing
        pace.ended(now, count, waiting)
    return pace


def test_half_of_those_who_ask_are_enough_on_a_quick_disk() -> None:
    assert after((0.002, 0.0002, 31, 1)).enough == 16


def test_a_few_are_never_enough() -> None:
    assert Pace().enough == after((0.0001, 0.0002, 1, 1)).enough == 8


def test_all_who_ask_are_waited_for_while_a_write_takes_longer_than_their_work() -> None:
    split = (0.001, 0.008, 16, 16)
    whole = (0.004, 0.008, 32, 0)

    assert after(split).enough == 32
    assert after(split, whole, whole).enough == 32


def test_two_halves_take_turns_again_when_the_disk_is_quick_again() -> None:
    assert after((0.001, 0.008, 16, 16), (0.004, 0.0002, 32, 0)).enough == 16


def test_a_loop_that_is_busy_while_a_long_write_goes_on_shares_no_group() -> None:
    pace = Pace()
    pace.begins(1.0)
    pace.came(1.006)
    pace.ended(1.008, 16, 16)

    assert pace.enough == 16


def there(folder: Path) -> list[Entry]:
    return written_in(files_in(folder), keys_in(folder))


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many entries each group had."""
    sizes: list[int] = []
    write = Writer.write

    def counted(self: Writer, entries: Sequence[Entry]) -> bool:
        sizes.append(len(entries))
        return write(self, entries)

    monkeypatch.setattr(Writer, "write", counted)
    return sizes


async def test_enough_are_handed_over_while_the_loop_works_on_the_others(
    tmp_path: Path, groups: list[int]
) -> None:
    log = Log.open(files_in(tmp_path), keys_in(tmp_path))
    await asyncio.gather(*(log.append([read(number)]) for number in range(20)))
    await log.close()

    assert groups == [8, 12]
    assert [entry.at for entry in there(tmp_path)] == [read(number).at for number in range(20)]


async def test_fewer_are_handed_over_when_the_loop_has_nothing_else_to_do(
    tmp_path: Path, groups: list[int]
) -> None:
    log = Log.open(files_in(tmp_path), keys_in(tmp_path))
    await asyncio.gather(*(log.append([read(number)]) for number in range(7)))

    assert groups == [7]
    await log.close()


async def test_what_nobody_waits_for_is_written_too(tmp_path: Path, groups: list[int]) -> None:
    log = Log.open(files_in(tmp_path), keys_in(tmp_path))
    log.put([read(1)])
    log.put([read(2)])
    await log.close()

    assert sum(groups) == len(there(tmp_path)) == 2
