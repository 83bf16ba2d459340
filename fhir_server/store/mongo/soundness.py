"""Looking for damage: every payload opens, and documents hold what their resources say and nothing else.

Each chunk is looked at on one snapshot, while the store serves. Findings are counted, and name no resource.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import pairwise
from typing import Any, Final

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import PyMongoError

from fhir_server.crypto.envelope import Damaged
from fhir_server.crypto.keys import KeyFault
from fhir_server.faults import Fault
from fhir_server.store import sealed
from fhir_server.store.bodies import id_of
from fhir_server.store.mongo import schema
from fhir_server.store.mongo.client import Document, unavailable
from fhir_server.store.mongo.documents import ARRAYS, INSTANTS, fields
from fhir_server.store.mongo.places import compartment
from fhir_server.store.mongo.prepared import sealed_by
from fhir_server.store.mongo.tools import Tools
from fhir_server.store.mongo.versions import digest_of

_CHUNK: Final = 200

_CLOSED: Final = "{} versions cannot be opened."
_MARKED: Final = "{} versions are sealed under another key than their documents say."
_LACKING: Final = "{} resources lack search values: run fhir-server reindex."
_TOO_MANY: Final = "{} resources have search values that they should not have."
_ELSEWHERE: Final = (
    "{} resources lie in another compartment than that of their patient: run fhir-server reindex."
)
_NOT_FOUND: Final = "{} resources cannot be found by id."
_NOWHERE: Final = "{} ids lead to no resource."
_GAPS: Final = "{} resources have gaps in their history."
_STRAY: Final = "{} versions belong to no resource."
_FILES: Final = "{} files of payloads belong to no version."
_RECORDS: Final = "{} records of accounts and clients cannot be opened."
_CONSENTS: Final = "{} rules or standings of patients cannot be opened."
_STRANGE: Final = "{} rules or standings of patients are not what they were digested from."
_NO_CLASS: Final = "{} times in policy classes are of a class that is not there."
_OVERLAP: Final = "{} times in policy classes overlap others or end before they begin."


class Inspection:
    """One look through one store."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._db = tools.engine.db
        self._found: Counter[str] = Counter()
        self._classes: set[int] = set()

    async def run(self) -> list[str]:
        """Return what is wrong, a sentence each; [] = sound. Fault(UNAVAILABLE) when it cannot be told."""
        try:
            await self._each(schema.RESOURCE, self._look_at_resources)
            await self._each(schema.HISTORY, self._look_at_history)
            await self._each(schema.IDENTITY, self._look_at_identities)
            await self._look_at_files()
            await self._look_at_records()
            await self._look_at_classes()
            await self._look_at_standings()
        except PyMongoError as error:
            raise unavailable(error) from error
        return [sentence.format(number) for sentence, number in self._found.items() if number]

    async def _each(self, name: str, look: Callable[[Sequence[Document], AsyncClientSession], Any]) -> None:
        """Look at all documents of a collection, some at a time, each time on one snapshot."""
        after: Document = {}

        async def work(session: AsyncClientSession) -> Any:
            cursor = self._db.get_collection(name).find(
                after, sort=[("_id", 1)], limit=_CHUNK, session=session
            )
            documents = await cursor.to_list()
            # Counted apart: a transaction that is run again must not count twice.
            counted = await look(documents, session) if documents else Counter()
            return documents[-1]["_id"] if documents else None, counted

        while True:
            last, counted = await self._tools.engine.snapshot(work)
            self._found.update(counted)
            if last is None:
                return
            after = {"_id": {"$gt": last}}

    async def _look_at_resources(
        self, documents: Sequence[Document], session: AsyncClientSession
    ) -> Counter[str]:
        digests = [document["_id"] for document in documents]
        earlier = await self._db.get_collection(schema.HISTORY).aggregate(
            [{"$match": {"h": {"$in": digests}}}, {"$group": {"_id": "$h", "versions": {"$sum": 1}}}],
            session=session,
        )
        versions = {row["_id"]: row["versions"] for row in await earlier.to_list()}
        identities = self._db.get_collection(schema.IDENTITY).find({"_id": {"$in": digests}}, session=session)
        lies = {row["_id"]: row["c"] for row in await identities.to_list()}
        payloads = await self._payloads(documents)
        counted = await asyncio.to_thread(self._judged, documents, payloads)
        for document in documents:
            counted[_GAPS] += versions.get(document["_id"], 0) != document["v"] - 1
            counted[_NOT_FOUND] += lies.get(document["_id"]) != document["c"]
        return counted

    async def _look_at_history(
        self, documents: Sequence[Document], session: AsyncClientSession
    ) -> Counter[str]:
        heads = self._db.get_collection(schema.RESOURCE).find(
            {"_id": {"$in": [document["h"] for document in documents]}}, {"v": 1}, session=session
        )
        current = {row["_id"]: row["v"] for row in await heads.to_list()}
        payloads = await self._payloads(documents)
        counted = await asyncio.to_thread(self._judged, documents, payloads)
        for document in documents:
            counted[_STRAY] += document["v"] >= current.get(document["h"], 0)
        return counted

    async def _look_at_identities(
        self, documents: Sequence[Document], session: AsyncClientSession
    ) -> Counter[str]:
        ids = [document["_id"] for document in documents]
        there = self._db.get_collection(schema.RESOURCE).find(
            {"_id": {"$in": ids}}, {"_id": 1}, session=session
        )
        return Counter({_NOWHERE: len(ids) - len(await there.to_list())})

    async def _payloads(self, documents: Sequence[Document]) -> list[bytes | None]:
        """Return the payload of each document, wherever it lies; None when it is not there."""
        found: list[bytes | None] = []
        for document in documents:
            payload = document.get("b")
            if payload is None and "g" in document:
                payload = await self._tools.files.read(document["g"])
            found.append(payload)
        return found

    def _judged(self, documents: Sequence[Document], payloads: Sequence[bytes | None]) -> Counter[str]:
        """Open versions; compare what current ones say with their documents. For a thread."""
        counted: Counter[str] = Counter()
        for document, payload in zip(documents, payloads, strict=True):
            body = None if payload is None else self._body(document, payload)
            if payload is None or body is None:
                counted[_CLOSED] += 1
                continue
            counted[_MARKED] += sealed_by(payload) != document["a"]
            if document.get("l"):
                counted.update(self._compared(document, body))
        return counted

    def _body(self, document: Document, payload: bytes) -> bytes | None:
        """Open a version; None when it is not what the document says."""
        type_, digest = document["t"], digest_of(document)
        try:
            body = self._tools.envelope.open(type_, digest, document["v"], payload)
            return body if self._tools.blind.target(f"{type_}/{id_of(type_, body)}") == digest else None
        except (Damaged, KeyFault, ValueError):
            return None

    def _compared(self, document: Document, body: bytes) -> Counter[str]:
        type_ = document["t"]
        values = self._tools.extractor(type_, body)
        expected = fields(type_, values, self._tools.keys, self._tools.clinical.get(type_))
        lacks = any(each not in document[name] for name in ARRAYS for each in expected[name])
        has_more = any(each not in expected[name] for name in ARRAYS for each in document[name])
        differs = any(expected[name] != document[name] for name in (*ARRAYS, *INSTANTS))
        lies = compartment(type_, document["_id"], expected["pat"])
        return Counter(
            {
                _LACKING: int(lacks or (differs and not has_more)),
                _TOO_MANY: int(has_more),
                _ELSEWHERE: int(lies != document["c"]),
            }
        )

    async def _look_at_files(self) -> None:
        async for chunk in _chunks(self._tools.files.names()):
            self._found[_FILES] += len(await self._tools.files.strays(chunk))

    async def _look_at_records(self) -> None:
        async for row in self._db.get_collection(schema.STATE).find({"v": {"$gt": 0}}):
            try:
                sealed.open_record(self._tools.envelope, row["kind"], row["_id"], row["v"], row["p"])
            except (Damaged, KeyFault):
                self._found[_RECORDS] += 1

    async def _look_at_classes(self) -> None:
        async for row in self._db.get_collection(schema.CLASS).find():
            self._classes.add(row["_id"])
            try:
                rule = sealed.open_rule(self._tools.envelope, row["_id"], row["p"])
                self._found[_STRANGE] += self._tools.blind.rule(rule) != row["digest"]
            except Fault:
                self._found[_CONSENTS] += 1

    async def _look_at_standings(self) -> None:
        async for row in self._db.get_collection(schema.STANDING).find():
            times = row["z"]
            self._found[_NO_CLASS] += sum(each["n"] not in self._classes for each in times)
            self._found[_OVERLAP] += sum(each["a"] >= each["b"] for each in times)
            self._found[_OVERLAP] += sum(one["b"] > other["a"] for one, other in pairwise(times))
            try:
                content = sealed.open_standing(self._tools.envelope, row["_id"], row["v"], row["p"])
                digest = sealed.patient_digest(self._tools.blind, content.patient)
                self._found[_STRANGE] += digest != row["_id"]
            except Fault:
                self._found[_CONSENTS] += 1


async def _chunks(items: AsyncIterator[Any]) -> AsyncIterator[list[Any]]:
    """Yield what an iterator yields, some at a time."""
    chunk: list[Any] = []
    async for item in items:
        chunk.append(item)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
