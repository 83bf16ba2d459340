"""The audit of one server, put together: keys, log, recorder, index, and the store for the one door."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from fhir_server.audit.coding import Origin
from fhir_server.audit.files import FileShelf
from fhir_server.audit.index import Indexer
from fhir_server.audit.keys import FOLDER as KEYS
from fhir_server.audit.keys import AuditKeys
from fhir_server.audit.log import Log
from fhir_server.audit.recorder import Recorder
from fhir_server.audit.shelf import Shelf
from fhir_server.audit.store import WithAudit
from fhir_server.audit.trail import Noted
from fhir_server.audit.verify import Report, verify
from fhir_server.audit.witness import heard
from fhir_server.config import Settings
from fhir_server.crypto.keys import KeyFault, KeyRing
from fhir_server.search.values import Values
from fhir_server.store.api import Store

FOLDER: Final = "audit"

OpenStore = Callable[[KeyRing], Awaitable[Store]]
"""Opens the store of the AuditEvents under a key ring."""


@dataclass(frozen=True, slots=True)
class Audit:
    """An open audit. ``store``: records and AuditEvents, every access noted; for the one door alone."""

    store: Store
    recorder: Recorder
    indexer: Indexer
    log: Log
    index: Store
    shelf: Shelf

    def start(self) -> None:
        """Index in the background from now on."""
        self.indexer.start()

    async def close(self) -> None:
        """Stop indexing, close the segment, release the files; the records' store stays open."""
        await self.indexer.close()
        await self.log.close()
        await self.index.close()
        await asyncio.to_thread(self.shelf.close)


async def open_audit(
    settings: Settings,
    suite: str,
    records: Store,
    open_store: OpenStore,
    extract: Callable[[dict[str, Any]], Values],
) -> Audit:
    """Open the audit that ``settings`` name, making it and its keys when there is no log yet.

    ``suite``: cipher suite of a new one; ``extract``: what of an AuditEvent is searchable. Raises KeyFault
    when there is a log and its keys are missing or others; Fault(UNAVAILABLE) when it cannot be written to.
    """
    async with AsyncExitStack() as undo:
        shelf = shelf_of(settings)
        undo.callback(shelf.close)
        keys = await asyncio.to_thread(open_keys, settings, shelf, suite)
        await asyncio.to_thread(refuse_other_keys, shelf, keys)
        index = await open_store(keys.ring)
        undo.push_async_callback(index.close)
        log = await asyncio.to_thread(Log.open, shelf, keys)
        undo.pop_all()
    indexer = Indexer(
        shelf=shelf,
        keys=keys,
        store=index,
        extract=extract,
        origin=origin_of(settings.base_url),
        busy=lambda: log.appended,
    )
    recorder = Recorder(log, settings.audit_failure)
    return Audit(Noted(WithAudit(records, index)), recorder, indexer, log, index, shelf)


def shelf_of(settings: Settings) -> Shelf:
    """Return where the log lies: in the data folder, or in the database of FHIR_STORE."""
    if uri := settings.store.get_secret_value():
        # Imported here, so that who keeps records in files does not wait for the driver to load.
        from fhir_server.audit.mongodb.shelf import MongoShelf  # noqa: PLC0415

        return MongoShelf(uri)
    return file_shelf(settings)


def file_shelf(settings: Settings) -> FileShelf:
    """Return the log in the data folder, whether or not FHIR_STORE names a database."""
    return FileShelf(log_folder(settings.data), settings.key_folder / KEYS)


@contextmanager
def opened_shelf(settings: Settings) -> Iterator[Shelf]:
    """Open where the log lies for as long as the block runs."""
    shelf = shelf_of(settings)
    try:
        yield shelf
    finally:
        shelf.close()


def open_keys(settings: Settings, shelf: Shelf, suite: str = "standard") -> AuditKeys:
    """Open the audit's keys; new ones are made only while there is no log that others would have sealed."""
    return AuditKeys.open(settings.key_folder, suite, may_create=not shelf.chains())


def verified(settings: Settings, lines: Iterable[bytes] = ()) -> Report:
    """Verify the log that ``settings`` name, while a server runs or not, and against log lines of servers."""
    with opened_shelf(settings) as shelf:
        return verify(shelf, open_keys(settings, shelf), heard(lines))


def log_folder(data: Path) -> Path:
    """Return where the log of a data folder lies."""
    return data / FOLDER


def origin_of(base_url: str) -> Origin:
    """Return who reports: the server by the name that clients know it by."""
    host = urlsplit(base_url).hostname or "localhost"
    return Origin(base_url or "fhir-server", host)


def refuse_other_keys(shelf: Shelf, keys: AuditKeys) -> None:
    """Raise KeyFault when the log is signed with another key."""
    if shelf.known_key(keys.name) != keys.name:
        raise KeyFault(
            "The audit log is signed with another key than this key folder has: give every server that "
            "writes to it the audit keys of the one that began it."
        )
