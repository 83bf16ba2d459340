"""What the tests of the audit share: entries, a log in files or in MongoDB, what a log holds."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from hypothesis import strategies as st

from fhir_server.audit.entry import Agent, Entry, Item
from fhir_server.audit.files import FileShelf
from fhir_server.audit.keys import AuditKeys
from fhir_server.audit.log import Log
from fhir_server.audit.mongodb.place import Place
from fhir_server.audit.mongodb.shelf import MongoShelf
from fhir_server.audit.segment import Reading
from fhir_server.audit.shelf import Segment, Shelf
from fhir_server.audit.verify import Report, verify
from fhir_server.audit.writer import Options
from fhir_server.crypto.keys import KeyRing
from tests import engines

NURSE = Agent("app-1", "Practitioner/9", "Organization/3", ("nurse",), "TREAT", "jti-1", "10.0.0.1")
BACKEND = Agent("sync", purpose="HPAYMT", token="jti-2")
NOW = 1_760_000_000_000
LEASE_SECONDS = 1.0
"""How long a process of the tests keeps a chain in MongoDB after its last word."""

texts = st.text(max_size=20)
agents = st.builds(Agent, texts, texts, texts, st.lists(texts, max_size=2).map(tuple), texts, texts, texts)
items = st.builds(Item, texts, texts, st.integers(0, 2**40))
entries = st.builds(
    Entry,
    at=st.integers(0, 2**42),
    interaction=texts,
    outcome=st.sampled_from((0, 4, 8, 12)),
    status=st.integers(200, 599),
    request=texts,
    agent=agents,
    items=st.lists(items, max_size=3).map(tuple),
    patients=st.lists(texts, max_size=3).map(tuple),
    query=texts,
    parameters=st.lists(st.tuples(texts, texts), max_size=3).map(tuple),
    reason=st.lists(texts, max_size=2).map(tuple),
    created=st.booleans(),
)


def read(number: int = 1, patient: str = "p1", at: int = NOW) -> Entry:
    """Return the entry of a read."""
    item = Item("Observation", f"o{number}", 2)
    return Entry(at + number, "read", 0, 200, f"req-{number}", NURSE, "Observation", (item,), (patient,))


def keys_in(folder: Path, suite: str = "standard") -> AuditKeys:
    """Open the audit's keys below ``folder``, making all of them when there are none."""
    if not (folder / "keys").exists():
        KeyRing.create(folder / "keys", suite)
    return AuditKeys.open(folder / "keys", suite, may_create=True)


def shelf_at(folder: Path, address: str) -> Shelf:
    """Return the shelf of the log in MongoDB at ``address``, or below ``folder`` when that is empty."""
    if address:
        return MongoShelf(address, lease_seconds=LEASE_SECONDS)
    return files_in(folder)


def files_in(folder: Path) -> FileShelf:
    """Return the shelf of a log in files, whichever engine the test runs on."""
    return FileShelf(folder / "audit", folder / "keys" / "audit")


def shelf_in(folder: Path) -> Shelf:
    """Return the shelf of the log of this data folder, on the engine that the test runs on; close it."""
    return shelf_at(folder, engines.address(folder))


def write(folder: Path, groups: Sequence[Sequence[Entry]], *, segment_bytes: int = 2**20) -> None:
    """Write groups into the log of a folder, one after the other, and close it."""
    with closing(shelf_in(folder)) as shelf:
        write_in(shelf, keys_in(folder), groups, segment_bytes=segment_bytes)


def write_in(
    shelf: Shelf, keys: AuditKeys, groups: Sequence[Sequence[Entry]], *, segment_bytes: int = 2**20
) -> None:
    """Write groups into the log on a shelf, one after the other, and close it."""

    async def run() -> None:
        log = Log.open(shelf, keys, Options(segment_bytes=segment_bytes))
        for group in groups:
            await log.append(group)
        await log.close()

    asyncio.run(run())


def duplicate(folder: Path, target: Path) -> None:
    """Copy keys and log of a folder, as the engine keeps them: quicker than to write them again."""
    shutil.copytree(folder / "keys", target / "keys")
    if not (address := engines.address(folder)):
        shutil.copytree(folder / "audit", target / "audit")
        return
    with closing(Place(address)) as place, closing(Place(engines.address(target))) as copy:
        for name in place.db.list_collection_names():
            if documents := list(place.db[name].find()):
                copy.db[name].insert_many(documents)


def written(folder: Path) -> list[Entry]:
    """Return all entries of the log of a folder, chain by chain."""
    with closing(shelf_in(folder)) as shelf:
        return written_in(shelf, keys_in(folder))


def written_in(shelf: Shelf, keys: AuditKeys) -> list[Entry]:
    """Return all entries of the log on a shelf, chain by chain."""
    return [
        entry
        for chain in shelf.chains()
        for segment in shelf.segments(chain)
        if (content := shelf.content(segment)) is not None
        for _, entry in Reading.begin(keys, content).entries()
    ]


def checked(folder: Path) -> Report:
    """Verify the log of a folder."""
    with closing(shelf_in(folder)) as shelf:
        return verify(shelf, keys_in(folder))


def newest(shelf: Shelf) -> Segment:
    """Return the newest segment of the first chain."""
    return shelf.segments("p00")[-1]
