"""Giving up what nobody waits for any more: a search whose client has gone away is cancelled.

https://asgi.readthedocs.io/en/latest/specs/www.html#disconnect-receive-event
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Final

from fhir_server.interactions.request import CLIENT_GONE
from fhir_server.rest.deadline import Deadlines
from fhir_server.rest.limits import Disconnected, Receive

if TYPE_CHECKING:
    from fhir_server.rest.routes import Target

LOOK_AFTER: Final = 0.25
"""Seconds that a request runs before anybody looks whether its client is still there: most are over by then,
and a task that listens costs ten microseconds."""

_SEARCHES: Final = frozenset({"search-type", "search-system", "search-compartment"})
_READS: Final = frozenset({"history-instance", "history-type", "history-system", "operation"})
_SAFE: Final = frozenset({"GET", "HEAD"})


def may_be_given_up(target: Target, method: str) -> bool:
    """Tell whether an interaction may take long and changes nothing: a write is carried out to its end."""
    return target.name in _SEARCHES or (target.name in _READS and method in _SAFE)


class Watched:
    """Within its block the client is watched: when it goes away, what runs is cancelled.

    Raises :class:`Disconnected` then. ``receive``: of ASGI, the request's body already taken from it.
    ``lookouts``: tells it when to begin, one timer for all requests.
    """

    __slots__ = ("_is_gone", "_lookouts", "_receive", "_task", "_watcher", "until")

    def __init__(self, lookouts: Deadlines, receive: Receive) -> None:
        self._lookouts = lookouts
        self._receive = receive
        self._is_gone = False
        self.until = 0.0
        self._watcher: asyncio.Task[None] | None = None

    def __enter__(self) -> None:
        """Begin to watch, in a while."""
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._lookouts.begin(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop watching; turn the cancellation that the client caused into Disconnected."""
        self._lookouts.end(self)
        if self._watcher is not None:
            self._watcher.cancel()
        # A cancellation by somebody else, at the same time, stays one.
        if self._is_gone and self._task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise Disconnected from error

    def expire(self) -> None:
        """Begin to listen: the request takes long."""
        self._watcher = asyncio.get_running_loop().create_task(self._watch(), name="watch-client")

    async def _watch(self) -> None:
        message = await self._receive()
        if message["type"] == "http.request":  # the body that a GET has, empty
            message = await self._receive()
        if message["type"] != "http.disconnect":
            return
        self._is_gone = True
        self._task.cancel(CLIENT_GONE)
