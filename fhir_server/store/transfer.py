"""Taking a whole store over into another one: every version as it was, consents, accounts, parameters.

An :class:`Origin` tells everything that it keeps; a :class:`Destination` takes it and remembers how far it
is, so that a transfer that was stopped goes on. :func:`differences` compares what both keep at the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, Protocol

import msgspec

from fhir_server.clock import now_ms
from fhir_server.frozen import frozen
from fhir_server.store.api import Stored
from fhir_server.store.policies import Standing
from fhir_server.store.state import Record

Progress = Callable[[int], None]
"""It is given how many versions are done."""

# Engines have integers of their own kind.
_FRAME: Final = msgspec.msgpack.Encoder(enc_hook=int).encode
_MODULUS: Final = 1 << 256


@frozen
class Kept:
    """One version as a store keeps it.

    ``number``: of the version in the store; it grows with time. ``created``: the number of the first version
    of its resource. ``until``: when the next version was written (ms); None: this is the current one.
    """

    number: int
    created: int
    until: int | None
    stored: Stored


class Contents(Protocol):
    """Everything that a store keeps. Faults: UNAVAILABLE; EXCEPTION when something cannot be opened."""

    async def count(self) -> int:
        """Return how many versions there are."""

    def versions(self, after: int = 0) -> AsyncIterator[Sequence[Kept]]:
        """Yield the versions with greater numbers than ``after``, some at a time."""

    async def rules(self) -> list[tuple[int, bytes]]:
        """Return the numbers and rules of all policy classes, in order."""

    def standings(self) -> AsyncIterator[Sequence[Standing]]:
        """Yield how each patient stands of whom anything is written down, some at a time."""

    async def records(self) -> list[Record]:
        """Return the state records that have not expired."""

    async def parameters(self) -> tuple[int, bytes]:
        """Return the generation and the text of the custom search parameters."""


class Origin(Contents, Protocol):
    """A store that another one takes over; its :meth:`versions` come in the order of their numbers."""

    async def newest(self) -> int:
        """Return the number of the newest version; 0 in an empty store."""

    def overtaken(self, since: int) -> AsyncIterator[Sequence[Kept]]:
        """Yield the versions numbered up to ``since`` that a version with a greater number came after."""


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a transfer is. ``newest``: of the origin when it began; ``after``: the last version taken."""

    newest: int
    after: int = 0


class Destination(Contents, Protocol):
    """What takes all of it, under the same numbers. Whatever is given to it again doubles nothing."""

    async def begin(self, newest: int) -> Reached:
        """Return how far an earlier transfer came, or note that one begins.

        Raises Fault(CONFLICT) when the store holds anything that no unfinished transfer has brought.
        """

    async def take(self, versions: Sequence[Kept], reached: Reached | None = None) -> None:
        """Keep versions, durably, and how far that is: ``reached``, or None for as far as before."""

    async def take_rules(self, rules: Sequence[tuple[int, bytes]]) -> None:
        """Keep policy classes under their numbers."""

    async def take_standings(self, standings: Sequence[Standing]) -> None:
        """Keep how patients stand; their classes are known."""

    async def take_records(self, records: Sequence[Record]) -> None:
        """Keep state records, and no other ones."""

    async def finish(self) -> None:
        """Note that all is taken: from now on the store may be served."""


@dataclass(slots=True)
class Totals:
    """What two stores are compared by: how much there is of what, and a digest of all of it in any order."""

    counts: Counter[str] = field(default_factory=Counter)
    digest: int = 0

    def add(self, name: str, *content: object) -> None:
        """Count one thing in under ``name``."""
        self.counts[name] += 1
        made = blake2b(_FRAME((name, *content)), digest_size=32).digest()
        # Added, not joined: each thing weighs the same wherever in the order it stands.
        self.digest = (self.digest + int.from_bytes(made, "big")) % _MODULUS

    def add_version(self, kept: Kept) -> None:
        """Count one version in: what it is, its place in time, and when it was superseded."""
        stored = kept.stored
        self.add(
            f"versions of {stored.type}",
            kept.number,
            kept.created,
            stored.id,
            stored.version,
            stored.updated,
            stored.method,
            stored.body,
            kept.until,
        )

    def add_standing(self, standing: Standing) -> None:
        """Count in how one patient stands."""
        spans = [(span.start, span.end, span.number) for span in standing.spans]
        self.add("standings", standing.patient, spans, standing.note)

    def add_record(self, record: Record) -> None:
        """Count one state record in; the number of its version is each store's own."""
        tags = sorted(record.tags)
        self.add(f"records {record.kind}", record.key, record.body, record.expires, tags)


async def _totals(origin: Contents, progress: Progress) -> Totals:
    made, done = Totals(), 0
    async for versions in origin.versions():
        for kept in versions:
            made.add_version(kept)
        done += len(versions)
        progress(done)
    for number, rule in await origin.rules():
        made.add("policy classes", number, rule)
    async for standings in origin.standings():
        for standing in standings:
            made.add_standing(standing)
    made.add("search parameters", (await origin.parameters())[1])
    return made


async def differences(
    origin: Contents, other: Contents, clock: Callable[[], int] = now_ms, progress: Progress = lambda _: None
) -> list[str]:
    """Read everything that both stores keep and say where they differ, a sentence each; [] = nowhere.

    ``progress`` hears of the versions read, those of both.
    """
    one = await _totals(origin, progress)
    read = sum(count for name, count in one.counts.items() if name.startswith("versions of "))
    two = await _totals(other, lambda done: progress(read + done))
    here, there = await origin.records(), await other.records()
    # What has expired since the first was asked counts for neither.
    now = clock()
    for totals, records in ((one, here), (two, there)):
        for record in records:
            if record.expires is None or record.expires > now:
                totals.add_record(record)
    found = [
        f"{one.counts[name]} {name} there, {two.counts[name]} here."
        for name in sorted(one.counts.keys() | two.counts.keys())
        if one.counts[name] != two.counts[name]
    ]
    return found or (["As much of everything, but not the same."] if one.digest != two.digest else [])


async def transfer(
    origin: Origin, to: Destination, reached: Reached, progress: Progress = lambda _: None
) -> int:
    """Take everything over from where ``to`` began or an earlier transfer stopped; return how many versions.

    The custom search parameters are not taken: they must be in force at ``to`` before it takes a version.
    Whoever has compared both then finishes it.
    """
    newest = await origin.newest()
    done = 0
    if reached.newest < newest:
        # The origin was written to since: what was current then may be history now.
        async for versions in origin.overtaken(reached.newest):
            await to.take(versions)
    async for versions in origin.versions(reached.after):
        await to.take(versions, Reached(newest, versions[-1].number))
        done += len(versions)
        progress(done)
    await to.take_rules(await origin.rules())
    async for standings in origin.standings():
        await to.take_standings(standings)
    await to.take_records(await origin.records())
    return done
