"""A MongoDB store as the destination of a transfer: everything that another store kept, under its numbers.

The numbers that a transfer brings are smaller than any that a process makes here (:mod:`.numbers`), so that
what is written later comes later. ``meta`` holds one document about the transfer until it is finished; a
store that has it is not whole, and nobody but the transfer may use it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from bson.int64 import Int64
from bson.objectid import ObjectId
from pymongo import DeleteOne, ReplaceOne
from pymongo.errors import PyMongoError

from fhir_server.faults import Fault, Kind
from fhir_server.store.api import Change, Stored
from fhir_server.store.mongo import schema
from fhir_server.store.mongo.classes import MongoPolicies, class_document, standing_document
from fhir_server.store.mongo.client import Document, unavailable
from fhir_server.store.mongo.parameters import MongoParameters
from fhir_server.store.mongo.prepared import MongoPrepared, document, prepare, superseded
from fhir_server.store.mongo.records import PROJECTION
from fhir_server.store.mongo.state import MongoState
from fhir_server.store.mongo.tools import Tools
from fhir_server.store.mongo.writing import written
from fhir_server.store.policies import Standing
from fhir_server.store.sealed import open_standing
from fhir_server.store.state import Put, Record
from fhir_server.store.transfer import Kept, Reached

_THE_TRANSFER: Final = "transfer"
_CHUNK: Final = 500
_PUTS: Final = 100
_FILLED: Final = (schema.RESOURCE, schema.HISTORY, schema.STATE, schema.STANDING, schema.CLASS)
"""The collections in which a store that was ever used has something."""


class MongoDestination:
    """Implements :class:`fhir_server.store.transfer.Destination`. Every write is idempotent."""

    def __init__(
        self, tools: Tools, policies: MongoPolicies, state: MongoState, parameters: MongoParameters
    ) -> None:
        self._tools = tools
        self._policies = policies
        self._state = state
        self._parameters = parameters
        self._db = tools.engine.db

    async def begin(self, newest: int) -> Reached:
        """Return how far an earlier transfer came, or note that one begins.

        From then on nobody else writes, a server neither that opened the store while it was empty. Raises
        Fault(CONFLICT) when the store holds anything that no unfinished transfer has brought.
        """
        meta = self._db.get_collection(schema.META)
        if found := await meta.find_one({"_id": _THE_TRANSFER}):
            await self._tools.stamps.hold()
            return Reached(found["newest"], found["after"])
        await self._refuse_filled()
        await self._tools.stamps.hold()
        try:
            # What was being written before everybody was held off.
            await self._refuse_filled()
        except Fault:
            await self._tools.stamps.release()
            raise
        reached = Reached(newest)
        await self._note(reached)
        return reached

    async def _refuse_filled(self) -> None:
        for name in _FILLED:
            if await self._db.get_collection(name).find_one({}, {"_id": 1}) is not None:
                raise Fault(
                    Kind.CONFLICT,
                    "The database holds a store that is in use; nothing was changed. Name an empty database.",
                )

    async def take(self, versions: Sequence[Kept], reached: Reached | None = None) -> None:
        """Keep versions, durably, and how far that is: ``reached``, or None for as far as before."""
        try:
            await self._take(versions)
            if reached is not None:
                await self._note(reached)
        except PyMongoError as error:
            raise unavailable(error) from error

    async def take_rules(self, rules: Sequence[tuple[int, bytes]]) -> None:
        """Keep policy classes under their numbers."""
        await self._replace(
            schema.CLASS, [class_document(self._tools, number, rule) for number, rule in rules]
        )
        greatest = max((number for number, _ in rules), default=0)
        await written(
            self._tools,
            lambda session: self._tools.stamps.enter(session, governing=True, classes=greatest),
        )

    async def take_standings(self, standings: Sequence[Standing]) -> None:
        """Keep how patients stand; their classes are known."""
        await self._replace(schema.STANDING, [standing_document(self._tools, each) for each in standings])

    async def take_records(self, records: Sequence[Record]) -> None:
        """Keep state records, and no other ones."""
        try:
            await self._db.get_collection(schema.STATE).delete_many({})
        except PyMongoError as error:
            raise unavailable(error) from error
        for begin in range(0, len(records), _PUTS):
            await self._state.apply(
                [
                    Put(each.kind, each.key, each.body, None, each.expires, each.tags)
                    for each in records[begin : begin + _PUTS]
                ]
            )

    async def is_unfinished(self) -> bool:
        """Tell whether the store waits for the rest of a transfer. One round trip."""
        try:
            return await self._db.get_collection(schema.META).find_one({"_id": _THE_TRANSFER}) is not None
        except PyMongoError as error:
            raise unavailable(error) from error

    async def finish(self) -> None:
        """Note that all is taken: from now on the store may be served."""
        await self._db.get_collection(schema.META).delete_one({"_id": _THE_TRANSFER})
        await self._tools.stamps.release()

    async def count(self) -> int:
        """Return how many versions there are."""
        counted = [
            await self._db.get_collection(name).count_documents({})
            for name in (schema.RESOURCE, schema.HISTORY)
        ]
        return sum(counted)

    async def versions(self, after: int = 0) -> AsyncIterator[Sequence[Kept]]:
        """Yield the current versions with greater numbers than ``after``, then those that were superseded."""
        for name, number in ((schema.RESOURCE, "w"), (schema.HISTORY, "_id")):
            reached = after
            while True:
                found = await self._listed(name, number, reached)
                if not found:
                    break
                reached = found[-1][number]
                stored = await self._tools.opener.all(found)
                yield [
                    Kept(row[number], row["n"], row.get("until"), each)
                    for row, each in zip(found, stored, strict=True)
                ]

    async def rules(self) -> list[tuple[int, bytes]]:
        """Return the numbers and rules of all policy classes, in order."""
        return await self._policies.rules()

    async def standings(self) -> AsyncIterator[Sequence[Standing]]:
        """Yield how each patient stands of whom anything is written down, some at a time."""
        after: int | None = None
        while True:
            where = {} if after is None else {"_id": {"$gt": after}}
            rows = await self._all(schema.STANDING, where, {"v": 1, "p": 1}, "_id")
            if not rows:
                return
            after = rows[-1]["_id"]
            envelope = self._tools.envelope
            yield await self._policies.standing(
                open_standing(envelope, row["_id"], row["v"], row["p"]).patient for row in rows
            )

    async def records(self) -> list[Record]:
        """Return the state records that have not expired."""
        kinds = await self._db.get_collection(schema.STATE).distinct("kind")
        return [record for kind in sorted(kinds) for record in await self._state.of_kind(kind)]

    async def parameters(self) -> tuple[int, bytes]:
        """Return the generation and the text of the custom search parameters."""
        return await self._parameters.read()

    async def _note(self, reached: Reached) -> None:
        document = {"_id": _THE_TRANSFER, "newest": Int64(reached.newest), "after": Int64(reached.after)}
        meta = self._db.get_collection(schema.META)
        await meta.replace_one({"_id": _THE_TRANSFER}, document, upsert=True)

    async def _take(self, versions: Sequence[Kept]) -> None:
        places = await self._places(versions)
        resources: list[ReplaceOne[Document] | DeleteOne] = []
        identities: dict[Int64, ReplaceOne[Document]] = {}
        history: list[ReplaceOne[Document]] = []
        for kept in versions:
            item = prepare(self._tools, self._change(kept.stored))
            digest = item.digest
            before = {"c": places.get(digest, digest), "n": Int64(kept.created)}
            whole = document(item, await self._file(item), before, Int64(kept.number))
            place = places[digest] = whole["c"]
            if kept.until is None:
                resources.append(ReplaceOne({"_id": digest, "c": place}, whole, upsert=True))
                identities[digest] = ReplaceOne({"_id": digest}, {"_id": digest, "c": place}, upsert=True)
            else:
                # It may have been the current one when an earlier attempt took it.
                resources.append(DeleteOne({"_id": digest, "v": kept.stored.version}))
                past = superseded(whole, kept.until)
                history.append(ReplaceOne({"_id": past["_id"]}, past, upsert=True))
        for name, writes in (
            (schema.HISTORY, history),
            (schema.IDENTITY, list(identities.values())),
            (schema.RESOURCE, resources),
        ):
            if writes:
                await self._db.get_collection(name).bulk_write(list[Any](writes))

    async def _places(self, versions: Sequence[Kept]) -> dict[Int64, Int64]:
        """Return the compartments of resources whose deletions are taken: those of what they deleted."""
        deleted = [self._digest(kept.stored) for kept in versions if kept.stored.deleted]
        if not deleted:
            return {}
        before = {"h": {"$in": deleted}}
        rows = await self._db.get_collection(schema.HISTORY).find(before, {"h": 1, "c": 1, "v": 1}).to_list()
        return {row["h"]: row["c"] for row in sorted(rows, key=lambda row: int(row["v"]))}

    def _change(self, stored: Stored) -> Change:
        values = None if stored.deleted else self._tools.extractor(stored.type, stored.body)
        return Change(
            stored.type, stored.id, stored.version, stored.updated, stored.method, stored.body, values
        )

    async def _file(self, item: MongoPrepared) -> ObjectId | None:
        """Return the file of a payload that must lie in one, that of an earlier attempt when there is one."""
        if not item.is_filed:
            return None
        for name, of in ((schema.RESOURCE, "_id"), (schema.HISTORY, "h")):
            where = {of: item.digest, "v": item.change.version}
            found = await self._db.get_collection(name).find_one(where, {"g": 1})
            if found and "g" in found:
                known: ObjectId = found["g"]
                return known
        return await self._tools.files.write(item.payload)

    async def _listed(self, name: str, number: str, after: int) -> list[Document]:
        wanted = {**PROJECTION, "until": 1}
        return await self._all(name, {number: {"$gt": Int64(after)}}, wanted, number)

    async def _all(self, name: str, where: Document, wanted: Document, order: str) -> list[Document]:
        try:
            cursor = self._db.get_collection(name).find(where, wanted).sort(order).limit(_CHUNK)
            return await cursor.to_list()
        except PyMongoError as error:
            raise unavailable(error) from error

    async def _replace(self, name: str, documents: Sequence[Document]) -> None:
        writes = [ReplaceOne({"_id": each["_id"]}, each, upsert=True) for each in documents]
        if not writes:
            return
        try:
            await self._db.get_collection(name).bulk_write(writes)
        except PyMongoError as error:
            raise unavailable(error) from error

    def _digest(self, stored: Stored) -> Int64:
        return Int64(self._tools.blind.target(f"{stored.type}/{stored.id}"))
