"""One moment: what a request has asked its store once and need not ask again.

Every layer of a request asks for the stamps: is the token still good, the decision, the registry. Where an
answer is a round trip, the first one holds for the request: that is the moment at which it is judged. What
another process commits holds from the next request on, what its own process commits at once.

Outside a request (jobs, commands) nothing is kept.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import Any, Final

_MOMENT: Final[ContextVar[dict[object, Any] | None]] = ContextVar("moment", default=None)


def begin() -> Token[dict[object, Any] | None]:
    """Open a moment for what runs in this context from now on, and in the tasks that it starts."""
    return _MOMENT.set({})


def end(token: Token[dict[object, Any] | None]) -> None:
    """Close the moment that :func:`begin` has opened."""
    _MOMENT.reset(token)


def forget() -> None:
    """Forget what was kept so far: the request is judged at a later moment than that at which it began."""
    moment = _MOMENT.get()
    if moment is not None:
        moment.clear()


def kept(key: object) -> Any | None:
    """Return what was kept under ``key`` in this moment; None when nothing was, or outside any."""
    moment = _MOMENT.get()
    return None if moment is None else moment.get(key)


def keep(key: object, answer: Any) -> None:
    """Keep an answer until the moment is over; outside any it is forgotten at once."""
    moment = _MOMENT.get()
    if moment is not None:
        moment[key] = answer
