"""The custom search parameters that the index follows: their set, its generation, documents after a change.

A key in a document is a digest, and does not tell which parameter it is of, so that search fields are never
changed one by one: whatever lacks something, or holds too much, gets the fields that its body says. Each step
is one short transaction.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from bson.int64 import Int64
from pymongo import UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import PyMongoError

from fhir_server.search.values import Values
from fhir_server.store.api import Stale
from fhir_server.store.mongo.client import Document, unavailable
from fhir_server.store.mongo.documents import ARRAYS, INSTANTS, fields
from fhir_server.store.mongo.keys import parameter
from fhir_server.store.mongo.places import compartment
from fhir_server.store.mongo.records import PROJECTION
from fhir_server.store.mongo.schema import IDENTITY, META, PARAMETERS, RESOURCE
from fhir_server.store.mongo.tools import Tools
from fhir_server.store.mongo.writing import written
from fhir_server.store.upkeep import Rebuilt

_STEP: Final = 64
"""Resources of one step."""

_FIELDS: Final = (*ARRAYS, *INSTANTS)

_KINDS: Final = (
    "tokens",
    "strings",
    "dates",
    "numbers",
    "quantities",
    "references",
    "uris",
    "composites",
    "positions",
    "words",
)
"""The lists of :class:`Values` whose rows begin with a parameter's code."""


class MongoParameters:
    """Implements :class:`fhir_server.store.upkeep.Parameters`."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._meta = tools.engine.db.get_collection(META)
        self._resources = tools.engine.db.get_collection(RESOURCE)

    async def read(self) -> tuple[int, bytes]:
        """Return the generation and the text of the current set; b"" when there never was one."""
        try:
            found = await self._meta.find_one({"_id": PARAMETERS})
        except PyMongoError as error:
            raise unavailable(error) from error
        return (found["generation"], found["text"]) if found else (0, b"")

    async def write(self, text: bytes, generation: int) -> int:
        """Replace the set whose generation is ``generation``; return the new one. Raises Stale.

        When it returns, no commit by an earlier set can succeed any more, not even one that is under way.
        """
        await written(self._tools, partial(self._write, text, generation))
        return await self._raised()

    async def drop(self, type_: str, code: str) -> int:
        """Remove what some documents hold of a parameter; return how much, 0 when none is left."""
        return await written(self._tools, partial(self._drop, type_, code))

    async def rebuild(self, type_: str, after: int = 0) -> Rebuilt:
        """Give some current resources of a type the search fields that they lack, in one transaction.

        ``after``: the ``next`` of the step before.
        """
        if not after:
            # A process that died in the middle of ``write`` may have left commits a way around it.
            await self._raised()
        return await written(self._tools, partial(self._rebuild, type_, after))

    async def _raised(self) -> int:
        try:
            return await self._tools.stamps.raise_generation()
        except PyMongoError as error:
            raise unavailable(error) from error
        finally:
            self._tools.stamps.committed()

    async def _write(self, text: bytes, expected: int, session: AsyncClientSession) -> None:
        found = await self._meta.find_one({"_id": PARAMETERS}, {"generation": 1}, session=session)
        if (found["generation"] if found else 0) != expected:
            raise Stale
        document = {"_id": PARAMETERS, "generation": expected + 1, "text": text}
        await self._meta.replace_one({"_id": PARAMETERS}, document, upsert=True, session=session)

    async def _drop(self, type_: str, code: str, session: AsyncClientSession) -> int:
        present = self._tools.keys.present(parameter(type_, code))
        found = await self._found({"t": type_, "l": 1, "k": present}, session)
        return await self._give(found, session, without=code)

    async def _rebuild(self, type_: str, after: int, session: AsyncClientSession) -> Rebuilt:
        lane = await self._tools.stamps.enter(session)
        found = await self._found({"t": type_, "l": 1, "n": {"$gt": Int64(after)}}, session)
        rows = await self._give(found, session, generation=lane.generation)
        return Rebuilt(int(found[-1]["n"]) if len(found) == _STEP else None, len(found), rows)

    async def _found(self, where: Document, session: AsyncClientSession) -> list[Document]:
        wanted = {**PROJECTION, "c": 1, **dict.fromkeys(_FIELDS, 1)}
        cursor = self._resources.find(where, wanted, sort=[("n", 1)], limit=_STEP, session=session)
        return await self._tools.opener.fetched(await cursor.to_list())

    async def _give(
        self,
        found: list[Document],
        session: AsyncClientSession,
        *,
        generation: int | None = None,
        without: str | None = None,
    ) -> int:
        """Write the search fields that bodies say, where they differ; return by how many values.

        ``generation``: what they must be extracted by, else Stale. ``without``: leave a parameter out.
        """
        staying: list[UpdateOne] = []
        moving: list[UpdateOne] = []
        moved: list[UpdateOne] = []
        differing = 0
        for document in found:
            type_ = document["t"]
            values = self._tools.extractor(type_, self._tools.opener.body(document))
            if generation is not None and values.generation != generation:
                raise Stale
            if without is not None:
                leave_out(values, without)
            fresh = fields(type_, values, self._tools.keys, self._tools.clinical.get(type_))
            fresh["c"] = compartment(type_, document["_id"], fresh["pat"])
            changed = {name: fresh[name] for name in (*_FIELDS, "c") if fresh[name] != document[name]}
            if not changed:
                continue
            differing += max(1, sum(_difference(document[name], fresh[name]) for name in ARRAYS))
            where = {"_id": document["_id"], "c": document["c"], "v": document["v"]}
            (moving if "c" in changed else staying).append(UpdateOne(where, {"$set": changed}))
            if "c" in changed:
                moved.append(UpdateOne({"_id": document["_id"]}, {"$set": {"c": fresh["c"]}}))
        if staying:
            await self._resources.bulk_write(staying, session=session)
        for each in moving:
            # A cluster takes an update that leads to another shard in a command of its own only.
            await self._resources.bulk_write([each], session=session)
        if moved:
            await self._tools.engine.db.get_collection(IDENTITY).bulk_write(moved, session=session)
        return differing


def _difference(before: list[object], after: list[object]) -> int:
    """Return how many values one list has and the other has not."""
    return sum(each not in before for each in after) + sum(each not in after for each in before)


def leave_out(values: Values, code: str) -> None:
    """Remove a parameter's rows, and those that its modifiers ask for."""

    def stays(row: tuple[object, ...]) -> bool:
        return row[0] != code and not str(row[0]).startswith(f"{code}:")

    for kind in _KINDS:
        setattr(values, kind, list(filter(stays, getattr(values, kind))))
