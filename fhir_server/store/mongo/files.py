"""Payloads that are too large for a document, as files of a GridFS bucket.

A file is written before the transaction that refers to it, and removed when that fails. Where a process dies
in between, the file stays until a store is opened a day later; ``check`` counts it.
https://www.mongodb.com/docs/manual/core/gridfs/
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Final

from bson.objectid import ObjectId
from gridfs import AsyncGridFSBucket
from gridfs.errors import NoFile
from pymongo.errors import PyMongoError

from fhir_server.store.mongo.client import Engine
from fhir_server.store.mongo.schema import HISTORY, META, PAYLOAD, RESOURCE

SWEPT: Final = "files"
"""The _id in ``meta`` of up to where files were looked at (``until``, an id of a file)."""

_FIRST: Final = ObjectId(bytes(12))
_DAY_MS: Final = 86_400_000
_AT_ONCE: Final = 500
_CHUNK_BYTES: Final = 4 * 1024 * 1024


class Files:
    """The files of one store. Errors of the engine pass: callers turn them into faults."""

    def __init__(self, engine: Engine) -> None:
        self._files = engine.db.get_collection(f"{PAYLOAD}.files")
        self._meta = engine.db.get_collection(META)
        # In this order: a version only moves from the first to the second.
        self._versions = [engine.db.get_collection(name) for name in (RESOURCE, HISTORY)]
        self._bucket = AsyncGridFSBucket(engine.db, PAYLOAD, chunk_size_bytes=_CHUNK_BYTES)

    async def write(self, payload: bytes) -> ObjectId:
        """Write a file; return its id."""
        file = ObjectId()
        await self._bucket.upload_from_stream_with_id(file, "", payload)
        return file

    async def read(self, file: ObjectId) -> bytes | None:
        """Return what a file holds; None when it is not there.

        Outside of any transaction, where the driver reads no files: a file that is referred to is whole and
        never changes.
        """
        content = BytesIO()
        try:
            await self._bucket.download_to_stream(file, content)
        except NoFile:
            return None
        return content.getvalue()

    async def forget(self, files: Iterable[ObjectId]) -> None:
        """Remove files that nothing refers to; what cannot be removed now stays, see above."""
        for file in files:
            with contextlib.suppress(PyMongoError, NoFile):
                await self._bucket.delete(file)

    async def sweep(self, now_ms: int) -> int:
        """Remove what has been there for a day and nothing refers to; return how many there were.

        Each file is looked at once, and once a day at most. ``now_ms``: milliseconds since the epoch.
        """
        if now_ms < _DAY_MS:
            return 0
        until = ObjectId.from_datetime(datetime.fromtimestamp((now_ms - _DAY_MS) / 1000, UTC))
        swept = await self._meta.find_one({"_id": SWEPT})
        since = swept["until"] if swept else _FIRST
        if until.generation_time - since.generation_time < timedelta(days=1):
            return 0
        found = await self._files.find({"_id": {"$gte": since, "$lt": until}}, {"_id": 1}).to_list()
        names = [file["_id"] for file in found]
        strays: list[ObjectId] = []
        for begin in range(0, len(names), _AT_ONCE):
            strays += await self.strays(names[begin : begin + _AT_ONCE])
        await self.forget(strays)
        await self._meta.update_one({"_id": SWEPT}, {"$max": {"until": until}}, upsert=True)
        return len(strays)

    async def strays(self, files: Sequence[ObjectId]) -> set[ObjectId]:
        """Return those of some files that no version refers to."""
        strays = set(files)
        for versions in self._versions:
            referring = await versions.find({"g": {"$in": list(files)}}, {"g": 1}).to_list()
            strays.difference_update(version["g"] for version in referring)
        return strays

    async def names(self) -> AsyncIterator[ObjectId]:
        """Yield the ids of all files."""
        async for found in self._files.find({}, {"_id": 1}):
            yield found["_id"]
