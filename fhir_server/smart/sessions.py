"""Sessions of browsers that have logged in: they end when idle, at the latest after a working day.

https://cheatsheetseries.owasp.org/cheatsheets/Session_Management_Cheat_Sheet.html
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final

import msgspec

from fhir_server.smart.mint import digest, new_secret
from fhir_server.smart.records import Session, User
from fhir_server.smart.shelf import Held, Shelves
from fhir_server.store.api import Stale

_SEEN_EVERY_MS: Final = 60_000


class Sessions:
    """Makes, finds and ends sessions. ``idle`` and ``longest``: seconds."""

    def __init__(self, shelves: Shelves, clock: Callable[[], int], *, idle: int, longest: int) -> None:
        self._shelves = shelves
        self._clock = clock
        self._idle = idle * 1000
        self._longest = longest * 1000

    async def begin(self, user: User, methods: tuple[str, ...]) -> tuple[str, Held[Session]]:
        """Begin a session after a log-in; return the cookie's value and the session."""
        secret, now = new_secret(), self._clock()
        session = Session(user.id, now, now, methods)
        shelf = self._shelves.sessions
        await self._shelves.apply(
            shelf.to_add(digest(secret), session, expires=self._until(session), tags=(f"user {user.id}",))
        )
        held = await shelf.get(digest(secret))
        assert held is not None
        return secret, held

    async def of(self, cookie: str) -> tuple[Held[Session], User] | None:
        """Return the session of a cookie and its account; None when it is over or the account disabled."""
        held = await self._shelves.sessions.get(digest(cookie)) if cookie else None
        if held is None:
            return None
        user = await self._shelves.users.value(held.value.user)
        if user is None or user.disabled:
            return None
        return await self._seen(held), user

    async def alive(self, key: str) -> bool:
        """Tell whether the session under ``key`` goes on; a client that refreshes keeps it from idling."""
        held = await self._shelves.sessions.get(key)
        if held is None:
            return False
        await self._seen(held)
        return True

    async def end(self, cookie: str) -> None:
        """End the session of a cookie."""
        await self._shelves.apply(self._shelves.sessions.to_clear(digest(cookie)))

    async def _seen(self, held: Held[Session]) -> Held[Session]:
        now = self._clock()
        if now - held.value.seen < _SEEN_EVERY_MS:
            return held
        session = msgspec.structs.replace(held.value, seen=now)
        with contextlib.suppress(Stale):  # seen in another window at the same moment, or ended
            await self._shelves.apply(
                self._shelves.sessions.to_replace(held, session, expires=self._until(session))
            )
        return held

    def _until(self, session: Session) -> int:
        return min(session.seen + self._idle, session.created + self._longest)
