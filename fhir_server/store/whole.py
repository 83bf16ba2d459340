"""A store as a server opens it: records, the state beside them, and what follows a rotation of keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from fhir_server.store.api import Store
from fhir_server.store.state import State

Progress = Callable[[int, int], None]
"""It is given how many are done, of how many."""


class WholeStore(Store, Protocol):
    """What every engine's store does. Whoever answers requests gets less: a :class:`store.api.Store`."""

    @property
    def state(self) -> State:
        """The small records beside the resources: accounts, clients, tokens."""

    async def reseal(self, progress: Progress | None = None) -> int:
        """Seal every payload that is not under the active key anew, while serving; return how many."""

    async def retire(self) -> tuple[int, ...]:
        """Remove from the key ring the data keys that seal no payload any more; return their numbers."""
