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
from itertools import takewhile
from typing import Final

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.command_cursor import AsyncCommandCursor
from pymongo.errors import DocumentTooLarge, OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern

from fhir_server.faults import Fault, Kind
from fhir_server.store.mongo.client import Document, Engine, too_costly, unavailable
from fhir_server.store.mongo.filters import Stage, depth
from fhir_server.store.mongo.question import nested_too_deeply
from fhir_server.store.mongo.schema import META, RESOURCE, THE_STORE

MOST_DEEP: Final = 100
"""Documents and lists within each other: the engine promises no more.
https://www.mongodb.com/docs/manual/reference/limits/#mongodb-limit-Nested-Depth-for-BSON-Documents"""

UNLIMITED: Final = 1e9
"""Seconds for work that may take as long as it takes."""

_SNAPSHOT: Final = ReadConcern("snapshot")
_LONGEST_MS: Final = 2**31 - 1

# https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml
_TOO_LARGE: Final = frozenset({4568, 10334, 17280, 17419, 17420})  # the first: of one $lookup
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

    @property
    def is_transaction(self) -> bool:
        """True when it reads in a transaction: not alone, and not in a snapshot session of a cluster."""
        return self.session is not None and self.session.in_transaction

    async def all(self, pipeline: Sequence[Stage], expected: int) -> list[Document]:
        """Run a pipeline over the resources; ``expected``: how many documents it gives at most, or so."""
        found: list[Document] = []
        for name, stages in parts(pipeline, self.session):
            # One more than there are: the engine then says in its first answer that there are no others.
            async with await self._aggregate(stages, expected + 1, name) as cursor:
                found += await cursor.to_list()
        return found

    async def several(self, pipelines: Sequence[Sequence[Stage]], expected: int) -> list[list[Document]]:
        """Run several pipelines whose documents are small at once; ``expected``: how many each gives at most.

        A transaction may hold no ``$unionWith``, but looks up what has nothing to do with a candidate: not in
        a cluster, where that would be of what is sharded.
        """
        if len(pipelines) <= 1 or (self.is_transaction and self.engine.is_cluster):
            return [await self.all(each, expected) for each in pipelines]
        names = [f"j{place}" for place in range(len(pipelines))]
        looking = [
            {"$lookup": {"from": RESOURCE, "pipeline": list(each), "as": name}}
            for name, each in zip(names, pipelines, strict=True)
        ]
        the_store = {"$match": {"_id": THE_STORE}}
        async with await self._aggregate([the_store, *looking], 2, META) as cursor:
            [found] = await cursor.to_list()
        return [found[name] for name in names]

    async def chunks(self, pipeline: Sequence[Stage], size: int) -> AsyncIterator[list[Document]]:
        """Run a pipeline whose documents are many or large, ``size`` of them at a time."""
        for name, stages in parts(pipeline, self.session):
            async with await self._aggregate(stages, size, name) as cursor:
                while cursor.alive:
                    chunk = await cursor.to_list(size)
                    self.trips += cursor.alive
                    if chunk:
                        yield chunk

    async def _aggregate(
        self, pipeline: Sequence[Stage], batch: int, name: str
    ) -> AsyncCommandCursor[Document]:
        if depth(pipeline) > MOST_DEEP:
            raise nested_too_deeply()
        collection = self.engine.db.get_collection(name)
        if self.session is None:
            collection = collection.with_options(read_concern=_SNAPSHOT)
        left_ms = min(max(int((self.until - time.monotonic()) * 1000), 1), _LONGEST_MS)
        self.trips += 1
        return await collection.aggregate(
            list(pipeline), session=self.session, batchSize=batch, maxTimeMS=left_ms, allowDiskUse=True
        )


def union(pipelines: Iterable[Sequence[Stage]]) -> list[Stage]:
    """Return one pipeline over the resources that gives what several give, one after the other."""
    first, *others = pipelines
    return [*first, *({"$unionWith": {"coll": RESOURCE, "pipeline": list(each)}} for each in others)]


def parts(pipeline: Sequence[Stage], session: AsyncClientSession | None) -> list[tuple[str, Sequence[Stage]]]:
    """Return the collections and pipelines that a pipeline over the resources is run as.

    A transaction may hold no ``$unionWith``: there the unions that a pipeline ends with are run one by one.
    https://www.mongodb.com/docs/manual/reference/operator/aggregation/unionWith/
    """
    if session is None or not session.in_transaction:
        return [(RESOURCE, pipeline)]
    alone = list(takewhile(lambda stage: "$unionWith" not in stage, pipeline))
    unions = [stage["$unionWith"] for stage in pipeline[len(alone) :]]
    return [(RESOURCE, alone), *((each["coll"], each["pipeline"]) for each in unions)]


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
    except RecursionError:
        raise nested_too_deeply() from None
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
