"""The connection to MongoDB: transactions that are tried again, and errors as faults without addresses.

Every write is acknowledged by a majority of the members, with their journals, before it counts; every read is
of what a majority holds. https://www.mongodb.com/docs/manual/core/transactions/
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from bson.objectid import ObjectId
from pymongo import AsyncMongoClient, ReadPreference
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    DocumentTooLarge,
    DuplicateKeyError,
    OperationFailure,
    PyMongoError,
    WriteConcernError,
)
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from fhir_server.faults import Fault, Kind

T = TypeVar("T")

Document = dict[str, Any]

DEFAULT_DATABASE: Final = "fhir"

_MAJORITY: Final = WriteConcern("majority", j=True, wtimeout=10_000)
"""Without a limit a write waits for ever where a primary leads and the others have stopped following."""

_SNAPSHOT: Final = ReadConcern("snapshot")
_SELECTION_MS: Final = 5000
_CONNECT_MS: Final = 5000
_HEARTBEAT_MS: Final = 5000
"""With the time to connect it bounds how long a request hangs on a member that is frozen or cut off."""

_WIRE_OF_7_0: Final = 21
_MONGOS: Final = "isdbgrid"
_RETRY: Final = (("Retry-After", "5"),)

_TRANSIENT: Final = "TransientTransactionError"
_UNKNOWN: Final = "UnknownTransactionCommitResult"

# https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml
DUPLICATE: Final = 11000
_TOO_LONG: Final = frozenset({50, 262})  # MaxTimeMSExpired, ExceededTimeLimit
_TOO_BIG: Final = frozenset({10334, 17280, 17419, 17420})  # BSONObjectTooLarge and its elder kin
_NOT_ALLOWED: Final = frozenset({13, 18, 8000})  # Unauthorized, AuthenticationFailed
# ReadConcernMajorityNotAvailableYet, SnapshotTooOld, SnapshotUnavailable
_LATER: Final = frozenset({134, 239, 246})

_LOOK: Final = "The store does not answer. Whether something was stored is not known; look, then repeat."
_READ_FIRST: Final = (
    "The store did not say in time whether the change is kept. Read the record before repeating it."
)

_FIRST_PAUSE_SECONDS: Final = 0.002
_LONGEST_PAUSE_SECONDS: Final = 0.25


class Engine:
    """One client of one database. Make it with :meth:`open`; use it from one event loop.

    ``db`` reads what a majority holds and writes to a majority's journals, at the primary. ``lock_seconds``:
    how long a write may wait for others, its repetitions included, and as long again to hear that it is
    committed. ``search_seconds``: for one search.
    ``is_cluster``: it is a sharded cluster, asked by way of a mongos.
    """

    def __init__(
        self,
        client: AsyncMongoClient[Document],
        name: str,
        lock_seconds: float,
        search_seconds: float,
        *,
        is_cluster: bool = False,
    ) -> None:
        self.client = client
        self.is_cluster = is_cluster
        self.lock_seconds = lock_seconds
        self.search_seconds = search_seconds
        self.db: AsyncDatabase[Document] = client.get_database(
            name,
            read_preference=ReadPreference.PRIMARY,
            read_concern=ReadConcern("majority"),
            write_concern=_MAJORITY,
        )

    @classmethod
    async def open(
        cls, uri: str, *, suffix: str = "", lock_seconds: float = 5.0, search_seconds: float = 5.0
    ) -> Engine:
        """Connect to the database that ``uri`` names, "fhir" when it names none, or the one beside it.

        ``suffix``: what the name of that one has at its end.

        Raises Fault(UNAVAILABLE) when nobody answers, for a standalone server (it has no transactions), and
        for one that is older than MongoDB 7.0.
        """
        try:
            client: AsyncMongoClient[Document] = AsyncMongoClient(
                uri,
                serverSelectionTimeoutMS=_SELECTION_MS,
                connectTimeoutMS=_CONNECT_MS,
                heartbeatFrequencyMS=_HEARTBEAT_MS,
                appname="fhir-server",
                tz_aware=True,
            )
        except (PyMongoError, ValueError) as error:
            raise Fault(
                Kind.UNAVAILABLE,
                "The address of the MongoDB store cannot be read; write mongodb://host/name.",
            ) from error
        try:
            hello = await client.admin.command("hello")
            refuse_unfit(hello)
        except PyMongoError as error:
            await client.close()
            raise unavailable(error) from error
        except Fault:
            await client.close()
            raise
        name = client.get_default_database(DEFAULT_DATABASE).name
        is_cluster = hello.get("msg") == _MONGOS
        return cls(client, f"{name}{suffix}", lock_seconds, search_seconds, is_cluster=is_cluster)

    @property
    def leader(self) -> ObjectId | None:
        """The election of the primary that was last heard of; None: of none, or by way of a mongos."""
        servers = self.client.topology_description.server_descriptions().values()
        return next((each.election_id for each in servers if each.is_writable), None)

    async def transact(self, work: Callable[[AsyncClientSession], Awaitable[T]]) -> T:
        """Run ``work`` in a transaction and commit it; return what it returned.

        ``work`` is run again when the engine says that another transaction was in its way, so it must have no
        effects but those of its session. Raises Fault(UNAVAILABLE) when ``lock_seconds`` are over, what
        ``work`` raises, and :class:`PyMongoError` otherwise: callers turn it into a fault.
        """
        pauses = _Pauses(self.lock_seconds)
        async with self.client.start_session() as session:
            while True:
                await session.start_transaction(_SNAPSHOT, _MAJORITY, ReadPreference.PRIMARY)
                try:
                    result = await work(session)
                    await self._commit(session)
                except PyMongoError as error:
                    await _abort(session)
                    if not error.has_error_label(_TRANSIENT) or not await pauses.again():
                        raise _without_documents(error) from None
                except BaseException:
                    await _abort(session)
                    raise
                else:
                    return result

    async def _commit(self, session: AsyncClientSession) -> None:
        """Commit, again and again while nobody can say whether it took place: it does so only once."""
        pauses = _Pauses(self.lock_seconds)
        while True:
            try:
                await session.commit_transaction()
            except PyMongoError as error:
                if not error.has_error_label(_UNKNOWN) or _is_too_long(error):
                    raise
                if not await pauses.again():
                    raise Uncertain(_READ_FIRST) from error
            else:
                return

    async def snapshot(self, work: Callable[[AsyncClientSession], Awaitable[T]]) -> T:
        """Run reads of several steps on one snapshot; return what ``work`` returned.

        A transaction, but in a cluster: there none may look up what is sharded (``$lookup``, error 3904800),
        and a snapshot session tells the same. https://www.mongodb.com/docs/manual/reference/read-concern-snapshot/
        """
        if not self.is_cluster:
            return await self.transact(work)
        async with self.client.start_session(snapshot=True) as session:
            return await work(session)

    async def close(self) -> None:
        """Close the connections."""
        await self.client.close()


class _Pauses:
    """Growing pauses of random length between attempts, until so many seconds are over."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._longest = _FIRST_PAUSE_SECONDS

    async def again(self) -> bool:
        """Wait; return False, at once, when no time is left."""
        pause = random.uniform(0, self._longest)  # noqa: S311 - spreads attempts, guards nothing
        if time.monotonic() + pause > self._until:
            return False
        self._longest = min(2 * self._longest, _LONGEST_PAUSE_SECONDS)
        await asyncio.sleep(pause)
        return True


