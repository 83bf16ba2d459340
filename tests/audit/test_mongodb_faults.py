"""What goes wrong under a log in MongoDB: a cut wire, a paused owner, an engine that is killed."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fhir_server.audit.keys import AuditKeys
from fhir_server.audit.log import Log
from fhir_server.audit.mongodb.shelf import MongoShelf
from fhir_server.audit.verify import verify
from fhir_server.audit.writer import Options, Writer
from fhir_server.faults import Fault, Kind
from tests.audit.world import keys_in, read, written_in
from tests.mongo import engine as mongodb
from tests.mongo.engine import StandIn
from tests.mongo.proxy import Proxy

SECONDS = 1.0
"""How long an operation may take here."""


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """Start a stand-in of the tests' own: it can be killed."""
    made = StandIn(tmp_path_factory.mktemp("stand-in") / "data")
    made.start()
    yield made
    made.kill()


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"t{abs(hash(tmp_path))}"


@pytest.fixture
def keys(tmp_path: Path) -> AuditKeys:
    return keys_in(tmp_path)


@pytest.fixture
def wire(stand_in: StandIn) -> Iterator[Proxy]:
    with Proxy(stand_in.port) as made:
        yield made


@pytest.fixture
def shelf(stand_in: StandIn, wire: Proxy, database: str) -> Iterator[MongoShelf]:
    """Open the log by way of the wire that can be cut."""
    address = stand_in.address(database, wire.port)
    with closing(MongoShelf(address, seconds=SECONDS, lease_seconds=60)) as made:
        yield made


async def test_an_answer_that_is_lost_on_its_way_is_asked_for_again_and_the_group_is_there_once(
    shelf: MongoShelf, wire: Proxy, keys: AuditKeys
) -> None:
    log = Log.open(shelf, keys)
    await log.append([read(1)])
    wire.swallow("insert")
    await log.append([read(2)])
    await log.append([read(3)])
    await log.close()

    assert wire.has_swallowed
    assert written_in(shelf, keys) == [read(1), read(2), read(3)]
    assert len(shelf.segments("p00")) == 1


async def test_of_a_group_whose_fate_is_unknown_nobody_is_told_success_and_the_chain_does_not_fork(
    shelf: MongoShelf, wire: Proxy, keys: AuditKeys
) -> None:
    log = Log.open(shelf, keys)
    await log.append([read(1)])
    wire.swallow("insert", 1_000_000)
    with pytest.raises(Fault) as refused:
        await log.append([read(2)])
    wire.swallow("insert", 0)
    await log.append([read(3)])
    await log.close()

    assert refused.value.kind is Kind.UNAVAILABLE
    # It was carried out each time; that it is in the log does no harm: the access took place.
    assert written_in(shelf, keys) == [read(1), read(2), read(3)]
    assert verify(shelf, keys).findings == ()


async def test_while_the_database_is_cut_off_entries_are_refused_and_afterwards_taken(
    shelf: MongoShelf, wire: Proxy, keys: AuditKeys
) -> None:
    log = Log.open(shelf, keys)
    await log.append([read(1)])
    with wire.being_cut():
        for number in (2, 3):
            with pytest.raises(Fault) as refused:
                await log.append([read(number)])
            assert refused.value.kind is Kind.UNAVAILABLE
    await log.append([read(4)])
    await log.close()

    assert written_in(shelf, keys) == [read(1), read(4)]
    assert verify(shelf, keys).findings == ()


async def test_a_chain_outlives_a_wire_that_is_cut_for_longer_than_its_lease(
    stand_in: StandIn, wire: Proxy, database: str, keys: AuditKeys, caplog: pytest.LogCaptureFixture
) -> None:
    address = stand_in.address(database, wire.port)
    with closing(MongoShelf(address, seconds=SECONDS, lease_seconds=0.3)) as shelf:
        log = Log.open(shelf, keys)
        await log.append([read(1)])
        with wire.being_cut():
            await asyncio.sleep(1.5 * SECONDS)
        await log.append([read(2)])
        await log.close()

        assert "could not be renewed" in caplog.text
        assert log.chain == "p00"
        assert written_in(shelf, keys) == [read(1), read(2)]
        assert len(shelf.segments("p00")) == 1


