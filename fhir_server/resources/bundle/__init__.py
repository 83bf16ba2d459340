"""Bundles: the entries of a batch or transaction read, and searchsets, histories and responses put together.

https://hl7.org/fhir/R4/bundle.html
"""

from fhir_server.resources.bundle.assembly import (
    HistoryEntry,
    Response,
    graded_searchset,
    history_bundle,
    responses,
    searchset,
)
from fhir_server.resources.bundle.entries import Entry, duplicates, entries, order, overlaps, require
from fhir_server.resources.bundle.target import Target, target

__all__ = [
    "Entry",
    "HistoryEntry",
    "Response",
    "Target",
    "duplicates",
    "entries",
    "graded_searchset",
    "history_bundle",
    "order",
    "overlaps",
    "require",
    "responses",
    "searchset",
    "target",
]
