"""The connection: transactions that are tried again but never told twice, errors that tell no address."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConnectionFailure,
    DocumentTooLarge,
    DuplicateKeyError,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WriteConcernError,
    WTimeoutError,
)

from fhir_server.faults import Fault, Kind
from fhir_server.store.mongo import client as module
from fhir_server.store.mongo.client import Engine, refuse_unfit, unavailable
from tests.mongo.commands import noted
from tests.mongo.engine import StandIn, address, database, free_port

TRANSIENT = "TransientTransactionError"
UNKNOWN = "UnknownTransactionCommitResult"
FIT = {"setName": "rs", "maxWireVersion": 21}
UNFOLLOWED = {"writeErrors": [], "writeConcernErrors": [{"code": 64, "errmsg": "10.0.0.7 waits"}]}


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    with database() as named:
        opened = await Engine.open(named, lock_seconds=0.3)
        await opened.db.create_collection("thing")
        yield opened
        await opened.close()


def labelled(label: str) -> PyMongoError:
    error = AutoReconnect("mongodb.hospital.example:27017: connection closed")
    error._add_error_label(label)
    return error


async def things(engine: Engine) -> list[Any]:
    return [each["_id"] for each in await engine.db.thing.find({}, sort=[("_id", 1)]).to_list()]


class Work:
    """Inserts a thing each time it is run; raises the errors that it was given first, after it did."""

    def __init__(self, engine: Engine, *errors: BaseException) -> None:
        self.engine = engine
        self.errors = list(errors)
        self.runs = 0

    async def __call__(self, session: AsyncClientSession) -> int:
        self.runs += 1
        await self.engine.db.thing.insert_one({"_id": self.runs}, session=session)
        if self.errors:
            raise self.errors.pop(0)
        return self.runs


async def test_gives_back_what_the_work_returned_once_it_is_durable(engine: Engine) -> None:
    assert await engine.transact(Work(engine)) == 1
    assert await things(engine) == [1]


async def test_what_another_transaction_was_in_the_way_of_is_done_again(engine: Engine) -> None:
    work = Work(engine, labelled(TRANSIENT), labelled(TRANSIENT))

    assert await engine.transact(work) == 3
    assert await things(engine) == [3]


async def test_nothing_stays_of_work_that_fails(engine: Engine) -> None:
    for error in (ValueError("no"), OperationFailure("no", 2), asyncio.CancelledError()):
        with pytest.raises(type(error)):
            await engine.transact(Work(engine, error))

    assert await things(engine) == []
    assert await engine.transact(Work(engine)) == 1


async def test_an_error_of_a_bulk_write_does_not_hold_what_was_to_be_written(engine: Engine) -> None:
    async def work(session: AsyncClientSession) -> None:
        documents = [{"_id": 1, "payload": "secret"}, {"_id": 1, "payload": "secret"}]
        await engine.db.thing.insert_many(documents, session=session)

    with pytest.raises(DuplicateKeyError) as error:
        await engine.transact(work)

    assert error.value.__cause__ is None
    assert "secret" not in repr((error.value, error.value.details))
    assert await things(engine) == []


async def test_gives_up_when_the_time_is_over(engine: Engine) -> None:
    work = Work(engine, *(labelled(TRANSIENT) for _ in range(10_000)))
    began = time.monotonic()

    with pytest.raises(PyMongoError) as error:
        await engine.transact(work)

    assert error.value.has_error_label(TRANSIENT)
    assert time.monotonic() - began < 10
    assert work.runs > 1
    assert await things(engine) == []


@pytest.mark.parametrize("times", [1, 3])
async def test_a_commit_whose_outcome_nobody_could_tell_takes_place_once(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """The answer is lost after the engine has committed; asking again finds that it has."""
    commit, lost = AsyncClientSession.commit_transaction, []

    async def losing(session: AsyncClientSession) -> None:
        await commit(session)
        if len(lost) < times:
            lost.append(session)
            raise labelled(UNKNOWN)

    monkeypatch.setattr(AsyncClientSession, "commit_transaction", losing)
    work = Work(engine)

    assert await engine.transact(work) == 1
    assert (work.runs, len(lost)) == (1, times)
    assert await things(engine) == [1]


async def test_a_commit_whose_outcome_stays_unknown_is_not_called_a_success(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def losing(_: AsyncClientSession) -> None:
        raise labelled(UNKNOWN)

    monkeypatch.setattr(AsyncClientSession, "commit_transaction", losing)

    with pytest.raises(Fault, match="did not say in time") as fault:
        await engine.transact(Work(engine))

    assert fault.value.kind is Kind.UNAVAILABLE
    assert fault.value.headers == (("Retry-After", "5"),)


async def test_a_commit_has_its_own_time_however_long_the_work_took(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, lost = AsyncClientSession.commit_transaction, []

    async def losing(session: AsyncClientSession) -> None:
        if not lost:
            lost.append(session)
            raise labelled(UNKNOWN)
        await commit(session)

    async def slow(session: AsyncClientSession) -> None:
        await engine.db.thing.insert_one({"_id": "slow"}, session=session)
        await asyncio.sleep(1.1 * engine.lock_seconds)

    monkeypatch.setattr(AsyncClientSession, "commit_transaction", losing)

    await engine.transact(slow)

    assert lost
    assert await things(engine) == ["slow"]


async def test_no_write_waits_for_ever_for_a_majority_that_does_not_follow() -> None:
    commands: list[Any] = []
    with database() as named, noted(commands):
        engine = await Engine.open(named)
        await engine.transact(Work(engine))
        await engine.db.thing.insert_one({"_id": "alone"})
        await engine.close()

    wanted = {"w": "majority", "j": True, "wtimeout": 10_000}
    committed = [each for each in commands if "commitTransaction" in each]
    alone = [each for each in commands if "insert" in each and "txnNumber" in each][-1]
    assert [each["writeConcern"] for each in (*committed, alone)] == [wanted, wanted]


async def test_a_member_that_is_frozen_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connections stay open and nothing comes; without heartbeats a request would hang for minutes."""
    for name in ("_SELECTION_MS", "_CONNECT_MS", "_HEARTBEAT_MS"):
        monkeypatch.setattr(module, name, 500)
    stand_in = StandIn(tmp_path / "engine")
    stand_in.start()
    engine = await Engine.open(stand_in.address("frozen"))
    try:
        assert await engine.transact(Work(engine)) == 1
        with stand_in.frozen():
            began = time.monotonic()
            with pytest.raises(ConnectionFailure):
                await engine.db.thing.find_one({})
            assert time.monotonic() - began < 10
        assert await engine.db.thing.find_one({}) == {"_id": 1}
    finally:
        await engine.close()
        stand_in.kill()


