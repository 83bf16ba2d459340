"""A limit on how long a request may take, kept by one timer for all requests.

``asyncio.timeout`` makes and cancels a timer for each; that alone was a twentieth of a read.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Protocol, Self


class Waiting(Protocol):
    """What is told when its time is over; ``until``: when that is, by the event loop's clock."""

    until: float

    def expire(self) -> None:
        """Be told."""


class Deadlines:
    """Limits of ``seconds`` each: those that run, in the order in which they began and so will be over."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._running: dict[Waiting, None] = {}
        self._is_armed = False

    def limit(self) -> Limit:
        """Return a context in which the task that enters it may spend the time."""
        return Limit(self)

    def begin(self, limit: Waiting) -> None:
        """Watch over ``limit``, from now on."""
        loop = asyncio.get_running_loop()
        limit.until = loop.time() + self._seconds
        self._running[limit] = None
        if not self._is_armed:
            self._is_armed = True
            loop.call_at(limit.until, self._look, loop)

    def end(self, limit: Waiting) -> None:
        """Watch over ``limit`` no longer."""
        self._running.pop(limit, None)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """End what is over, and look again when the next one will be; nearly all have ended by then."""
        now = loop.time()
        for limit in list(self._running):
            if limit.until > now:
                loop.call_at(limit.until, self._look, loop)
                return
            del self._running[limit]
            limit.expire()
        self._is_armed = False


class Limit:
    """The time that one task has: a context that raises TimeoutError in its task when it is over."""

    __slots__ = ("_cancelling", "_deadlines", "_task", "is_over", "until")

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._task: asyncio.Task[Any] | None = None
        self._cancelling = 0
        self.until = 0.0
        self.is_over = False

    def expire(self) -> None:
        """Interrupt the task."""
        self.is_over = True
        if self._task is not None:
            self._task.cancel()

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        if self._task is not None:
            self._cancelling = self._task.cancelling()
        self._deadlines.begin(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._deadlines.end(self)
        if not self.is_over or self._task is None:
            return
        # As asyncio.timeout does: whoever else has cancelled the task meanwhile wants it cancelled.
        left = self._task.uncancel()
        if left <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error
