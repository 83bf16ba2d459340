"""Whoever reads a segment while a process writes to it sees whole groups, and takes no race for damage."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from fhir_server.audit.coding import Origin
from fhir_server.audit.index import _PATIENCE, Indexer, _read
from fhir_server.audit.segment import Reading
from fhir_server.audit.shelf import Shelf
from fhir_server.audit.verify import verify
from fhir_server.audit.writer import Options, Writer
from fhir_server.search.extract import Extractor
from fhir_server.search.parameters import CLINICAL_DATE
from fhir_server.store.sqlite.store import SqliteStore
from fhir_server.stores import judge
from tests.audit.hands import Hands, content, hands_on
from tests.audit.world import files_in, keys_in, newest, read, shelf_in, write

pytestmark = pytest.mark.every_engine


def seen(folder: Path) -> int:
    """Read the newest segment as the indexer does; return how many entries it shows."""
    shelf = files_in(folder)
    found = _read(shelf, keys_in(folder), newest(shelf), None)
    assert found is not None
    return len(list(found[0].entries_so_far()))


@pytest.mark.parametrize("piece", [4, 7, 100])
def test_a_group_is_seen_whole_or_not_at_all_while_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    """The system may show the first pages of a write long before the last: here, piece by piece."""
    whole = os.pwrite
    shown: list[int] = []

    def slowly(handle: int, data: Any, offset: int) -> int:
        done = whole(handle, bytes(data)[:piece], offset)
        shown.append(seen(tmp_path))
        return done

    shelf = files_in(tmp_path)
    writer = Writer.open(shelf, keys_in(tmp_path), Options())
    assert writer.write([read(1)])
    monkeypatch.setattr(os, "pwrite", slowly)
    assert writer.write([read(2), read(3), read(4)])
    monkeypatch.setattr(os, "pwrite", whole)
    writer.close()

    assert len(shown) > 3
    assert set(shown[:-1]) == {1}
    assert shown[-1] == 4
    assert verify(shelf, keys_in(tmp_path)).findings == ()


@asynccontextmanager
async def indexer(folder: Path, shelf: Shelf) -> AsyncIterator[Indexer]:
    """Open an index over the log on a shelf."""
    keys, extractor = keys_in(folder), Extractor(UTC)
    store = SqliteStore.open(
        folder / "index",
        keys.ring,
        extractor=extractor.from_body,
        matcher=judge(extractor.from_body),
        clinical=CLINICAL_DATE,
    )
    made = Indexer(shelf, keys, store, extractor.extract, Origin())
    try:
        yield made
    finally:
        await made.close()
        await store.close()


@pytest.fixture
def hands(tmp_path: Path) -> Iterator[Hands]:
    with closing(shelf_in(tmp_path)) as shelf:
        yield hands_on(shelf, tmp_path / "audit")


def flip(hands: Hands, at: int) -> None:
    """Change one byte of the first segment, or change it back."""
    segment = newest(hands.shelf)
    data = bytearray(content(hands.shelf, segment))
    data[at] ^= 1
    hands.write(segment, bytes(data))


def alarms(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if "does not follow" in each.getMessage()]


async def test_damage_is_said_once_when_it_lasts(
    tmp_path: Path, hands: Hands, caplog: pytest.LogCaptureFixture
) -> None:
    await asyncio.to_thread(write, tmp_path, [[read(number)] for number in range(5)])
    flip(hands, -20)
    async with indexer(tmp_path, hands.shelf) as made:
        for passes in range(1, _PATIENCE + 3):
            with caplog.at_level(logging.CRITICAL):
                await made.catch_up()
            assert len(alarms(caplog)) == (passes >= _PATIENCE)


async def test_what_breaks_somewhere_else_each_time_is_no_damage(
    tmp_path: Path, hands: Hands, caplog: pytest.LogCaptureFixture
) -> None:
    await asyncio.to_thread(write, tmp_path, [[read(number)] for number in range(12)])
    size = len(content(hands.shelf, newest(hands.shelf)))
    async with indexer(tmp_path, hands.shelf) as made:
        with caplog.at_level(logging.CRITICAL):
            for back in range(6):
                at = size - 20 - 200 * back
                flip(hands, at)
                assert await made.catch_up() == 0
                flip(hands, at)
            assert alarms(caplog) == []
            assert await made.catch_up() == 12


async def test_a_segment_is_read_from_within_a_group_as_from_its_beginning(
    tmp_path: Path, hands: Hands
) -> None:
    """A commit of the indexer may end within a group, and its process may end there."""
    await asyncio.to_thread(write, tmp_path, [[read(number) for number in range(7)], [read(7)]])
    segment = newest(hands.shelf)
    whole = content(hands.shelf, segment)
    reading = Reading.begin(keys_in(tmp_path), whole)
    places = [reading.offset, *(reading.offset for _ in reading.entries())]

    assert len(places) == 9
    assert [hands.shelf.content(segment, at) for at in places] == [whole[at:] for at in places]


async def test_one_process_at_a_time_indexes(tmp_path: Path, hands: Hands) -> None:
    await asyncio.to_thread(write, tmp_path, [[read(1)]])
    turn = hands.shelf.turn()
    assert await asyncio.to_thread(turn.acquire)
    assert turn.is_mine()
    async with indexer(tmp_path, hands.shelf) as made:
        assert await made.catch_up() == 0
        await asyncio.to_thread(turn.release)
        assert not turn.is_mine()
        assert await made.catch_up() == 1
        assert await made.catch_up() == 0