async def test_reads_of_one_snapshot_do_not_see_what_is_written_meanwhile(engine: Engine) -> None:
    async def work(session: AsyncClientSession) -> tuple[int, int]:
        before = await engine.db.thing.count_documents({}, session=session)
        await engine.db.thing.insert_one({"_id": "meanwhile"})
        return before, await engine.db.thing.count_documents({}, session=session)

    assert await engine.snapshot(work) == (0, 0)
    assert await things(engine) == ["meanwhile"]


@pytest.mark.parametrize(("given", "name"), [("", "fhir"), ("hospital", "hospital")])
async def test_a_database_is_called_fhir_unless_its_address_says_otherwise(given: str, name: str) -> None:
    opened = await Engine.open(address(given))
    await opened.close()

    assert opened.db.name == name


async def test_where_nobody_listens_is_told_without_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SELECTION_MS", 200)
    port = free_port()

    with pytest.raises(Fault) as fault:
        await Engine.open(f"mongodb://user:secret@127.0.0.1:{port}/fhir")

    assert fault.value.kind is Kind.UNAVAILABLE
    assert not {"127.0.0.1", str(port), "secret", "user"} & set(fault.value.diagnostics.split())


@pytest.mark.parametrize("uri", ["http://127.0.0.1", "mongodb://", "mongodb://a:b:c@d"])
async def test_an_address_that_is_none_is_refused(uri: str) -> None:
    with pytest.raises(Fault, match=r"mongodb://host/name") as fault:
        await Engine.open(uri)

    assert fault.value.kind is Kind.UNAVAILABLE


