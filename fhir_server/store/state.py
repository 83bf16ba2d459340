"""Small durable records beside the resources: clients, accounts, sessions, codes, tokens, keys.

Each has a kind, a key and a version; its body is sealed, its key and tags are kept as keyed digests only. All
writes compare versions, so that a code, a token or a counter is used once however many processes serve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Record:
    """One record. ``expires``: ms since the epoch, from when on it counts as absent; None = never.

    ``tags``: further texts to find it by, such as the user that a session belongs to.
    """

    kind: str
    key: str
    version: int
    body: bytes
    expires: int | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Put:
    """Write a record if its present version is ``expected``; 0 = it must be absent, None = whatever it is."""

    kind: str
    key: str
    body: bytes
    expected: int | None
    expires: int | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a record if its present version is ``expected``; None = whatever it is, present or not."""

    kind: str
    key: str
    expected: int | None = None


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Write nothing, but only go on while the record's version is ``expected``; 0 = it is absent."""

    kind: str
    key: str
    expected: int


StateChange = Put | Remove | Unchanged


class State(Protocol):
    """The protocol. Faults: ``Fault(UNAVAILABLE)`` when the engine cannot answer.

    An expired record is absent to every method, whether it was swept or not.
    """

    async def stamp(self) -> int | None:
        """Return a number that another commit of any process changes; None while one is under way.

        What is read after a stamp was taken holds for as long as the stamp stays the same, expiry apart.
        """

    async def get(self, kind: str, key: str) -> Record | None:
        """Return a record; None when absent."""

    async def holds(self, kind: str, *keys: str) -> bool:
        """Tell whether there is a record of ``kind`` under any of ``keys``: one look, nothing is opened."""

    async def find(self, kind: str, tag: str) -> list[Record]:
        """Return the records of ``kind`` that carry ``tag``, in order of their keys."""

    async def of_kind(self, kind: str) -> list[Record]:
        """Return all records of ``kind``, in order of their keys."""

    async def apply(self, changes: Sequence[StateChange]) -> None:
        """Write all or nothing, durably, before returning.

        Raises :class:`fhir_server.store.api.Stale` when a version is not the expected one. Each record may
        occur once among ``changes``.
        """

    async def sweep(self) -> int:
        """Remove what has expired; return how many there were."""
