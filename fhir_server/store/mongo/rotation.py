"""Rotating keys while the store serves: everything sealed anew, then the old keys retired.

Every step is a transaction that goes through a lane (:mod:`fhir_server.store.mongo.stamps`), so that nothing
can be sealed under a key from the moment on at which it is being retired, on whichever machine.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple

from bson.objectid import ObjectId
from pymongo import UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import PyMongoError

from fhir_server.crypto.envelope import HEADER
from fhir_server.store import sealed
from fhir_server.store.mongo import schema
from fhir_server.store.mongo.client import Document, unavailable
from fhir_server.store.mongo.opening import forget_all_but, mark
from fhir_server.store.mongo.prepared import key_of, sealed_by
from fhir_server.store.mongo.records import PROJECTION
from fhir_server.store.mongo.tools import Tools
from fhir_server.store.mongo.writing import may_seal, written
from fhir_server.store.whole import Progress

_CHUNK: Final = 200
_KEYS: Final = 1 << 16
"""A header's number is that of the key, and so many times that of the dictionary."""


@dataclass(frozen=True, slots=True)
class _Small:
    """A collection of small payloads: which documents hold one, and how one is sealed anew."""

    name: str
    reseal: Callable[[Tools, Document], bytes]


class _Files(NamedTuple):
    """Files that a step has made, and those that nothing refers to once it is committed."""

    made: list[ObjectId]
    replaced: list[ObjectId]