@pytest.mark.parametrize("hello", [FIT, {"msg": "isdbgrid", "maxWireVersion": 25}])
def test_a_replica_set_and_a_cluster_are_fit(hello: dict[str, Any]) -> None:
    refuse_unfit(hello)


@pytest.mark.parametrize(
    ("hello", "words"),
    [
        ({"maxWireVersion": 21}, "stands alone"),
        ({**FIT, "maxWireVersion": 20}, "older than 7.0"),
        ({"setName": "rs"}, "older than 7.0"),
    ],
)
def test_a_standalone_server_and_an_old_one_are_refused(hello: dict[str, Any], words: str) -> None:
    with pytest.raises(Fault, match=words) as fault:
        refuse_unfit(hello)

    assert fault.value.kind is Kind.UNAVAILABLE


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ServerSelectionTimeoutError("10.0.0.7:27017: refused"), Kind.UNAVAILABLE),
        (NetworkTimeout("10.0.0.7:27017: timed out"), Kind.UNAVAILABLE),
        (labelled(TRANSIENT), Kind.UNAVAILABLE),
        (OperationFailure("10.0.0.7 says no", 13), Kind.UNAVAILABLE),
        (OperationFailure("10.0.0.7: operation exceeded time limit", 50), Kind.TOO_COSTLY),
        (OperationFailure("10.0.0.7: object to insert too large", 10334), Kind.TOO_LARGE),
        (DocumentTooLarge("10.0.0.7: too large"), Kind.TOO_LARGE),
        (OperationFailure("10.0.0.7: bad query", 2), Kind.EXCEPTION),
        (BulkWriteError({"writeErrors": [{"code": 11000, "errmsg": "10.0.0.7"}]}), Kind.EXCEPTION),
        (BulkWriteError({"writeErrors": [{"code": 10334, "errmsg": "10.0.0.7"}]}), Kind.TOO_LARGE),
        (BulkWriteError(UNFOLLOWED), Kind.UNAVAILABLE),
        (WTimeoutError("10.0.0.7: waiting for replication timed out", 64), Kind.UNAVAILABLE),
        (WriteConcernError("10.0.0.7: operation exceeded time limit", 50), Kind.UNAVAILABLE),
        (OperationFailure("10.0.0.7: unable to read from a snapshot", 246), Kind.UNAVAILABLE),
    ],
)
def test_every_error_of_the_driver_is_one_fault_that_says_what_to_do(error: PyMongoError, kind: Kind) -> None:
    fault = unavailable(error)

    assert fault.kind is kind
    assert "10.0.0.7" not in fault.diagnostics
    assert (kind is Kind.UNAVAILABLE) == bool(fault.headers)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (labelled(TRANSIENT), "does not answer. Nothing was stored"),
        (AutoReconnect("closed"), "is not known"),
        (WTimeoutError("waiting for replication timed out", 64), "is not known"),
        (WriteConcernError("no such number of members", 100), "is not known"),
        (BulkWriteError(UNFOLLOWED), "is not known"),
        (BulkWriteError({"writeErrors": [{"code": 2}], "writeConcernErrors": []}), "Nothing was stored"),
        (OperationFailure("unable to read from a snapshot", 246), "Nothing was stored"),
        (OperationFailure("conflict", 112, {"errorLabels": [TRANSIENT]}), "Others are writing"),
    ],
)
def test_says_whether_something_was_stored(error: PyMongoError, words: str) -> None:
    assert words in unavailable(error).diagnostics
