"""Stamps: whoever remembers something sees at once that it is out of date, whichever process changed it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fhir_server.faults import Fault, Kind
from fhir_server.store.api import Stale
from fhir_server.store.sqlite.stamps import Changes
from tests.contract.store_world import ENGINES, change, drop_store, open_sqlite, open_store, put
from tests.mongo import engine

ROOT = Path(__file__).resolve().parents[2]
GOVERNING = frozenset({"Consent", "Contract"})

WRITE = """
import asyncio, os, sys
from pathlib import Path
kind, folder, type_, os.environ["MONGODB_URI"] = sys.argv[1:]
from tests.contract.store_world import change, open_store, put

async def main():
    store = await open_store(kind, Path(folder), governing=frozenset({"Consent", "Contract"}))
    await put(store, change(type_, "elsewhere"))
    await store.close()

asyncio.run(main())
"""


@pytest.fixture(params=ENGINES)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
async def house(kind: str, tmp_path: Path) -> AsyncIterator[Any]:
    opened: Any = await open_store(kind, tmp_path, governing=GOVERNING)
    yield opened
    await opened.close()
    drop_store(kind, tmp_path)


async def test_a_commit_of_a_governing_type_is_noticed_and_no_other(house: Any) -> None:
    seen = [(await house.stamps()).governing]
    for made in (change("Consent", "c"), change("Consent", "c", 2), change("Consent", "c", 3, "DELETE")):
        await put(house, made)
        seen.append((await house.stamps()).governing)
    await put(house, change("Patient", "p"), change("Contract", "k"))
    seen.append((await house.stamps()).governing)

    await put(house, change("Patient", "p", 2), change("Observation", "o"))

    assert len(set(seen)) == len(seen)
    assert (await house.stamps()).governing == seen[-1]


async def test_a_commit_that_is_refused_changes_no_stamp(house: Any) -> None:
    await put(house, change("Consent", "c"))
    before = await house.stamps()

    with pytest.raises(Stale):
        await put(house, change("Consent", "c"))

    assert await house.stamps() == before


async def test_a_commit_made_with_others_governs_too(house: Any) -> None:
    """Commits that wait together are written together."""
    before = (await house.stamps()).governing
    await asyncio.gather(*(put(house, change("Patient", f"p{n}")) for n in range(8)))
    assert (await house.stamps()).governing == before

    changes = [*(change("Patient", f"q{n}") for n in range(8)), change("Consent", "c")]
    await asyncio.gather(*(put(house, each) for each in changes))

    assert (await house.stamps()).governing != before


async def test_a_new_set_of_search_parameters_is_noticed(house: Any) -> None:
    assert (await house.stamps()).generation == 0

    await house.parameters.write(b"one", 0)

    assert (await house.stamps()).generation == 1


async def test_stores_in_one_place_notice_each_others_commits_at_once(
    house: Any, kind: str, tmp_path: Path
) -> None:
    other: Any = await open_store(kind, tmp_path, governing=GOVERNING)
    seen = {(await house.stamps()).governing}
    for number, (writer, reader) in enumerate([(house, other), (other, house)] * 3):
        await put(writer, change("Consent", f"c{number}"))
        assert await reader.stamps() == await writer.stamps()
        seen.add((await reader.stamps()).governing)

    await other.close()
    assert len(seen) == 7


@pytest.mark.parametrize(("type_", "is_noticed"), [("Consent", True), ("Patient", False)])
async def test_another_process_is_noticed(
    house: Any, kind: str, tmp_path: Path, type_: str, is_noticed: bool
) -> None:
    before = await house.stamps()

    where = engine.address("") if kind.startswith("mongodb") else ""
    command = [sys.executable, "-c", WRITE, kind, str(tmp_path), type_, where]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stderr=subprocess.DEVNULL)

    assert await process.wait() == 0
    assert (await house.stamps() != before) is is_noticed


async def test_a_writer_that_died_in_a_commit_leaves_nobody_with_old_stamps(tmp_path: Path) -> None:
    """Killed after SQLite had its commit, before it could count it a second time."""
    house = open_sqlite(tmp_path, governing=GOVERNING)
    await house.stamps()
    changes = Changes(tmp_path / "data")
    with changes.moving():
        # What the dead process committed is there; its count is still odd.
        house._writer._connection.execute(
            "INSERT INTO meta VALUES('governing', 7) ON CONFLICT(key) DO UPDATE SET value=7"
        )
        assert (await house.stamps()).governing == 7
        house._writer._connection.execute("UPDATE meta SET value=8 WHERE key='governing'")
        assert (await house.stamps()).governing == 8
    changes.close()

    await put(house, change("Consent", "c"))

    assert (await house.stamps()).governing == 9
    await house.close()


async def test_stamps_are_as_they_were_after_a_restart(house: Any, kind: str, tmp_path: Path) -> None:
    await put(house, change("Consent", "c"))
    await house.parameters.write(b"one", 0)
    before = await house.stamps()
    await house.close()
    (tmp_path / "data" / "changes").unlink(missing_ok=True)

    again: Any = await open_store(kind, tmp_path, governing=GOVERNING)

    assert await again.stamps() == before
    await again.parameters.write(b"two", 1)
    assert (await again.stamps()).generation == 2
    await again.close()


async def test_the_count_is_nobody_elses_to_read(tmp_path: Path) -> None:
    house = open_sqlite(tmp_path, governing=GOVERNING)
    assert (await house.stamps()).governing == 0
    await house.close()
    assert (tmp_path / "data" / "changes").stat().st_mode & 0o077 == 0


async def test_a_closed_store_has_no_stamps(kind: str, tmp_path: Path) -> None:
    closed = await open_store(kind, tmp_path)
    await closed.close()
    drop_store(kind, tmp_path)

    with pytest.raises(Fault) as fault:
        await closed.stamps()

    assert fault.value.kind is Kind.UNAVAILABLE