class Rotation:
    """Works on the payloads of one store."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._db = tools.engine.db

    async def reseal(self, progress: Progress | None = None) -> int:
        """Seal every payload that is not under the active key anew; return how many.

        From its beginning on no server stores anything that has not got the active key.
        """
        self._tools.envelope.refresh()
        done = 0
        try:
            await mark(self._tools.engine, self._tools.envelope)
            await self._tools.stamps.raise_key(self._tools.envelope.active)
            where = self._by_another_header()
            total = await self._count(where)
            while True:
                before = done
                for name in (schema.RESOURCE, schema.HISTORY):
                    async for some in self._versions(name, where):
                        done += some
                        if progress:
                            progress(done, max(total, done))
                if done == before:
                    break
                # A version that was superseded meanwhile took its payload along into the other collection.
                where = self._by_another_key()
            for small in _SMALL:
                async for rows in self._small(small):
                    done += await written(self._tools, partial(self._reseal_small, small, rows))
        except PyMongoError as error:
            raise unavailable(error) from error
        return done

    async def retire(self) -> tuple[int, ...]:
        """Remove from the key ring the data keys that seal no payload any more; return their numbers."""
        self._tools.envelope.refresh()
        active = self._tools.envelope.active
        try:
            # From here on nothing is sealed under an older key, so that what is counted now is all there is.
            await self._tools.stamps.raise_key(active)
            in_use = await self._keys_in_use() | {active}
            # The proofs go first: a proof without its key would keep the store from opening.
            await forget_all_but(self._tools.engine, in_use)
        except PyMongoError as error:
            raise unavailable(error) from error
        return self._tools.ring.retire(in_use)

    def _by_another_header(self) -> Document:
        return {"a": {"$ne": sealed_by(self._tools.envelope.header)}}

    def _by_another_key(self) -> Document:
        return {"a": {"$not": {"$mod": [_KEYS, self._tools.envelope.active]}}}

    async def _count(self, where: Document) -> int:
        counts = [
            await self._db.get_collection(name).count_documents(where)
            for name in (schema.RESOURCE, schema.HISTORY)
        ]
        return sum(counts)

    async def _versions(self, name: str, where: Document) -> AsyncIterator[int]:
        """Seal the versions of a collection anew, some at a time; yield how many each time."""
        after: Document = {}
        while True:
            chosen = {**where, **after}
            cursor = self._db.get_collection(name).find(chosen, {"_id": 1}, sort=[("_id", 1)], limit=_CHUNK)
            ids = [row["_id"] for row in await cursor.to_list()]
            if not ids:
                return
            files = _Files([], [])
            yield await written(self._tools, partial(self._reseal_versions, name, ids, files))
            await self._tools.files.forget(files.replaced)
            after = {"_id": {"$gt": ids[-1]}}

    async def _reseal_versions(
        self, name: str, ids: Sequence[int], files: _Files, session: AsyncClientSession
    ) -> int:
        tools = self._tools
        may_seal(tools, await tools.stamps.enter(session))
        await tools.files.forget(files.made)
        files.made.clear()
        files.replaced.clear()
        where = {"_id": {"$in": list(ids)}, **self._by_another_header()}
        found = self._db.get_collection(name).find(where, {**PROJECTION, "c": 1}, session=session)
        writes = []
        for document in await tools.opener.fetched(await found.to_list()):
            digest = document["h"] if "h" in document else document["_id"]
            body = tools.opener.body(document)
            payload = tools.envelope.seal(document["t"], digest, document["v"], body)
            change: Document = {"a": sealed_by(payload)}
            if "g" in document:
                change["g"] = await tools.files.write(payload)
                files.made.append(change["g"])
                files.replaced.append(document["g"])
            else:
                change["b"] = payload
            writes.append(UpdateOne({"_id": document["_id"], "c": document["c"]}, {"$set": change}))
        if writes:
            await self._db.get_collection(name).bulk_write(writes, session=session)
        return len(writes)

    async def _small(self, small: _Small) -> AsyncIterator[Sequence[Any]]:
        """Yield the ids of documents whose payload is not under the active key, some at a time."""
        envelope = self._tools.envelope
        old = [
            row["_id"]
            async for row in self._db.get_collection(small.name).find({}, {"p": 1})
            if row["p"] and not envelope.is_current(row["p"])
        ]
        for begin in range(0, len(old), _CHUNK):
            yield old[begin : begin + _CHUNK]

    async def _reseal_small(self, small: _Small, ids: Sequence[Any], session: AsyncClientSession) -> int:
        tools, collection = self._tools, self._db.get_collection(small.name)
        may_seal(tools, await tools.stamps.enter(session))
        rows = await collection.find({"_id": {"$in": list(ids)}}, session=session).to_list()
        writes = [
            UpdateOne({"_id": row["_id"]}, {"$set": {"p": small.reseal(tools, row)}})
            for row in rows
            if row["p"] and not tools.envelope.is_current(row["p"])
        ]
        if writes:
            await collection.bulk_write(writes, session=session)
        return len(writes)

    async def _keys_in_use(self) -> set[int]:
        """Return the numbers of the data keys that some payload is sealed under."""
        found: set[int] = set()
        for name in (schema.RESOURCE, schema.HISTORY):
            cursor = await self._db.get_collection(name).aggregate([{"$group": {"_id": "$a"}}])
            found.update(row["_id"] % _KEYS for row in await cursor.to_list())
        for small in _SMALL:
            async for row in self._db.get_collection(small.name).find({}, {"p": 1}):
                found.update(_key(row["p"]))
        return found


def _key(payload: bytes) -> Iterator[int]:
    if len(payload) >= HEADER.size:
        yield key_of(payload)


def _record(tools: Tools, row: Document) -> bytes:
    at = row["kind"], row["_id"], row["v"]
    return sealed.seal_record(tools.envelope, *at, sealed.open_record(tools.envelope, *at, row["p"]))


def _rule(tools: Tools, row: Document) -> bytes:
    rule = sealed.open_rule(tools.envelope, row["_id"], row["p"])
    return sealed.seal_rule(tools.envelope, row["_id"], rule)


def _standing(tools: Tools, row: Document) -> bytes:
    at = row["_id"], row["v"]
    return sealed.seal_standing(tools.envelope, *at, sealed.open_standing(tools.envelope, *at, row["p"]))


def _dictionary(tools: Tools, row: Document) -> bytes:
    at = sealed.DICTIONARY, row["_id"], 0
    return tools.envelope.seal_plainly(*at, tools.envelope.open(*at, row["p"]))


_SMALL: Final = (
    _Small(schema.STATE, _record),
    _Small(schema.CLASS, _rule),
    _Small(schema.STANDING, _standing),
    _Small(schema.DICTIONARY, _dictionary),
)
