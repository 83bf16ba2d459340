"""Opening the store that the settings name: the one place that knows which engines there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fhir_server.access.policy import policy
from fhir_server.access.standing import DECIDING
from fhir_server.audit.files import INDEX
from fhir_server.audit.opening import log_folder
from fhir_server.config import Settings
from fhir_server.crypto.keys import KeyRing
from fhir_server.faults import Fault, Kind
from fhir_server.resources.codec import id_of
from fhir_server.search.extract import Extractor
from fhir_server.search.match import ClassOf, Referrers, Resolve, matches
from fhir_server.search.parameters import CLINICAL_DATE
from fhir_server.search.predicate import Predicate
from fhir_server.search.values import Values
from fhir_server.store.api import Store
from fhir_server.store.sqlite.store import Options, SqliteStore
from fhir_server.store.whole import WholeStore

if TYPE_CHECKING:
    from fhir_server.store.mongo.store import MongoStore


@dataclass(frozen=True, slots=True)
class Stores:
    """Opens what ``settings`` name. Faults of key ring and engine pass: each says what to do."""

    settings: Settings

    async def records(self, ring: KeyRing, extractor: Extractor) -> WholeStore:
        """Open the store of the records, making it when there is none.

        Raises Fault(UNAVAILABLE) for one that `fhir-server migrate` has not filled to the end.
        """
        if not self.settings.store:
            return self.sqlite(ring, extractor)
        store = await self.mongodb(ring, extractor)
        if await store.destination.is_unfinished():
            await store.close()
            raise Fault(
                Kind.UNAVAILABLE, "The database waits for the rest of another store: run fhir-server migrate."
            )
        return store

    def sqlite(self, ring: KeyRing, extractor: Extractor) -> SqliteStore:
        """Open the store in the data folder."""
        return self._sqlite(self.settings.data, ring, extractor, _governing())

    async def mongodb(self, ring: KeyRing, extractor: Extractor) -> MongoStore:
        """Open the store in the database that FHIR_STORE names."""
        return await self._mongodb(ring, extractor, _governing())

    async def audit_events(self, ring: KeyRing, extractor: Extractor) -> Store:
        """Open the store of the AuditEvents, an index of the log, making it when there is none."""
        if self.settings.store:
            from fhir_server.audit.mongodb.shelf import INDEX_SUFFIX  # noqa: PLC0415 - late: see _mongodb

            return await self._mongodb(ring, extractor, frozenset(), INDEX_SUFFIX)
        return self._sqlite(log_folder(self.settings.data) / INDEX, ring, extractor, frozenset())

    def _sqlite(
        self, folder: Path, ring: KeyRing, extractor: Extractor, governing: frozenset[str]
    ) -> SqliteStore:
        return SqliteStore.open(
            folder,
            ring,
            extractor=extractor.from_body,
            matcher=judge(extractor.from_body),
            clinical=CLINICAL_DATE,
            options=Options(search_seconds=self.settings.search_seconds, governing=governing),
        )

    async def _mongodb(
        self, ring: KeyRing, extractor: Extractor, governing: frozenset[str], suffix: str = ""
    ) -> MongoStore:
        # Imported here, so that who keeps records in a file does not wait for the driver to load.
        from fhir_server.store.mongo import store as mongo  # noqa: PLC0415

        return await mongo.MongoStore.open(
            self.settings.store.get_secret_value(),
            ring,
            extractor=extractor.from_body,
            matcher=judge(extractor.from_body),
            clinical=CLINICAL_DATE,
            options=mongo.Options(
                search_seconds=self.settings.search_seconds, governing=governing, suffix=suffix
            ),
        )


def _governing() -> frozenset[str]:
    """Return the types by which others are decided on: every process must notice at once when one changes."""
    return policy().governing | DECIDING


def judge(
    extract: Callable[[str, bytes], Values],
) -> Callable[[Predicate, str, bytes, Resolve, Referrers, ClassOf], bool]:
    """Return the function by which the store judges an old version: whether its body satisfies a predicate.

    The version counts as it was, what it is linked to as it is now: a right by way of a patient's hospital is
    had by the hospital that the patient has, not by the one that it left.
    """

    def judged(
        predicate: Predicate,
        type_: str,
        body: bytes,
        resolve: Resolve,
        referrers: Referrers,
        class_of: ClassOf,
    ) -> bool:
        return matches(predicate, type_, id_of(body), extract(type_, body), resolve, referrers, class_of)

    return judged
