"""Whoever reads a segment while a process writes to it sees whole groups, and takes no race for damage."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from fhir_server.audit.coding import Origin
from fhir_server.audit.index import _PATIENCE, Indexer, _read
from fhir_server.audit.segment import Segment, segments
from fhir_server.audit.verify import verify
from fhir_server.audit.writer import Options, Writer
from fhir_server.search.extract import Extractor
from fhir_server.search.parameters import CLINICAL_DATE
from fhir_server.store.sqlite.store import SqliteStore
from fhir_server.stores import judge
from tests.audit.world import keys_in, read, write


def seen(folder: Path) -> int:
    """Read the newest segment as the indexer does; return how many entries it shows."""
    [*_, newest] = segments(folder / "audit" / "p00")
    reading, _ = _read(keys_in(folder), newest, None)
    return len(list(reading.entries_so_far()))


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

    writer = Writer.open(tmp_path / "audit", keys_in(tmp_path), Options())
    assert writer.write([read(1)])
    monkeypatch.setattr(os, "pwrite", slowly)
    assert writer.write([read(2), read(3), read(4)])
    monkeypatch.setattr(os, "pwrite", whole)
    writer.close()

    assert len(shown) > 3
    assert set(shown[:-1]) == {1}
    assert shown[-1] == 4
    assert verify(tmp_path / "audit", keys_in(tmp_path), {}).findings == ()


@asynccontextmanager
async def indexer(folder: Path) -> AsyncIterator[Indexer]:
    """Open an index over the log in ``folder``."""
    keys, extractor = keys_in(folder), Extractor(UTC)
    store = SqliteStore.open(
        folder / "index",
        keys.ring,
        extractor=extractor.from_body,
        matcher=judge(extractor.from_body),
        clinical=CLINICAL_DATE,
    )
    made = Indexer(folder / "audit", folder / "index", keys, store, extractor.extract, Origin())
    try:
        yield made
    finally:
        await made.close()
        await store.close()


def flip(segment: Segment, at: int) -> None:
    """Change one byte of a segment, or change it back."""
    data = bytearray(segment.path.read_bytes())
    data[at] ^= 1
    segment.path.write_bytes(data)


def alarms(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if "does not follow" in each.getMessage()]


async def test_damage_is_said_once_when_it_lasts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await asyncio.to_thread(write, tmp_path, [[read(number)] for number in range(5)])
    [segment] = segments(tmp_path / "audit" / "p00")
    flip(segment, -20)
    async with indexer(tmp_path) as made:
        for passes in range(1, _PATIENCE + 3):
            with caplog.at_level(logging.CRITICAL):
                await made.catch_up()
            assert len(alarms(caplog)) == (passes >= _PATIENCE)


async def test_what_breaks_somewhere_else_each_time_is_no_damage(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await asyncio.to_thread(write, tmp_path, [[read(number)] for number in range(12)])
    [segment] = segments(tmp_path / "audit" / "p00")
    size = segment.path.stat().st_size
    async with indexer(tmp_path) as made:
        with caplog.at_level(logging.CRITICAL):
            for back in range(6):
                at = size - 20 - 200 * back
                flip(segment, at)
                assert await made.catch_up() == 0
                flip(segment, at)
            assert alarms(caplog) == []
            assert await made.catch_up() == 12
