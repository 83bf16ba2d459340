"""Questions put to the engine: within their time, in one snapshot, and counted.

One question is one aggregate, which reads one point in time by its read concern; what takes several is a
transaction. https://www.mongodb.com/docs/manual/reference/read-concern-snapshot/
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.command_cursor import AsyncCommandCursor
from pymongo.errors import DocumentTooLarge, OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern

from fhir_server.faults import Fault, Kind
from fhir_server.store.mongo.client import Document, Engine, too_costly, unavailable
from fhir_server.store.mongo.filters import Stage, depth
from fhir_server.store.mongo.question import nested_too_deeply
from fhir_server.store.mongo.schema import RESOURCE

MOST_DEEP: Final = 100
"""Documents and lists within each other: the engine promises no more.
https://www.mongodb.com/docs/manual/reference/limits/#mongodb-limit-Nested-Depth-for-BSON-Documents"""

UNLIMITED: Final = 1e9
"""Seconds for work that may take as long as it takes."""

_SNAPSHOT: Final = ReadConcern("snapshot")
_LONGEST_MS: Final = 2**31 - 1

# https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml
_TOO_LARGE: Final = frozenset({10334, 17280, 17419, 17420})
_TOO_DEEP: Final = frozenset({15, 5107200, 51047, 40677, 17279})


@dataclass(slots=True)
class Reader:
    """Reads for one question. ``session``: in a transaction that is under way; None: one aggregate is all.

    ``until``: when it must have its answer, by the monotonic clock. ``trips``: how often it asked the engine.
    """

    engine: Engine
    session: AsyncClientSession | None
    until: float
    trips: int = 0

    async def all(self, pipeline: Sequence[Stage], expected: int) -> list[Document]:
        """Run a pipeline over the resources; ``expected``: how many documents it gives at most, or so."""
        # One more than there are: the engine then says in its first answer that there are no others.
        cursor = await self._aggregate(pipeline, expected + 1)
        async with cursor:
            return await cursor.to_list()

    async def chunks(self, pipeline: Sequence[Stage], size: int) -> AsyncIterator[list[Document]]:
        """Run a pipeline whose documents are many or large, ``size`` of them at a time."""
        cursor = await self._aggregate(pipeline, size)
        async with cursor:
            while cursor.alive:
                chunk = await cursor.to_list(size)
                self.trips += cursor.alive
                if chunk:
                    yield chunk

    async def _aggregate(self, pipeline: Sequence[Stage], batch: int) -> AsyncCommandCursor[Document]:
        if depth(pipeline) > MOST_DEEP:
            raise nested_too_deeply()
        resources = self.engine.db.get_collection(RESOURCE)
        if self.session is None:
            resources = resources.with_options(read_concern=_SNAPSHOT)
        left_ms = min(max(int((self.until - time.monotonic()) * 1000), 1), _LONGEST_MS)
        self.trips += 1
        return await resources.aggregate(
            list(pipeline), session=self.session, batchSize=batch, maxTimeMS=left_ms, allowDiskUse=True
        )


def union(pipelines: Iterable[Sequence[Stage]]) -> list[Stage]:
    """Return one pipeline over the resources that gives what several give, one after the other."""
    first, *others = pipelines
    return [*first, *({"$unionWith": {"coll": RESOURCE, "pipeline": list(each)}} for each in others)]


@asynccontextmanager
async def limited(seconds: float) -> AsyncIterator[float]:
    """Give the time at which the work in this block is stopped, by the monotonic clock.

    Raises Fault(TOO_COSTLY) when it was, and for what the engine takes neither so large nor so deep; the
    engine's other errors as :func:`unavailable` says them.
    """
    try:
        async with asyncio.timeout(seconds if seconds < UNLIMITED else None):
            yield time.monotonic() + seconds
    except TimeoutError:
        raise too_costly() from None
    except DocumentTooLarge as error:
        raise too_many_values() from error
    except OperationFailure as error:
        if error.code in _TOO_LARGE:
            raise too_many_values() from error
        raise (nested_too_deeply() if error.code in _TOO_DEEP else unavailable(error)) from error
    except PyMongoError as error:
        raise unavailable(error) from error


def too_many_values() -> Fault:
    """Make the fault of a search that names more values than one message to the engine holds."""
    return Fault(
        Kind.TOO_COSTLY,
        "The search, together with what limits you, names too many values. Ask for fewer of them at once.",
    )
