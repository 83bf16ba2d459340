"""What other processes have added, told by the engine as it happens: jobs, and learned dictionaries.

Nothing rests on it: who is told late asks for jobs by the clock, and fetches a dictionary when a payload
needs it. https://www.mongodb.com/docs/manual/changeStreams/
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Any, Final

from pymongo.errors import OperationFailure, PyMongoError

from fhir_server.faults import Fault
from fhir_server.store.mongo.client import Document
from fhir_server.store.mongo.dictionaries import adopt, adopt_all
from fhir_server.store.mongo.schema import DICTIONARY, JOB
from fhir_server.store.mongo.tools import Tools

_LOG: Final = logging.getLogger(__name__)
_ADDED: Final[list[Document]] = [
    {"$match": {"operationType": "insert", "ns.coll": {"$in": [DICTIONARY, JOB]}}}
]
_AWAIT_MS: Final = 10_000
"""How long the engine keeps a question open when nothing happens."""

_PAUSE_SECONDS: Final = 5.0
_HISTORY_LOST: Final = 286


class Watcher:
    """Watches one database from the first :meth:`job` on; close it. For one event loop."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._task: asyncio.Task[None] | None = None
        self._after: Mapping[str, Any] | None = None
        self._job = asyncio.Event()

    def rung(self) -> None:
        """Note that a job was added."""
        self._job.set()

    async def job(self, seconds: float) -> None:
        """Return when a job was added since the last time, after ``seconds`` at the latest."""
        if self._task is None:
            self._task = asyncio.create_task(self._watch(), name="watch-store")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._job.wait()
        self._job.clear()

    async def close(self) -> None:
        """Stop watching."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _watch(self) -> None:
        while True:
            try:
                await self._follow()
            except (PyMongoError, Fault) as error:
                # A stream that cannot go on from where it was, or a dictionary sealed under a key that this
                # process does not have yet: what it missed is asked for below.
                if isinstance(error, OperationFailure) and error.code == _HISTORY_LOST:
                    self._after = None
                _LOG.info("the change stream has ended", extra={"fields": {"error": type(error).__name__}})
            await asyncio.sleep(_PAUSE_SECONDS)
            self.rung()
            with contextlib.suppress(Fault):
                await adopt_all(self._tools)

    async def _follow(self) -> None:
        """Take what is told, from where it was left."""
        stream = await self._tools.engine.db.watch(
            _ADDED, resume_after=self._after, max_await_time_ms=_AWAIT_MS
        )
        async with stream:
            async for event in stream:
                self._after = event["_id"]
                if event["ns"]["coll"] == JOB:
                    self.rung()
                else:
                    adopt(self._tools.envelope, event["fullDocument"])
