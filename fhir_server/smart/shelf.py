"""State records as typed values: a shelf holds one kind of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

import msgspec

from fhir_server.smart import records
from fhir_server.store.state import Put, Record, Remove, State, StateChange, Unchanged

T = TypeVar("T", bound=msgspec.Struct)

_ENCODE = msgspec.json.Encoder().encode


class Held(NamedTuple, Generic[T]):
    """A value as it was read: whoever writes it again says so with its version."""

    key: str
    value: T
    version: int
    expires: int | None
    tags: tuple[str, ...]


class Shelf(Generic[T]):
    """The records of one kind. Reads go to the store; the ``to_…`` methods return changes for ``apply``."""

    def __init__(self, state: State, kind: str, type_: type[T]) -> None:
        self._state = state
        self.kind = kind
        self._decoder: msgspec.json.Decoder[T] = msgspec.json.Decoder(type_)

    async def get(self, key: str) -> Held[T] | None:
        """Return the value under ``key``; None when there is none or it has expired."""
        record = await self._state.get(self.kind, key)
        return None if record is None else self._held(record)

    async def value(self, key: str) -> T | None:
        """Return the value alone."""
        held = await self.get(key)
        return None if held is None else held.value

    async def find(self, tag: str) -> list[Held[T]]:
        """Return the values that carry ``tag``."""
        return [self._held(record) for record in await self._state.find(self.kind, tag)]

    async def all(self) -> list[Held[T]]:
        """Return every value of this kind."""
        return [self._held(record) for record in await self._state.of_kind(self.kind)]

    async def holds(self, *keys: str) -> bool:
        """Tell whether there is a record under any of ``keys``."""
        return await self._state.holds(self.kind, *keys)

    def to_add(self, key: str, value: T, *, expires: int | None = None, tags: Sequence[str] = ()) -> Put:
        """Return the change that adds ``value`` where there is none yet."""
        return Put(self.kind, key, _ENCODE(value), 0, expires, tuple(tags))

    def to_replace(
        self, held: Held[T], value: T, *, expires: int | None = None, tags: Sequence[str] | None = None
    ) -> Put:
        """Return the change that replaces ``held``; expiry and tags stay unless given."""
        until = held.expires if expires is None else expires
        marked = held.tags if tags is None else tuple(tags)
        return Put(self.kind, held.key, _ENCODE(value), held.version, until, marked)

    def to_set(self, key: str, value: T, *, expires: int | None = None, tags: Sequence[str] = ()) -> Put:
        """Return the change that writes ``value`` whatever is there."""
        return Put(self.kind, key, _ENCODE(value), None, expires, tuple(tags))

    def to_remove(self, held: Held[T]) -> Remove:
        """Return the change that removes exactly what was read."""
        return Remove(self.kind, held.key, held.version)

    def to_clear(self, key: str) -> Remove:
        """Return the change that removes whatever is under ``key``."""
        return Remove(self.kind, key)

    def to_keep(self, held: Held[T]) -> Unchanged:
        """Return the condition that ``held`` is still as it was read."""
        return Unchanged(self.kind, held.key, held.version)

    def _held(self, record: Record) -> Held[T]:
        return Held(
            record.key, self._decoder.decode(record.body), record.version, record.expires, record.tags
        )


class Shelves:
    """All kinds of records of the authorization server, over one store."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.clients = Shelf(state, "client", records.Client)
        self.users = Shelf(state, "user", records.User)
        self.attempts = Shelf(state, "lockout", records.Attempts)
        self.sessions = Shelf(state, "session", records.Session)
        self.launches = Shelf(state, "launch", records.Launch)
        self.flows = Shelf(state, "flow", records.Flow)
        self.codes = Shelf(state, "code", records.Code)
        self.grants = Shelf(state, "grant", records.Grant)
        self.refreshes = Shelf(state, "refresh", records.Refresh)
        self.keys = Shelf(state, "key", records.Key)
        self.issuers = Shelf(state, "issuer", records.Issuer)
        self.externals = Shelf(state, "external", records.External)
        self.jtis = Shelf(state, "jti", records.Mark)
        self.revoked = Shelf(state, "revoked", records.Mark)

    async def apply(self, *changes: StateChange) -> None:
        """Write all or nothing; raises Stale when something was changed meanwhile."""
        await self.state.apply(changes)
