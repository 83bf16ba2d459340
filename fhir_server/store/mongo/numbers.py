"""Numbers of resources and versions: 63 bits that grow with time, allotted without asking anybody.

::

    milliseconds since 2020 (41 bits) | process (14 bits) | sequence (8 bits)

So the order of numbers is the order of creation: exactly within a process, and between processes as exactly
as their clocks agree. A process asks for its own 14 bits once, at its first write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from bson.int64 import Int64
from pymongo import ReturnDocument
from pymongo.asynchronous.database import AsyncDatabase

from fhir_server.store.mongo.schema import META

_BEGINNING_MS: Final = 1_577_836_800_000
"""2020-01-01T00:00:00Z."""

_PROCESS_BITS: Final = 14
_SEQUENCE_BITS: Final = 8
_TIME_SHIFT: Final = _PROCESS_BITS + _SEQUENCE_BITS
_PROCESSES: Final = 1 << _PROCESS_BITS
_SEQUENCE: Final = 1 << _SEQUENCE_BITS

ALLOTTED: Final = "processes"
"""The _id in ``meta`` of how many processes have been given their bits (``count``)."""


class Numbers:
    """The numbers of one process. Await :meth:`ready` before the first one."""

    def __init__(self, db: AsyncDatabase[dict[str, Any]], clock: Callable[[], int]) -> None:
        self._meta = db.get_collection(META)
        self._clock = clock
        self._process = -1
        self._claiming = asyncio.Lock()
        self._time = 0
        self._sequence = 0

    async def ready(self) -> None:
        """See that this process has its bits: one round trip, the first time."""
        if self._process >= 0:
            return
        async with self._claiming:
            if self._process < 0:
                found = await self._meta.find_one_and_update(
                    {"_id": ALLOTTED}, {"$inc": {"count": 1}}, return_document=ReturnDocument.AFTER
                )
                assert found is not None, "made with the store"
                self._process = found["count"] % _PROCESSES

    def next(self, after: int = 0) -> Int64:
        """Return the next number, greater than all before it and than ``after``."""
        earliest = max(self._clock() - _BEGINNING_MS, (after >> _TIME_SHIFT) + 1 if after else 0)
        if earliest > self._time:
            self._time, self._sequence = earliest, 0
        elif self._sequence == _SEQUENCE - 1:
            # More than there are within a millisecond: borrow from the next.
            self._time, self._sequence = self._time + 1, 0
        else:
            self._sequence += 1
        return Int64((self._time << _PROCESS_BITS | self._process) << _SEQUENCE_BITS | self._sequence)
