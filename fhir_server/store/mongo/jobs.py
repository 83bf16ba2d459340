"""Durable jobs in MongoDB: queued, claimed by one process, taken over when that one falls silent.

``job``: _id is the job's id; ``kind``, ``parameters`` and ``progress`` (JSON), ``state``, ``created``,
``beat``, ``outcome``, ``owner``, ``cancelled``; ``is_open`` while it is unfinished, by which an index keeps a
second one of its kind out. Every change is one document's, so that no transaction is needed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, Final, TypeVar
from uuid import uuid4

import msgspec
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError, PyMongoError

from fhir_server.store.mongo.client import Document, unavailable
from fhir_server.store.mongo.schema import JOB
from fhir_server.store.mongo.tools import Tools
from fhir_server.store.mongo.watching import Watcher
from fhir_server.store.upkeep import FINISHED, Job, JobState, JobUnderWay

KEPT: Final = 100
"""Finished jobs that are remembered."""

_ATTEMPTS: Final = 5

T = TypeVar("T")


class MongoJobs:
    """Implements :class:`fhir_server.store.upkeep.Jobs`."""

    def __init__(self, tools: Tools, watcher: Watcher) -> None:
        self._jobs = tools.engine.db.get_collection(JOB)
        self._watcher = watcher

    async def add(self, kind: str, parameters: Mapping[str, Any], now: int) -> Job:
        """Queue a job; raises JobUnderWay while another of its kind is unfinished."""
        job = Job(uuid4().hex, kind, parameters, "queued", now, now, {})
        for _ in range(_ATTEMPTS):
            try:
                await self._jobs.insert_one(_document(job))
                break
            except DuplicateKeyError:
                other = await _asked(self._jobs.find_one({"kind": kind, "is_open": True}, {"_id": 1}))
                if other is not None:
                    raise JobUnderWay(other["_id"]) from None
                # It has just ended.
            except PyMongoError as error:
                raise unavailable(error) from error
        self._watcher.rung()
        await self._forget_old()
        return job

    async def get(self, id_: str) -> Job | None:
        """Return a job; None when unknown."""
        return _job(await _asked(self._jobs.find_one({"_id": id_})))

    async def claim(self, owner: str, kinds: frozenset[str], now: int, silent_since: int) -> Job | None:
        """Take the oldest job that is queued, or whose owner was not heard of since ``silent_since``."""
        free = [{"state": "queued"}, {"state": "running", "beat": {"$lt": silent_since}}]
        where = {"kind": {"$in": sorted(kinds)}, "$or": free}
        # Looked for first: every process looks twice a second, and a write goes to a majority of the members.
        if await _asked(self._jobs.find_one(where, {"_id": 1})) is None:
            return None
        taken = {"$set": {"state": "running", "owner": owner, "beat": now}}
        return await self._change(where, taken, sort=[("created", 1), ("_id", 1)])

    async def save(self, id_: str, owner: str, progress: Mapping[str, Any], now: int) -> Job | None:
        """Write down progress, a sign of life too; None when the job is no longer this owner's."""
        said = {"$set": {"progress": _text(progress), "beat": now}}
        return await self._change({"_id": id_, "owner": owner, "state": "running"}, said)

    async def finish(self, id_: str, owner: str, state: JobState, outcome: str, now: int) -> None:
        """End a job of this owner, or give it back (``queued``) for another process to go on with."""
        said: Document = {"$set": {"state": state, "outcome": outcome, "beat": now, "owner": ""}}
        if state in FINISHED:
            said["$unset"] = {"is_open": ""}
        await self._change({"_id": id_, "owner": owner, "state": "running"}, said)

    async def cancel(self, id_: str, now: int) -> Job | None:
        """Ask for a job to stop; a queued one is cancelled at once. None when unknown."""
        said = {"state": "cancelled", "outcome": "Cancelled before it began.", "beat": now}
        stopped = {"$set": said, "$unset": {"is_open": ""}}
        found = await self._change({"_id": id_, "state": "queued"}, stopped)
        if found is None:
            found = await self._change({"_id": id_, "state": "running"}, {"$set": {"cancelled": True}})
        return found or await self.get(id_)

    async def added(self, seconds: float) -> None:
        """Return when any process has added a job, after ``seconds`` at the latest."""
        await self._watcher.job(seconds)

    async def _change(self, where: Document, change: Document, sort: Any = None) -> Job | None:
        changing = self._jobs.find_one_and_update(
            where, change, sort=sort, return_document=ReturnDocument.AFTER
        )
        return _job(await _asked(changing))

    async def _forget_old(self) -> None:
        old = self._jobs.find(
            {"state": {"$in": sorted(FINISHED)}}, {"_id": 1}, sort=[("created", -1)], skip=KEPT
        )
        ids = [row["_id"] for row in await _asked(old.to_list())]
        if ids:
            await _asked(self._jobs.delete_many({"_id": {"$in": ids}}))


async def _asked(answer: Awaitable[T]) -> T:
    try:
        return await answer
    except PyMongoError as error:
        raise unavailable(error) from error


def _document(job: Job) -> Document:
    return {
        "_id": job.id,
        "kind": job.kind,
        "parameters": _text(job.parameters),
        "state": job.state,
        "created": job.created,
        "beat": job.beat,
        "progress": _text(job.progress),
        "outcome": job.outcome,
        "owner": job.owner,
        "cancelled": job.is_cancelled,
        "is_open": True,
    }


def _job(row: Document | None) -> Job | None:
    if row is None:
        return None
    return Job(
        row["_id"],
        row["kind"],
        msgspec.json.decode(row["parameters"]),
        row["state"],
        int(row["created"]),
        int(row["beat"]),
        msgspec.json.decode(row["progress"]),
        row["outcome"],
        row["owner"],
        row["cancelled"],
    )


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
