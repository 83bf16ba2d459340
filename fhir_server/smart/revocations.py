"""Which access tokens were revoked: asked at every request, looked up when something was committed since."""

from __future__ import annotations

from typing import Final

from fhir_server.access.actor import Actor
from fhir_server.smart.shelf import Shelves
from fhir_server.smart.tokens import revocation_keys

_REMEMBERED: Final = 10_000


class Revocations:
    """Answers ``access.bearer``. A revocation by any process holds from the next request on."""

    def __init__(self, shelves: Shelves) -> None:
        self._shelves = shelves
        self._stamp: int | None = None
        # Tokens that were not revoked when the state had this stamp.
        self._good: set[str] = set()

    async def revoked(self, actor: Actor) -> bool:
        """Tell whether the actor's token, its grant or its client's registration was revoked."""
        token = actor.token
        if token is None:
            return False
        # Taken before the look: what is committed meanwhile has another one.
        stamp = await self._shelves.state.stamp()
        if stamp is None or stamp != self._stamp or len(self._good) >= _REMEMBERED:
            self._stamp = stamp
            self._good.clear()
        if token in self._good:
            return False
        is_revoked = await self._shelves.revoked.holds(*revocation_keys(token))
        if not is_revoked and stamp is not None and stamp == self._stamp:
            self._good.add(token)
        return is_revoked
