"""The state records in MongoDB: sealed bodies under keyed digests, each write one transaction.

``state``: _id is the digest of kind and key, ``kind``, ``v`` the version, ``expires`` (ms), ``tags`` digests,
``p`` sealed. A document with version 0 is a place held: that nothing was there was part of a write, and
nobody may have put something there meanwhile. It counts as absent, and a sweep removes it.

What the database tells a thief: how many records there are of each kind, and when they expire.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from bson.int64 import Int64
from pymongo import DeleteOne, ReplaceOne, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import PyMongoError

from fhir_server.crypto.envelope import Damaged
from fhir_server.faults import Fault, Kind
from fhir_server.store import sealed
from fhir_server.store.api import Stale
from fhir_server.store.mongo.client import Document, unavailable
from fhir_server.store.mongo.schema import STATE
from fhir_server.store.mongo.tools import Tools
from fhir_server.store.mongo.writing import may_seal, written
from fhir_server.store.state import Put, Record, Remove, StateChange

NEVER: Final = 2**62
_HELD: Final = 0
"""When a held place expires: before every record."""

Write = ReplaceOne[Document] | UpdateOne | DeleteOne


class MongoState:
    """The records of one store."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._records = tools.engine.db.get_collection(STATE)
        self._clock: Callable[[], int] = tools.clock

    async def stamp(self) -> int | None:
        """Return a number that changes with every write; one round trip for each moment."""
        return (await self._tools.stamps.read()).state

    async def get(self, kind: str, key: str) -> Record | None:
        """Return a record; None when absent."""
        found = await self._found({"_id": self._digest(kind, key)}, limit=1)
        record = self._open(found[0]) if found else None
        return record if record is not None and record.key == key else None

    async def holds(self, kind: str, *keys: str) -> bool:
        """Tell whether there is a record of ``kind`` under any of ``keys``."""
        wanted = {"_id": {"$in": [self._digest(kind, key) for key in keys]}}
        return bool(await self._found(wanted, {"_id": 1}, limit=1))

    async def find(self, kind: str, tag: str) -> list[Record]:
        """Return the records of ``kind`` that carry ``tag``, in order of their keys."""
        found = await self._found({"tags": self._tag(kind, tag)})
        return _sorted(record for record in map(self._open, found) if tag in record.tags)

    async def of_kind(self, kind: str) -> list[Record]:
        """Return all records of ``kind``, in order of their keys."""
        return _sorted(map(self._open, await self._found({"kind": kind})))

    async def apply(self, changes: Sequence[StateChange]) -> None:
        """Write all or nothing, durably; raises Stale when a version is not the expected one.

        Four round trips: what is there, the lane, the writes, the commit.
        """
        if len({(change.kind, change.key) for change in changes}) < len(changes):
            raise Fault(Kind.EXCEPTION, "One write changes the same record twice.")
        if changes:
            await written(self._tools, lambda session: self._apply(changes, session))

    async def sweep(self) -> int:
        """Remove what has expired; return how many there were."""
        try:
            gone = await self._records.delete_many({"expires": {"$gt": _HELD, "$lte": self._clock()}})
            await self._records.delete_many({"expires": _HELD})
        except PyMongoError as error:
            raise unavailable(error) from error
        finally:
            self._tools.stamps.committed()
        return gone.deleted_count

    async def _found(self, where: Document, fields: Document | None = None, limit: int = 0) -> list[Document]:
        alive = {**where, "expires": {"$gt": self._clock()}}
        try:
            return await self._records.find(alive, fields, limit=limit).to_list()
        except PyMongoError as error:
            raise unavailable(error) from error

    async def _apply(self, changes: Sequence[StateChange], session: AsyncClientSession) -> None:
        digests = [self._digest(change.kind, change.key) for change in changes]
        cursor = self._records.find({"_id": {"$in": digests}}, {"v": 1, "expires": 1}, session=session)
        there = {row["_id"]: row for row in await cursor.to_list()}
        now = self._clock()
        versions = [_version(there.get(digest), now) for digest in digests]
        for change, version in zip(changes, versions, strict=True):
            if change.expected not in (None, version):
                raise Stale
        may_seal(self._tools, await self._tools.stamps.enter(session, state=True))
        writes = [
            self._write(change, digest, version, is_there=digest in there)
            for change, digest, version in zip(changes, digests, versions, strict=True)
        ]
        await self._records.bulk_write(writes, session=session)

    def _write(self, change: StateChange, digest: Int64, version: int, *, is_there: bool) -> Write:
        if isinstance(change, Put):
            return self._put(change, digest, version + 1)
        if isinstance(change, Remove) and is_there:
            return DeleteOne({"_id": digest})
        # Touched, so that who changes it at the same time meets this write.
        held = {"kind": change.kind, "v": 0, "expires": Int64(_HELD), "tags": [], "p": b""}
        return UpdateOne({"_id": digest}, {"$inc": {"touched": 1}, "$setOnInsert": held}, upsert=True)

    def _put(self, change: Put, digest: Int64, version: int) -> ReplaceOne[Document]:
        content = sealed.Record(change.key, change.tags, change.body)
        payload = sealed.seal_record(self._tools.envelope, change.kind, digest, version, content)
        document: dict[str, Any] = {
            "_id": digest,
            "kind": change.kind,
            "v": version,
            "expires": Int64(NEVER if change.expires is None else change.expires),
            "tags": sorted({self._tag(change.kind, tag) for tag in change.tags}),
            "p": payload,
        }
        return ReplaceOne({"_id": digest}, document, upsert=True)

    def _digest(self, kind: str, key: str) -> Int64:
        return Int64(sealed.record_digest(self._tools.blind, kind, key))

    def _tag(self, kind: str, tag: str) -> Int64:
        return Int64(sealed.tag_digest(self._tools.blind, kind, tag))

    def _open(self, row: Document) -> Record:
        kind, version, expires = row["kind"], row["v"], row["expires"]
        try:
            content = sealed.open_record(self._tools.envelope, kind, row["_id"], version, row["p"])
        except Damaged:
            raise sealed.unreadable_record() from None
        return Record(
            kind, content.key, version, content.body, None if expires == NEVER else int(expires), content.tags
        )


def _version(row: Document | None, now: int) -> int:
    """Return the version of what is there: 0 for nothing, and for what has expired."""
    return row["v"] if row is not None and row["expires"] > now else 0


def _sorted(records: Iterable[Record]) -> list[Record]:
    return sorted(records, key=lambda record: record.key)