async def _abort(session: AsyncClientSession) -> None:
    # What cannot be aborted now ends by itself when its time is over; the first error is the one to tell.
    if session.in_transaction:
        try:
            await session.abort_transaction()
        except PyMongoError:
            return


def refuse_unfit(hello: Document) -> None:
    """Raise Fault(UNAVAILABLE) for a server that cannot keep this store's promises, by its hello.

    https://www.mongodb.com/docs/manual/reference/command/hello/
    """
    if "setName" not in hello and hello.get("msg") != _MONGOS:
        raise Fault(
            Kind.UNAVAILABLE,
            "The MongoDB server stands alone: it has no transactions. Make it a replica set (one member will"
            " do), or name a mongos.",
        )
    if hello.get("maxWireVersion", 0) < _WIRE_OF_7_0:
        raise Fault(Kind.UNAVAILABLE, "The MongoDB server is older than 7.0; use 7.0 or newer.")


def _without_documents(error: PyMongoError) -> PyMongoError:
    """Return an error as it is, but for that of a bulk write, which names all that it was to write."""
    if not isinstance(error, BulkWriteError):
        return error
    labels = {"errorLabels": list(error.details.get("errorLabels", ()))}
    code = _code(error)
    kind = DuplicateKeyError if code == DUPLICATE else OperationFailure
    return kind("a bulk write failed", code, labels)


