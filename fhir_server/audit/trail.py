"""What a request touches in the store: noted where it leaves the store, so that no interaction can forget it.

The trail of the interaction under way is found by the task that runs it, as a database's transaction is: the
entries of a batch run side by side, each in its own task, and each has its own trail.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field

from fhir_server.search.query import Query
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import (
    Change,
    Condition,
    Facts,
    HistoryPage,
    HistoryQuery,
    Page,
    Prepared,
    Reclass,
    Stamps,
    Store,
    Stored,
)
from fhir_server.store.policies import Policies
from fhir_server.store.upkeep import Jobs, Parameters


@dataclass(slots=True)
class Trail:
    """What was read (each version, in order, with repetitions) and what was written."""

    seen: list[Stored] = field(default_factory=list)
    written: list[Change] = field(default_factory=list)


_trail: ContextVar[Trail | None] = ContextVar("trail", default=None)


def begin(trail: Trail | None) -> Trail | None:
    """Note what this task touches from now on in ``trail``; return the one that was in use."""
    before = _trail.get()
    _trail.set(trail)
    return before


class Noted:
    """A store that notes what it gives and what it takes; :meth:`scan` apart, which no answer quotes from."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def jobs(self) -> Jobs:
        """The durable jobs."""
        return self._store.jobs

    @property
    def parameters(self) -> Parameters:
        """The custom search parameters that the index follows."""
        return self._store.parameters

    @property
    def policies(self) -> Policies:
        """The policy classes."""
        return self._store.policies

    def stamps(self) -> Stamps:
        """Return the stamps, which no answer quotes."""
        return self._store.stamps()

    async def read(self, visibility: Visibility, type_: str, id_: str) -> Stored | None:
        """Return the current version, and note it."""
        stored = await self._store.read(visibility, type_, id_)
        if stored is not None:
            _note((stored,))
        return stored

    async def read_version(self, visibility: Visibility, type_: str, id_: str, version: int) -> Stored | None:
        """Return one version, and note it."""
        stored = await self._store.read_version(visibility, type_, id_, version)
        if stored is not None:
            _note((stored,))
        return stored

    async def read_many(self, visibility: Visibility, keys: Sequence[tuple[str, str]]) -> list[Stored]:
        """Return the current ones among ``keys``, and note them."""
        found = await self._store.read_many(visibility, keys)
        _note(found)
        return found

    async def search(self, visibility: Visibility, query: Query) -> Page:
        """Return a page, and note its matches."""
        page = await self._store.search(visibility, query)
        _note(page.matches)
        return page

    async def history(self, visibility: Visibility, query: HistoryQuery) -> HistoryPage:
        """Return versions, and note them."""
        page = await self._store.history(visibility, query)
        _note(page.versions)
        return page

    def prepare(self, change: Change) -> Prepared:
        """Make a change ready."""
        return self._store.prepare(change)

    async def commit(
        self,
        prepared: Sequence[Prepared],
        conditions: Sequence[Condition] = (),
        reclasses: Sequence[Reclass] = (),
    ) -> None:
        """Write all or nothing, and note what was written."""
        await self._store.commit(prepared, conditions, reclasses)
        trail = _trail.get()
        if trail is not None:
            trail.written += [each.change for each in prepared]

    def scan(self, visibility: Visibility, type_: str | None = None) -> AsyncIterator[Stored]:
        """Yield every current visible resource, without noting it: who scans tells of no single one."""
        return self._store.scan(visibility, type_)

    async def facts(self) -> Facts:
        """Count and measure."""
        return await self._store.facts()

    async def check(self) -> list[str]:
        """Look for damage."""
        return await self._store.check()

    async def ready(self) -> bool:
        """Tell whether it can answer now."""
        return await self._store.ready()

    async def close(self) -> None:
        """Close the store."""
        await self._store.close()


def _note(found: Iterable[Stored]) -> None:
    trail = _trail.get()
    if trail is not None:
        trail.seen += found
