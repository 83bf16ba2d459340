"""The audit of one server, put together: keys, log, recorder, index, and the store for the one door."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from fhir_server.audit.coding import Origin
from fhir_server.audit.index import Indexer, read_positions
from fhir_server.audit.keys import AuditKeys
from fhir_server.audit.log import Log
from fhir_server.audit.recorder import Failure, Recorder
from fhir_server.audit.segment import chain_folders
from fhir_server.audit.store import WithAudit
from fhir_server.audit.trail import Noted
from fhir_server.audit.verify import Report, verify
from fhir_server.crypto.keys import KeyRing
from fhir_server.search.values import Values
from fhir_server.store.api import Store

FOLDER: Final = "audit"
_INDEX: Final = "index"

OpenStore = Callable[[Path, KeyRing], Store]
"""Opens a store in a folder under a key ring."""


@dataclass(frozen=True, slots=True)
class Audit:
    """An open audit. ``store``: records and AuditEvents, every access noted; for the one door alone."""

    store: Store
    recorder: Recorder
    indexer: Indexer
    log: Log
    index: Store

    def start(self) -> None:
        """Index in the background from now on."""
        self.indexer.start()

    async def close(self) -> None:
        """Stop indexing, close the segment, release the files; the records' store stays open."""
        await self.indexer.close()
        await self.log.close()
        await self.index.close()


def open_audit(
    data: Path,
    key_folder: Path,
    *,
    suite: str,
    records: Store,
    open_store: OpenStore,
    extract: Callable[[dict[str, Any]], Values],
    failure: Failure = "refuse",
    base_url: str = "",
) -> Audit:
    """Open the audit in the data folder ``data``, making it and its keys when there is no log yet.

    ``suite``: cipher suite of a new one; ``extract``: what of an AuditEvent is searchable; ``failure``: see
    :class:`recorder.Recorder`. Raises KeyFault when there is a log and its keys are missing.
    """
    folder = log_folder(data)
    keys = open_keys(data, key_folder, suite)
    index = open_store(folder / _INDEX, keys.ring)
    log = Log.open(folder, keys)
    indexer = Indexer(
        log=folder,
        folder=folder / _INDEX,
        keys=keys,
        store=index,
        extract=extract,
        origin=origin_of(base_url),
        busy=lambda: log.appended,
    )
    return Audit(Noted(WithAudit(records, index)), Recorder(log, failure), indexer, log, index)


def open_keys(data: Path, key_folder: Path, suite: str = "standard") -> AuditKeys:
    """Open the audit's keys; new ones are made only while there is no log that others would have sealed."""
    return AuditKeys.open(key_folder, suite, may_create=not chain_folders(log_folder(data)))


def verified(data: Path, key_folder: Path) -> Report:
    """Verify the log in the data folder ``data``, while a server runs or not."""
    folder = log_folder(data)
    return verify(folder, open_keys(data, key_folder), read_positions(folder / _INDEX))


def log_folder(data: Path) -> Path:
    """Return where the log of a data folder lies."""
    return data / FOLDER


def origin_of(base_url: str) -> Origin:
    """Return who reports: the server by the name that clients know it by."""
    host = urlsplit(base_url).hostname or "localhost"
    return Origin(base_url or "fhir-server", host)
