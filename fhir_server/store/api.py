"""What every store does: read, search, tell history, commit. SQLite and MongoDB stand behind this one page.

No read exists without a Visibility. Writes are optimistic: ``prepare`` costs CPU and touches nothing,
``commit`` compares versions and conditions and writes all or nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from fhir_server.frozen import frozen
from fhir_server.search.predicate import Predicate
from fhir_server.search.query import Position, Query
from fhir_server.search.values import Values
from fhir_server.search.visibility import Visibility
from fhir_server.store.policies import Policies
from fhir_server.store.upkeep import Jobs, Parameters

Method = Literal["POST", "PUT", "PATCH", "DELETE"]


@frozen
class Stored:
    """One version of one resource. ``body``: its canonical JSON; b"" when this version is a deletion."""

    type: str
    id: str
    version: int
    updated: int
    method: Method
    body: bytes

    @property
    def deleted(self) -> bool:
        """True when this version is a deletion."""
        return self.method == "DELETE"


@frozen
class Change:
    """One write: ``version`` is the number it will get, so the current one must be ``version - 1``.

    ``body`` is canonical JSON that begins with resourceType, id and meta; b"" and ``values`` None delete.
    ``updated``: milliseconds since the epoch, the same instant as ``meta.lastUpdated``.
    """

    type: str
    id: str
    version: int
    updated: int
    method: Method
    body: bytes
    values: Values | None


class Prepared(Protocol):
    """A change made ready (sealed, its index rows computed); only the store that made it can read it."""

    @property
    def change(self) -> Change:
        """What was prepared."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """Commit only while this search still finds just ``ids`` (in any order; at most two are compared)."""

    type: str
    where: Predicate
    visibility: Visibility
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unreferenced:
    """Commit only while no current resource refers to ``type/id`` (resources in the same commit aside)."""

    type: str
    id: str


Condition = Expectation | Unreferenced


@dataclass(frozen=True, slots=True)
class Slice:
    """A time in which a patient is under one rule: from ``start`` (ms since 1970) until before ``end``."""

    start: int
    end: int
    rule: bytes


@dataclass(frozen=True, slots=True)
class Reclass:
    """Which rules a patient (logical id) is under, and when, from this commit on.

    ``seen``: the version of the patient's standing that this was worked out from, 0: there was none.
    ``slices``: in order, none overlapping another; at a time that none covers the patient is in class 0.
    ``note``: whatever the one who works rules out wants to read again with the standing.
    """

    patient: str
    seen: int
    slices: tuple[Slice, ...]
    note: bytes = b""


class Stale(Exception):
    """Another write came first: a version, a condition or a standing no longer holds.

    Nothing was written; read again.
    """


class StillReferenced(Exception):
    """Something still refers to the resource to be deleted. ``referrer`` is one ``Type/id``."""

    def __init__(self, target: str, referrer: str) -> None:
        super().__init__(target)
        self.target = target
        self.referrer = referrer


@frozen
class Page:
    """Matches in order, how many there are in all (None unless asked), and where the next page starts.

    ``previous``: the ``before`` of the page that comes before this one; None on the first page.
    ``positions``: of each match, for who joins pages of several types.
    ``plan``: how the search was carried out, when asked: names, numbers and lists, nothing of a record.
    """

    matches: list[Stored]
    total: int | None
    next: Position | None
    previous: Position | None = None
    plan: Mapping[str, Any] | None = None
    positions: Sequence[Position] = ()


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Versions, newest first: of one resource, of a type, or of all (``type`` None).

    ``since``: updated at or after (ms). ``at``: (lo, hi), versions that were current at some time within it.
    ``before``: a version's number in the store; the page holds older ones.
    """

    type: str | None
    id: str | None = None
    since: int | None = None
    at: tuple[int, int] | None = None
    count: int = 20
    before: int | None = None


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Versions, newest first; their number in all; the ``before`` of the next page, None at the end."""

    versions: list[Stored]
    total: int
    next: int | None


@dataclass(frozen=True, slots=True)
class Facts:
    """What the store says about itself. ``resources``: current ones by type. ``size``: bytes on disk."""

    engine: str
    schema: int
    suite: str
    resources: dict[str, int]
    versions: int
    size: int


@dataclass(frozen=True, slots=True)
class Stamps:
    """Numbers by which a process sees that what it remembers is out of date, whoever committed the change.

    ``generation``: of the set of custom search parameters. ``governing``: changes whenever a commit touches a
    type that was named to the store as governing others, or reclasses a patient. ``classes``: the highest
    policy class.
    """

    generation: int
    governing: int
    classes: int


class Store(Protocol):
    """The protocol.

    Faults: ``Fault(UNAVAILABLE)`` when the engine cannot answer, ``Fault(TOO_COSTLY)`` when a search outlives
    its limit; ``Stale`` and ``StillReferenced`` from ``commit``.
    """

    @property
    def jobs(self) -> Jobs:
        """The durable jobs."""

    @property
    def parameters(self) -> Parameters:
        """The custom search parameters that the index follows."""

    @property
    def policies(self) -> Policies:
        """The policy classes: which rules patients are under."""

    async def stamps(self) -> Stamps:
        """Return the stamps as the last commit of any process left them.

        Next to nothing, or one round trip for each request (:mod:`fhir_server.store.moment`).
        """

    async def read(self, visibility: Visibility, type_: str, id_: str) -> Stored | None:
        """Return the current version, a deletion included; None when unknown or not visible."""

    async def read_version(self, visibility: Visibility, type_: str, id_: str, version: int) -> Stored | None:
        """Return one version, a deletion included; None when unknown or not visible."""

    async def read_many(self, visibility: Visibility, keys: Sequence[tuple[str, str]]) -> list[Stored]:
        """Return the current, undeleted, visible ones among (type, id) ``keys``, in that order, each once."""

    async def search(self, visibility: Visibility, query: Query) -> Page:
        """Return the page of what satisfies the query and may be seen."""

    async def history(self, visibility: Visibility, query: HistoryQuery) -> HistoryPage:
        """Return versions that may be seen, newest first."""

    def prepare(self, change: Change) -> Prepared:
        """Seal and digest one change. Pure CPU: callers with many yield to the loop between them."""

    async def commit(
        self,
        prepared: Sequence[Prepared],
        conditions: Sequence[Condition] = (),
        reclasses: Sequence[Reclass] = (),
    ) -> None:
        """Write all or nothing, durably, before returning. No patient is reclassed twice in one commit."""

    def scan(self, visibility: Visibility, type_: str | None = None) -> AsyncIterator[Stored]:
        """Yield every current visible resource, for export, reindex and checks."""

    async def facts(self) -> Facts:
        """Count and measure."""

    async def check(self) -> list[str]:
        """Look for damage: unreadable payloads, index rows that differ from their resource. [] = sound."""

    async def ready(self) -> bool:
        """Return True when it can answer now."""

    async def close(self) -> None:
        """Finish writes under way and release the files."""
