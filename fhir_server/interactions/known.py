"""The search parameters that this process knows: R4's, and the custom ones that the store's index follows."""

from __future__ import annotations

from fhir_server.search import custom
from fhir_server.search.extract import Extractor
from fhir_server.search.parameters import R4, Registry
from fhir_server.store.api import Store


class Known:
    """Keeps the registry, and the extractor's, abreast of the store: other processes may change the set."""

    def __init__(self, store: Store, extractor: Extractor) -> None:
        self._store = store
        self._extractor = extractor
        self.registry: Registry = R4

    async def refresh(self) -> Registry:
        """Return the registry as the store has it now; costs next to nothing while it has not changed."""
        if (await self._store.stamps()).generation != self.registry.generation:
            generation, text = await self._store.parameters.read()
            # Another request may have read a newer set meanwhile.
            if generation > self.registry.generation:
                self.registry = Registry(custom.read(text), generation)
                self._extractor.registry = self.registry
        return self.registry