async def test_a_segment_whose_closing_was_not_answered_is_closed_once(
    shelf: MongoShelf, wire: Proxy, keys: AuditKeys
) -> None:
    log = Log.open(shelf, keys)
    await log.append([read(1)])
    wire.swallow("commitTransaction")
    await log.close()
    again = Log.open(shelf, keys)
    await again.append([read(2)])
    await again.close()

    assert wire.has_swallowed
    assert written_in(shelf, keys) == [read(1), read(2)]
    assert verify(shelf, keys).findings == ()


class Load:
    """Appends entries to logs again and again, several at a time."""

    def __init__(self, logs: list[Log]) -> None:
        self.told: list[int] = []
        self.refused: list[int] = []
        self._logs = logs
        self._progress: asyncio.Queue[int] = asyncio.Queue()
        self._tasks = [asyncio.create_task(self._go_on(start)) for start in range(8)]

    async def acknowledged(self, count: int) -> None:
        """Wait for so many more entries to be acknowledged."""
        for _ in range(self._progress.qsize() + count):
            await self._progress.get()

    async def end(self) -> None:
        """Stop, after the groups under way."""
        tasks, self._tasks = self._tasks, []
        await asyncio.gather(*tasks)

    async def _go_on(self, number: int) -> None:
        log = self._logs[number % len(self._logs)]
        await asyncio.sleep(0)
        while self._tasks:
            number += 100
            try:
                await log.append([read(number)])
            except Fault:
                self.refused.append(number)
            else:
                self.told.append(number)
                self._progress.put_nowait(number)


async def test_an_engine_that_is_killed_under_load_loses_nothing_that_was_acknowledged(
    stand_in: StandIn, database: str, keys: AuditKeys
) -> None:
    with closing(MongoShelf(stand_in.address(database), seconds=SECONDS, lease_seconds=60)) as shelf:
        logs = [Log.open(shelf, keys) for _ in range(2)]
        load = Load(logs)
        for _ in range(2):
            await load.acknowledged(50)
            await asyncio.to_thread(stand_in.kill)
            await asyncio.to_thread(stand_in.start)
        await load.acknowledged(50)
        await load.end()
        for log in logs:
            await log.close()

        there = [entry.at for entry in written_in(shelf, keys)]
        assert {read(number).at for number in load.told} <= set(there)
        assert len(there) == len(set(there)) <= len(load.told) + len(load.refused)
        assert verify(shelf, keys).findings == ()
        assert shelf.chains() == ["p00", "p01"]


PAUSED = """
import sys
from pathlib import Path
from tests.audit.world import keys_in, read, shelf_at
from fhir_server.audit.writer import Options, Writer

folder = Path(sys.argv[1])
writer = Writer.open(shelf_at(folder, sys.argv[2]), keys_in(folder), Options())
for number in range(1, 6):
    done = writer.write([read(number)])
    print("written" if done else "refused", number, writer.chain, flush=True)
    sys.stdin.readline()
writer.close()
"""


def test_an_owner_that_was_paused_for_longer_than_its_lease_appends_nothing_to_its_chain(
    tmp_path: Path, keys: AuditKeys
) -> None:
    with mongodb.database() as address, closing(MongoShelf(address, lease_seconds=60)) as shelf:
        command = [sys.executable, "-c", PAUSED, str(tmp_path), address]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "written 1 p00\n"
            process.send_signal(signal.SIGSTOP)
            while not shelf.is_free("p00"):
                time.sleep(0.05)
            writer = Writer.open(shelf, keys, Options())
            assert writer.write([read(10)])
            process.send_signal(signal.SIGCONT)
            said, _ = process.communicate("\n" * 5)
        assert writer.write([read(11)])
        writer.close()

        assert writer.chain == "p00"
        assert said.splitlines() == ["refused 2 p00", *(f"written {n} p01" for n in (3, 4, 5))]
        assert written_in(shelf, keys) == [read(1), read(10), read(11), read(3), read(4), read(5)]
        assert verify(shelf, keys).findings == ()
