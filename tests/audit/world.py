"""What the tests of the audit share: entries, a log in a folder, what a log holds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from hypothesis import strategies as st

from fhir_server.audit.entry import Agent, Entry, Item
from fhir_server.audit.keys import AuditKeys
from fhir_server.audit.log import Log
from fhir_server.audit.segment import Reading, chain_folders, segments
from fhir_server.audit.writer import Options
from fhir_server.crypto.keys import KeyRing

NURSE = Agent("app-1", "Practitioner/9", "Organization/3", ("nurse",), "TREAT", "jti-1", "10.0.0.1")
BACKEND = Agent("sync", purpose="HPAYMT", token="jti-2")
NOW = 1_760_000_000_000

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


def write(folder: Path, groups: Sequence[Sequence[Entry]], *, segment_bytes: int = 2**20) -> None:
    """Write groups into a log in ``folder``, one after the other, and close it."""

    async def run() -> None:
        log = Log.open(folder / "audit", keys_in(folder), Options(segment_bytes=segment_bytes))
        for group in groups:
            await log.append(group)
        await log.close()

    asyncio.run(run())


def written(folder: Path) -> list[Entry]:
    """Return all entries of the log in ``folder``, chain by chain."""
    keys = keys_in(folder)
    return [
        entry
        for chain in chain_folders(folder / "audit")
        for segment in segments(chain)
        if segment.path.exists()
        for _, entry in Reading.begin(keys, segment.path.read_bytes()).entries()
    ]
