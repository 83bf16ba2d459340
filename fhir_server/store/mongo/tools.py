"""What the parts of a MongoDB store work with: one of each for a store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fhir_server.crypto.blind import BlindIndex
from fhir_server.crypto.envelope import Envelope
from fhir_server.crypto.keys import KeyRing
from fhir_server.search.values import Values
from fhir_server.store.mongo.client import Engine
from fhir_server.store.mongo.files import Files
from fhir_server.store.mongo.keys import Keys
from fhir_server.store.mongo.numbers import Numbers
from fhir_server.store.mongo.records import Opener
from fhir_server.store.mongo.stamps import MongoStamps

Extractor = Callable[[str, bytes], Values]
"""Type and canonical body → searchable values."""


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools. ``clinical``: by type, its clinical date parameter; ``governing``: types that govern others.

    ``clock``: milliseconds since the epoch.
    """

    engine: Engine
    ring: KeyRing
    envelope: Envelope
    blind: BlindIndex
    keys: Keys
    files: Files
    opener: Opener
    numbers: Numbers
    stamps: MongoStamps
    extractor: Extractor
    clinical: Mapping[str, str]
    governing: frozenset[str]
    clock: Callable[[], int]

    @classmethod
    def of(
        cls,
        engine: Engine,
        ring: KeyRing,
        *,
        extractor: Extractor,
        clinical: Mapping[str, str],
        governing: frozenset[str],
        clock: Callable[[], int],
    ) -> Tools:
        """Make the tools of a store whose engine is connected."""
        envelope = Envelope(ring)
        blind = BlindIndex(ring.suite.digest(ring.index_key))
        files = Files(engine)
        return cls(
            engine,
            ring,
            envelope,
            blind,
            Keys(blind),
            files,
            Opener(envelope, files),
            Numbers(engine.db, clock),
            MongoStamps(engine),
            extractor,
            clinical,
            governing,
            clock,
        )