def _code(error: PyMongoError) -> int:
    if isinstance(error, BulkWriteError):
        codes = [each["code"] for each in error.details.get("writeErrors", ())]
        return codes[0] if codes else 0
    code = error.code if isinstance(error, OperationFailure) else None
    return code or 0


def _is_too_long(error: PyMongoError) -> bool:
    return _code(error) in _TOO_LONG and not isinstance(error, WriteConcernError)


def _may_be_kept(error: PyMongoError) -> bool:
    """Tell whether the primary did as it was told, or may have, and only a majority's word is missing."""
    if isinstance(error, BulkWriteError):
        return bool(error.details.get("writeConcernErrors"))
    return isinstance(error, (ConnectionFailure, WriteConcernError))


def unavailable(error: PyMongoError) -> Fault:
    """Turn the driver's error into the fault that says what to do; no address, no document is in it."""
    code = _code(error)
    if isinstance(error, DocumentTooLarge) or code in _TOO_BIG:
        return too_large()
    if _is_too_long(error):
        return too_costly()
    if code in _NOT_ALLOWED:
        return Fault(
            Kind.UNAVAILABLE,
            "The store does not let this server in. Its owner must see to the account in FHIR_STORE.",
            headers=_RETRY,
        )
    # By a read, or in a transaction that was not being committed, nothing can have been kept.
    is_certain = code in _LATER or error.has_error_label(_TRANSIENT)
    if code in _LATER or _may_be_kept(error):
        return silent() if is_certain else Uncertain(_LOOK)
    if is_certain:
        sentence = "Others are writing to the same records. Nothing was stored; repeat the request."
        return Fault(Kind.UNAVAILABLE, sentence, headers=_RETRY)
    return Fault(Kind.EXCEPTION, "The store could not carry out the request. Nothing was stored.")


class Uncertain(Fault):
    """Nobody can say whether the change was kept; ``sentence`` says what to do."""

    def __init__(self, sentence: str) -> None:
        super().__init__(Kind.UNAVAILABLE, sentence, headers=_RETRY)


def silent() -> Fault:
    """Make the fault of a store that does not answer, and has kept nothing."""
    return Fault(
        Kind.UNAVAILABLE,
        "The store does not answer. Nothing was stored; repeat the request.",
        headers=_RETRY,
    )


def too_large() -> Fault:
    """Make the fault of a document that MongoDB does not take (16 MB)."""
    return Fault(
        Kind.TOO_LARGE,
        "The resource has more searchable values than the store can keep of one (16 MB). Divide it.",
    )


def too_costly() -> Fault:
    """Make the fault of a search that outlived its limit."""
    return Fault(
        Kind.TOO_COSTLY,
        "The search took too long. Narrow it by patient, code or period, or leave out _total and _sort.",
    )


def closed() -> Fault:
    """Make the fault of a store that was closed."""
    return Fault(
        Kind.UNAVAILABLE, "The store is closing. Nothing was stored; repeat the request.", headers=_RETRY
    )
