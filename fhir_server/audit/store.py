"""Two stores as one: records in the one, AuditEvents in the other, both behind the ordinary door.

AuditEvents are made by the indexer alone, of the log; no request writes them. They lie in a file of their
own (decision 0011), so nothing can be joined across: a condition that would have to is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fhir_server.faults import Fault, Kind
from fhir_server.search.predicate import About, All, AnyOf, Chain, Contains, Has, Not, Predicate
from fhir_server.search.query import Query
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import Change, HistoryPage, HistoryQuery, Page, Prepared, Store, Stored
from fhir_server.store.forward import Forwarding

AUDIT: Final = "AuditEvent"


class WithAudit(Forwarding):
    """``records`` for every type but AuditEvent; ``audit`` for that. History of all types is of records."""

    def __init__(self, records: Store, audit: Store) -> None:
        super().__init__(records)
        self._audit = audit

    def of(self, type_: str | None) -> Store:
        """Return the store that keeps a type; of all types, the records."""
        return self._audit if type_ == AUDIT else self.store

    async def read(self, visibility: Visibility, type_: str, id_: str) -> Stored | None:
        """Return the current version."""
        _refuse_joins(visibility, type_)
        return await self.of(type_).read(visibility, type_, id_)

    async def read_version(self, visibility: Visibility, type_: str, id_: str, version: int) -> Stored | None:
        """Return one version."""
        _refuse_joins(visibility, type_)
        return await self.of(type_).read_version(visibility, type_, id_, version)

    async def read_many(self, visibility: Visibility, keys: Sequence[tuple[str, str]]) -> list[Stored]:
        """Return the current ones among ``keys``, in that order."""
        events = [key for key in keys if key[0] == AUDIT]
        if not events:
            return await self.store.read_many(visibility, keys)
        _refuse_joins(visibility, AUDIT)
        records = [key for key in keys if key[0] != AUDIT]
        found = await self.store.read_many(visibility, records) if records else []
        found += await self._audit.read_many(visibility, events)
        by_key = {(stored.type, stored.id): stored for stored in found}
        return [by_key[key] for key in dict.fromkeys(keys) if key in by_key]

    async def search(self, visibility: Visibility, query: Query) -> Page:
        """Return the page of what satisfies the query; faults when it would join records and AuditEvents."""
        _refuse_joins(visibility, query.type)
        if _crosses(query.type, query.where):
            raise Fault(
                Kind.UNSUPPORTED_PARAMETER,
                "The audit cannot be searched through what it refers to, nor records through the audit: name "
                "ids, as in AuditEvent?patient=Patient/123.",
            )
        return await self.of(query.type).search(visibility, query)

    async def history(self, visibility: Visibility, query: HistoryQuery) -> HistoryPage:
        """Return versions; those of all types are the records'."""
        if query.type is not None:
            _refuse_joins(visibility, query.type)
        return await self.of(query.type).history(visibility, query)

    def prepare(self, change: Change) -> Prepared:
        """Make a change of a record ready; 405 for an AuditEvent."""
        if change.type == AUDIT:
            raise unwritable()
        return self.store.prepare(change)

    async def check(self) -> list[str]:
        """Look for damage in both."""
        return [*await self.store.check(), *await self._audit.check()]

    async def close(self) -> None:
        """Close both."""
        await self.store.close()
        await self._audit.close()


def unwritable() -> Fault:
    """Return the fault for whoever would write, change or delete an AuditEvent."""
    return Fault(
        Kind.METHOD_NOT_ALLOWED,
        "AuditEvents are made by the server alone and kept unchanged: they can be read and searched.",
        AUDIT,
        headers=(("Allow", "GET, HEAD, OPTIONS"),),
    )


def _refuse_joins(visibility: Visibility, type_: str) -> None:
    """Refuse a caller whose rights on AuditEvents depend on records; none on records depend on the audit."""
    if type_ == AUDIT and not visibility.is_everything and _crosses(type_, visibility.of(type_)):
        raise Fault(Kind.FORBIDDEN, "Your rights do not allow this to be read together with the audit.")


def _crosses(type_: str, predicate: Predicate) -> bool:
    """Tell whether a condition on ``type_`` leads from AuditEvents to records or back."""
    if isinstance(predicate, Chain | Has):
        return (type_ == AUDIT) != (predicate.type == AUDIT) or _crosses(predicate.type, predicate.inner)
    if isinstance(predicate, All | AnyOf):
        return any(_crosses(type_, item) for item in predicate.items)
    if isinstance(predicate, About):
        return type_ == AUDIT  # the records' store knows who is in which policy class
    if isinstance(predicate, Contains):
        return _crosses(type_, predicate.inner)  # in the store of what contains it
    return isinstance(predicate, Not) and _crosses(type_, predicate.item)
