"""Versions in both collections: ``resource`` has the current ones, ``history`` those before.

Numbers of versions (``w``) order both; in ``history`` they are the _id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bson.int64 import Int64
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.read_concern import ReadConcern

from fhir_server.store.api import HistoryQuery
from fhir_server.store.bodies import DELETE
from fhir_server.store.mongo.client import Document, Engine
from fhir_server.store.mongo.reading import parts
from fhir_server.store.mongo.records import PROJECTION
from fhir_server.store.mongo.schema import HISTORY, RESOURCE

_SNAPSHOT: Final = ReadConcern("snapshot")
_NUMBER: Final = {"$ifNull": ["$w", "$_id"]}
_WHOLE: Final = {**PROJECTION, "w": _NUMBER}


@dataclass(frozen=True, slots=True)
class Scope:
    """What a query is about: the filters of current and of earlier versions, of one resource or of types."""

    current: Document
    earlier: Document

    @classmethod
    def of(cls, query: HistoryQuery, digest: int | None, types: Sequence[str]) -> Scope:
        """Return the scope; ``digest``: of the one resource; ``types``: else those that are meant."""
        times: Document = {} if query.since is None else {"u": {"$gte": query.since}}
        ended: Document = {}
        if query.at is not None:
            lo, hi = query.at
            times = {"u": {**times.get("u", {}), "$lte": hi}}
            ended = {"until": {"$gt": lo}}
        if digest is not None:
            current: Document = {"_id": Int64(digest)}
            earlier: Document = {"h": Int64(digest)}
        else:
            # By name even when all are meant: the index of versions begins with the type.
            current = earlier = {"t": {"$in": list(types)}}
        return cls({**current, **times}, {**earlier, **times, **ended})

    def before(self, number: int | None) -> Scope:
        """Return the scope of the versions with lower numbers."""
        if number is None:
            return self
        lower = {"$lt": Int64(number)}
        return Scope({**self.current, "w": lower}, {**self.earlier, "_id": lower})

    def numbers(self) -> list[Document]:
        """Return the pipeline over ``resource`` that gives the numbers of all versions, in no order."""
        return self._all({"_id": 0, "w": _NUMBER})

    def whole(self) -> list[Document]:
        """Return the pipeline over ``resource`` that gives all versions, whole, in no order."""
        return self._all(_WHOLE)

    def _all(self, projection: Document) -> list[Document]:
        project: Document = {"$project": projection}
        earlier = [{"$match": self.earlier}, project]
        return [{"$match": self.current}, project, {"$unionWith": {"coll": HISTORY, "pipeline": earlier}}]

    def newest(self, count: int) -> list[Document]:
        """Return the pipeline over ``resource`` that gives the newest versions, whole."""
        limit, whole = {"$limit": count}, {"$project": _WHOLE}
        earlier = [{"$match": self.earlier}, {"$sort": {"_id": -1}}, limit, whole]
        return [
            {"$match": self.current},
            {"$sort": {"w": -1}},
            limit,
            whole,
            {"$unionWith": {"coll": HISTORY, "pipeline": earlier}},
            {"$sort": {"w": -1}},
            limit,
        ]

    def counting(self) -> list[Document]:
        """Return the stages that add, to what a pipeline gives, how many versions there are (``total``)."""
        parts = ((RESOURCE, self.current), (HISTORY, self.earlier))
        group = {"$group": {"_id": None, "total": {"$sum": 1}}}
        return [
            {"$unionWith": {"coll": name, "pipeline": [{"$match": where}, group]}} for name, where in parts
        ]


async def run(
    engine: Engine, pipeline: Sequence[Document], session: AsyncClientSession | None = None
) -> list[Document]:
    """Run a pipeline over ``resource``; without a transaction it reads one point in time as well."""
    found: list[Document] = []
    for name, stages in parts(pipeline, session):
        collection = engine.db.get_collection(name)
        if session is None:
            # A version that moves to history meanwhile is met once.
            collection = collection.with_options(read_concern=_SNAPSHOT)
        cursor = await collection.aggregate(list(stages), session=session, allowDiskUse=True)
        found += await cursor.to_list()
    return found


def digest_of(document: Document) -> Int64:
    """Return the digest of ``Type/id`` of a document of either collection."""
    return Int64(document["h"] if "h" in document else document["_id"])


def is_deletion(document: Document) -> bool:
    """Tell whether a document of a version is a deletion."""
    return bool(document["m"] == DELETE)
