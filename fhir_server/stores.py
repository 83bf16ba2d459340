"""Opening the store that the settings name: the one place that knows which engines there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fhir_server.access.policy import policy
from fhir_server.access.standing import DECIDING
from fhir_server.config import Settings
from fhir_server.crypto.keys import KeyRing
from fhir_server.resources.codec import id_of
from fhir_server.search.extract import Extractor
from fhir_server.search.match import ClassOf, Referrers, Resolve, matches
from fhir_server.search.parameters import CLINICAL_DATE
from fhir_server.search.predicate import Predicate
from fhir_server.search.values import Values
from fhir_server.store.api import Store
from fhir_server.store.sqlite.store import Options, SqliteStore
from fhir_server.store.whole import WholeStore


@dataclass(frozen=True, slots=True)
class Stores:
    """Opens what ``settings`` name. Faults of key ring and engine pass: each says what to do."""

    settings: Settings

    async def records(self, ring: KeyRing, extractor: Extractor) -> WholeStore:
        """Open the store of the records, making it when there is none; what governs others is noticed."""
        governing = policy().governing | DECIDING
        return SqliteStore.open(
            self.settings.data,
            ring,
            extractor=extractor.from_body,
            matcher=judge(extractor.from_body),
            clinical=CLINICAL_DATE,
            options=Options(search_seconds=self.settings.search_seconds, governing=governing),
        )

    def audit_events(self, folder: Path, ring: KeyRing, extractor: Extractor) -> Store:
        """Open the store of the AuditEvents, an index of the log in ``folder``."""
        return SqliteStore.open(
            folder,
            ring,
            extractor=extractor.from_body,
            matcher=judge(extractor.from_body),
            clinical=CLINICAL_DATE,
            options=Options(search_seconds=self.settings.search_seconds),
        )


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
