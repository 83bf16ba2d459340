"""A store before a store: what a wrapper does not do itself, the store behind it does.

Two bases. :class:`Forwarding` passes everything on. :class:`Passing` sends every version that leaves through
one function, so that who notes or masks what is told cannot forget a way out. A test compares both with the
protocol: a method that is added there is missing here until it is written.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import replace
from typing import Any

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


class Forwarding:
    """Passes everything on to ``store``; :meth:`of` may choose another one for some types.

    What is awaited is handed on as it is: a layer that does nothing costs no coroutine of its own.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    def of(self, type_: str | None) -> Store:
        """Return the store that keeps a type; None stands for all types."""
        del type_
        return self.store

    @property
    def jobs(self) -> Jobs:
        """The durable jobs."""
        return self.store.jobs

    @property
    def parameters(self) -> Parameters:
        """The custom search parameters that the index follows."""
        return self.store.parameters

    @property
    def policies(self) -> Policies:
        """The policy classes."""
        return self.store.policies

    def stamps(self) -> Coroutine[Any, Any, Stamps]:
        """Return the stamps."""
        return self.store.stamps()

    def read(self, visibility: Visibility, type_: str, id_: str) -> Coroutine[Any, Any, Stored | None]:
        """Return the current version."""
        return self.of(type_).read(visibility, type_, id_)

    def read_version(
        self, visibility: Visibility, type_: str, id_: str, version: int
    ) -> Coroutine[Any, Any, Stored | None]:
        """Return one version."""
        return self.of(type_).read_version(visibility, type_, id_, version)

    def read_many(
        self, visibility: Visibility, keys: Sequence[tuple[str, str]]
    ) -> Coroutine[Any, Any, list[Stored]]:
        """Return the current ones among ``keys``."""
        return self.store.read_many(visibility, keys)

    def search(self, visibility: Visibility, query: Query) -> Coroutine[Any, Any, Page]:
        """Return a page."""
        return self.of(query.type).search(visibility, query)

    def history(self, visibility: Visibility, query: HistoryQuery) -> Coroutine[Any, Any, HistoryPage]:
        """Return versions."""
        return self.of(query.type).history(visibility, query)

    def prepare(self, change: Change) -> Prepared:
        """Make a change ready."""
        return self.store.prepare(change)

    def commit(
        self,
        prepared: Sequence[Prepared],
        conditions: Sequence[Condition] = (),
        reclasses: Sequence[Reclass] = (),
    ) -> Coroutine[Any, Any, None]:
        """Write all or nothing."""
        return self.store.commit(prepared, conditions, reclasses)

    def scan(self, visibility: Visibility, type_: str | None = None) -> AsyncIterator[Stored]:
        """Yield every current visible resource."""
        return self.of(type_).scan(visibility, type_)

    def facts(self) -> Coroutine[Any, Any, Facts]:
        """Count and measure."""
        return self.store.facts()

    def check(self) -> Coroutine[Any, Any, list[str]]:
        """Look for damage."""
        return self.store.check()

    def ready(self) -> Coroutine[Any, Any, bool]:
        """Tell whether it can answer now."""
        return self.store.ready()

    def close(self) -> Coroutine[Any, Any, None]:
        """Close the store."""
        return self.store.close()


class Passing(Forwarding):
    """Sends every version that leaves the store through :meth:`passed`, whichever way it leaves."""

    def passed(self, found: list[Stored]) -> list[Stored]:
        """Return what is told instead of ``found``: as many, in the same order, of the same resources."""
        raise NotImplementedError

    async def read(self, visibility: Visibility, type_: str, id_: str) -> Stored | None:
        """Return the current version as it is passed."""
        stored = await self.store.read(visibility, type_, id_)
        return None if stored is None else self.passed([stored])[0]

    async def read_version(self, visibility: Visibility, type_: str, id_: str, version: int) -> Stored | None:
        """Return one version as it is passed."""
        stored = await self.store.read_version(visibility, type_, id_, version)
        return None if stored is None else self.passed([stored])[0]

    async def read_many(self, visibility: Visibility, keys: Sequence[tuple[str, str]]) -> list[Stored]:
        """Return the current ones among ``keys`` as they are passed."""
        return self.passed(await self.store.read_many(visibility, keys))

    async def search(self, visibility: Visibility, query: Query) -> Page:
        """Return a page whose matches are passed."""
        page = await self.store.search(visibility, query)
        matches = self.passed(page.matches)
        return page if matches is page.matches else replace(page, matches=matches)

    async def history(self, visibility: Visibility, query: HistoryQuery) -> HistoryPage:
        """Return versions as they are passed."""
        page = await self.store.history(visibility, query)
        versions = self.passed(page.versions)
        return page if versions is page.versions else replace(page, versions=versions)

    async def scan(self, visibility: Visibility, type_: str | None = None) -> AsyncIterator[Stored]:
        """Yield every current visible resource as it is passed."""
        async for stored in self.store.scan(visibility, type_):
            yield self.passed([stored])[0]
