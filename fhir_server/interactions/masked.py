"""A store whose answers are masked for the caller's purpose of use, and which cannot be asked about the rest.

docs/consent.md
"""

from __future__ import annotations

from dataclasses import replace

from fhir_server.consent.masks import Masks
from fhir_server.search.query import Query
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import Page, Store, Stored
from fhir_server.store.forward import Passing


class Masked(Passing):
    """Every version leaves without what is masked; a search or an order by it is a Fault FORBIDDEN."""

    def __init__(self, store: Store, masks: Masks) -> None:
        super().__init__(store)
        self._masks = masks

    def passed(self, found: list[Stored]) -> list[Stored]:
        """Return the versions without what is masked."""
        return [replace(each, body=self._masks.body(each.body)) if each.body else each for each in found]

    async def search(self, visibility: Visibility, query: Query) -> Page:
        """Return a page of a search that reads nothing masked."""
        self._masks.require(query)
        return await super().search(visibility, query)
