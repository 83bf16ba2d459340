"""Payloads that are too large for a document, as files of a GridFS bucket.

A file is written before the transaction that refers to it, and removed when that fails. Where a process dies
in between, the file stays, refers to nothing and can be opened by nobody but the store: ``check`` counts it.
https://www.mongodb.com/docs/manual/core/gridfs/
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from io import BytesIO
from typing import Final

from bson.objectid import ObjectId
from gridfs import AsyncGridFSBucket
from gridfs.errors import NoFile
from pymongo.errors import PyMongoError

from fhir_server.store.mongo.client import Engine
from fhir_server.store.mongo.schema import PAYLOAD

_CHUNK_BYTES: Final = 4 * 1024 * 1024


class Files:
    """The files of one store. Errors of the engine pass: callers turn them into faults."""

    def __init__(self, engine: Engine) -> None:
        self._files = engine.db.get_collection(f"{PAYLOAD}.files")
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

    async def names(self) -> AsyncIterator[ObjectId]:
        """Yield the ids of all files."""
        async for found in self._files.find({}, {"_id": 1}):
            yield found["_id"]
