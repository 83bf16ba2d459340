"""Which access tokens were revoked: looked up at every request, in one indexed row."""

from __future__ import annotations

from fhir_server.access.actor import Actor
from fhir_server.smart.shelf import Shelves
from fhir_server.smart.tokens import revocation_keys


class Revocations:
    """Answers ``access.bearer``."""

    def __init__(self, shelves: Shelves) -> None:
        self._shelves = shelves

    async def revoked(self, actor: Actor) -> bool:
        """Tell whether the actor's token, its grant or its client's registration was revoked."""
        if actor.token is None:
            return False
        return await self._shelves.revoked.holds(*revocation_keys(actor.token))
