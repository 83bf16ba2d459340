"""The store's own compression dictionaries in MongoDB: learned, sealed, known to every process.

``dictionary``: _id is the number, ``p`` sealed. A payload names its dictionary by number, so that all that
were ever used are kept. ``meta`` tells at how many versions it was learned last.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from pymongo import MongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import PyMongoError

from fhir_server.crypto.envelope import FIRST_LEARNED, Damaged, Envelope
from fhir_server.store.learning import Counted, Learner, Sample, reached, sample_size, trained
from fhir_server.store.mongo.client import Document, unavailable
from fhir_server.store.mongo.records import PROJECTION
from fhir_server.store.mongo.schema import DICTIONARY, HISTORY, META, RESOURCE
from fhir_server.store.mongo.tools import Tools
from fhir_server.store.mongo.versions import is_deletion
from fhir_server.store.mongo.writing import may_seal, written
from fhir_server.store.sealed import DICTIONARY as BOUND

LEARNED: Final = "learned"
"""The _id in ``meta`` of at how many versions a dictionary was learned last."""

_FETCH_MS: Final = 2000
"""How long a process waits, in ms, for a dictionary that another one has learned."""


def fetch(uri: str, database: str, envelope: Envelope, number: int) -> bytes | None:
    """Read a dictionary that another process has learned, by a connection of its own; None: there is none.

    Payloads are opened where nothing can be awaited; it happens once in a process for each dictionary, when
    the change stream did not tell of it in time.
    """
    try:
        with MongoClient[dict[str, Any]](
            uri, serverSelectionTimeoutMS=_FETCH_MS, socketTimeoutMS=_FETCH_MS, appname="fhir-server"
        ) as client:
            found = client[database].get_collection(DICTIONARY).find_one({"_id": number})
    except PyMongoError as error:
        raise unavailable(error) from error
    return None if found is None else envelope.open(BOUND, number, 0, found["p"])


async def adopt_all(tools: Tools) -> None:
    """Make the store's dictionaries known to the envelope; what is damaged shows when it is needed."""
    try:
        rows = await tools.engine.db.get_collection(DICTIONARY).find().sort("_id").to_list()
    except PyMongoError as error:
        raise unavailable(error) from error
    for row in rows:
        adopt(tools.envelope, row)


def adopt(envelope: Envelope, row: Document) -> None:
    """Make one dictionary known to the envelope."""
    with contextlib.suppress(Damaged):
        envelope.adopt(row["_id"], envelope.open(BOUND, row["_id"], 0, row["p"]))


async def counted(tools: Tools) -> Counted:
    """Count the versions of the store, as the engine's own figures have them."""
    try:
        sizes = [
            await tools.engine.db.get_collection(name).estimated_document_count()
            for name in (RESOURCE, HISTORY)
        ]
        done = await tools.engine.db.get_collection(META).find_one({"_id": LEARNED})
    except PyMongoError as error:
        raise unavailable(error) from error
    return Counted(sum(sizes), 0 if done is None else done["versions"])


class MongoLearner(Learner):
    """Learns from the records of one store; make it with what :func:`counted` returns."""

    def __init__(self, tools: Tools, schedule: Sequence[int], counted_: Counted) -> None:
        super().__init__(schedule, counted_)
        self._tools = tools

    async def _count(self) -> Counted:
        return await counted(self._tools)

    async def _train(self) -> bytes | None:
        sizes = {
            name: await self._tools.engine.db.get_collection(name).estimated_document_count()
            for name in (RESOURCE, HISTORY)
        }
        versions = sum(sizes.values())
        documents: list[Document] = []
        for name, size in sizes.items():
            share = sample_size(versions) * size // max(1, versions)
            if share:
                documents += await self._sample(name, share)
        return await asyncio.to_thread(self._trained, documents)

    async def _sample(self, name: str, size: int) -> list[Document]:
        # Those in files are few, and large enough to be compressed well by themselves.
        pipeline: list[Document] = [
            {"$sample": {"size": size}},
            {"$match": {"b": {"$exists": True}}},
            {"$project": PROJECTION},
        ]
        try:
            cursor = await self._tools.engine.db.get_collection(name).aggregate(pipeline)
            return await cursor.to_list()
        except PyMongoError as error:
            raise unavailable(error) from error

    def _trained(self, documents: Sequence[Document]) -> bytes | None:
        samples: list[Sample] = []
        for document in documents:
            if not is_deletion(document):
                stored = self._tools.opener.stored(document)
                about = self._tools.extractor(stored.type, stored.body).patients
                samples.append((about[0] if about else f"{stored.type}/{stored.id}", stored.body))
        return trained(samples, self._tools.envelope)

    async def _keep(self, content: bytes | None) -> None:
        done = reached(self._schedule, await self._count())
        if done is not None:
            await written(self._tools, partial(self._kept, content, done))

    async def _kept(self, content: bytes | None, done: int, session: AsyncClientSession) -> None:
        """Write down a dictionary unless another process has learned from as many versions meanwhile."""
        meta = self._tools.engine.db.get_collection(META)
        known = await meta.find_one({"_id": LEARNED}, session=session)
        if known is not None and known["versions"] >= done:
            return
        may_seal(self._tools, await self._tools.stamps.enter(session))
        await meta.replace_one(
            {"_id": LEARNED}, {"_id": LEARNED, "versions": done}, upsert=True, session=session
        )
        if content is not None:
            rows = self._tools.engine.db.get_collection(DICTIONARY)
            last = await rows.find_one({}, {"_id": 1}, sort=[("_id", -1)], session=session)
            # The schedule is far shorter than the numbers that one byte leaves.
            number = FIRST_LEARNED if last is None else last["_id"] + 1
            payload = self._tools.envelope.seal_plainly(BOUND, number, 0, content)
            await rows.insert_one({"_id": number, "p": payload}, session=session)

    async def _adopt(self) -> None:
        await adopt_all(self._tools)
