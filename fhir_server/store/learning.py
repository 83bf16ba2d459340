"""When a store learns a compression dictionary from its records.

At its first few thousand versions, and again when it has ten times as many: records of other kinds may have
come. What a dictionary may hold is said in :mod:`fhir_server.crypto.learn`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final, NamedTuple

from fhir_server.crypto.envelope import Envelope
from fhir_server.crypto.learn import learn
from fhir_server.faults import Fault

SCHEDULE: Final = (2_000, 20_000, 200_000)
"""Versions in the store at which a dictionary is learned."""

_LOG: Final = logging.getLogger(__name__)
_LEAST, _MOST = 1_500, 4_000
"""Versions of a sample, which is a fifth of all within these bounds."""

_WORTH: Final = 0.95
"""A new dictionary is kept when payloads come to this share of what they were, or less."""

Sample = tuple[str, bytes]
"""Whom a version is about, and its body."""


class Counted(NamedTuple):
    """How many versions there are, and at how many of the schedule it was learned last; 0 = never."""

    versions: int
    learned: int


def due(schedule: Sequence[int], learned: int) -> int | None:
    """Return at how many versions it is time to learn; None: no more."""
    return next((each for each in schedule if each > learned), None)


def reached(schedule: Sequence[int], counted: Counted) -> int | None:
    """Return how far the schedule is done once it is learned now; None when it is not time."""
    next_ = due(schedule, counted.learned)
    if next_ is None or next_ > counted.versions:
        return None
    return max(each for each in schedule if each <= counted.versions)


def sample_size(versions: int) -> int:
    """Return from how many versions to learn when there are so many."""
    return min(max(_LEAST, versions // 5), _MOST, versions)


def trained(samples: Sequence[Sample], envelope: Envelope) -> bytes | None:
    """Return a dictionary that makes payloads enough smaller; None when there is none. For a thread."""
    content = learn(samples)
    if content is None or envelope.shrinks(content, [body for _, body in samples]) > _WORTH:
        return None
    return content


class Learner(ABC):
    """Learns when it is due, beside other work. ``wrote`` is told of every commit of this process."""

    def __init__(self, schedule: Sequence[int], counted: Counted) -> None:
        self._schedule = schedule
        self._versions, self._due = counted.versions, due(schedule, counted.learned)
        self._task: asyncio.Task[None] | None = None

    def wrote(self, versions: int) -> None:
        """Note that so many versions were committed; begin to learn when it is time."""
        self._versions += versions
        if self._due is not None and self._versions >= self._due and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._learn())

    async def close(self) -> None:
        """Give up what is under way."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    @abstractmethod
    async def _count(self) -> Counted:
        """Count the versions of the store."""

    @abstractmethod
    async def _train(self) -> bytes | None:
        """Return a dictionary (:func:`trained`) from a sample (:func:`sample_size`) of the records."""

    @abstractmethod
    async def _keep(self, content: bytes | None) -> None:
        """Write down a dictionary and how far the schedule is done, unless another process did so."""

    @abstractmethod
    async def _adopt(self) -> None:
        """Make all dictionaries of the store known to this process."""

    async def _learn(self) -> None:
        """Learn from a sample, keep what is worth it, and say how far the schedule is done."""
        try:
            await self._look()
            if self._due is not None and self._versions >= self._due:
                content = await self._train()
                _give_back()
                await self._keep(content)
                await self._look()
            # Its own, or what another process has learned.
            await self._adopt()
        except Fault as fault:
            # Not needed for anything but room; it is tried again when the next part of the schedule is due.
            _LOG.warning("no dictionary was learned: %s", fault.diagnostics)
            self._due = next((each for each in self._schedule if each > self._versions), None)
        self._task = None

    async def _look(self) -> None:
        counted = await self._count()
        self._versions, self._due = counted.versions, due(self._schedule, counted.learned)


def _give_back() -> None:
    """Return what the training took to the system: some 40 of 60 MB that the C library would keep."""
    with contextlib.suppress(OSError, AttributeError):  # not every C library is GNU's
        ctypes.CDLL(None).malloc_trim(0)
