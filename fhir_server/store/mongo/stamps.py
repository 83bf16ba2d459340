"""Stamps: what a process must know of the commits of all others, and how a change reaches every commit.

``stamp`` holds :data:`LANES` small documents. Every transaction that writes records or state goes through one
of them: it counts there what it changes, and reads there what holds for it, the generation of the search
parameters, the oldest data key that may still seal, and whether a transfer fills the store and holds all
others off. Transactions in different lanes do not conflict; who
changes what holds writes to all lanes, and so conflicts with every transaction that is under way. Reading the
stamps is one aggregate, at most once for each request (:mod:`fhir_server.store.moment`), and requests that
ask at the same time share one.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, Generic, NamedTuple, TypeVar

from bson.objectid import ObjectId
from pymongo import ReturnDocument
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import BulkWriteError, PyMongoError

from fhir_server.faults import Fault, Kind
from fhir_server.store import moment
from fhir_server.store.api import Stamps
from fhir_server.store.mongo.client import Engine, unavailable
from fhir_server.store.mongo.schema import META, PARAMETERS, STAMP

LANES: Final = 64
"""More than there are transactions under way at once; a transaction that meets another is tried again."""

_READ: Final = [
    {
        "$group": {
            "_id": None,
            "generation": {"$max": "$generation"},
            "governing": {"$sum": "$governing"},
            "classes": {"$max": "$classes"},
            "state": {"$sum": "$state"},
        }
    }
]
_FRESH: Final = dict.fromkeys(("entered", "generation", "governing", "classes", "state", "key", "held"), 0)
_CONFLICT: Final = 112
_DUPLICATE: Final = 11000
_PAUSE_SECONDS: Final = 0.01
_ATTEMPTS: Final = 500
_ERA_SHIFT: Final = 48
"""Bits that are left for counting commits."""

T = TypeVar("T")


class Lane(NamedTuple):
    """What holds for a transaction: the generation of its values, the least number of a key that may seal."""

    generation: int
    key: int


class Reading(NamedTuple):
    """All stamps at one moment; ``state`` changes with every write of a state record.

    Both it and ``governing`` are this process's own numbers: they change with the primary, too.
    """

    stamps: Stamps
    state: int


class Shared(Generic[T]):
    """Asks once for all who ask meanwhile. What was begun before somebody asked is no answer to him."""

    def __init__(self, ask: Callable[[], Awaitable[T]]) -> None:
        self._ask = ask
        self._current: asyncio.Task[T] | None = None
        self._next: asyncio.Task[T] | None = None

    async def answer(self) -> T:
        """Return an answer that was asked for after this call."""
        if self._next is None:
            self._next = asyncio.create_task(self._turn(self._current), name="stamps")
            self._next.add_done_callback(_looked_at)
        # Shielded: others wait for it too.
        return await asyncio.shield(self._next)

    async def _turn(self, before: asyncio.Task[T] | None) -> T:
        if before is not None:
            await asyncio.wait([before])
        self._current, self._next = self._next, None
        return await self._ask()


def _looked_at(task: asyncio.Task[T]) -> None:
    """See the task's error, so that nobody is warned of it when all who waited have gone."""
    if not task.cancelled():
        task.exception()


class MongoStamps:
    """The stamps of one store, read and written."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lanes = engine.db.get_collection(STAMP)
        self._next_lane = random.randrange(LANES)  # noqa: S311 - spreads processes, guards nothing
        self._commits = 0
        self._is_holding = False
        self._leader: ObjectId | None = None
        self._elections = 0
        self._shared = Shared(self._ask)

    async def read(self) -> Reading:
        """Return the stamps as the last commit of any process left them, once for each moment.

        Fault UNAVAILABLE when the engine does not answer.
        """
        found = moment.kept(self)
        if found is not None and found[0] == self._commits:
            reading: Reading = found[1]
            return reading
        commits = self._commits
        reading = await self._shared.answer()
        moment.keep(self, (commits, reading))
        return reading

    def committed(self) -> None:
        """Note that this process has committed, or has tried to: what was read before holds no longer."""
        self._commits += 1

    async def enter(
        self, session: AsyncClientSession, *, governing: bool = False, state: bool = False, classes: int = 0
    ) -> Lane:
        """Go through a lane in an open transaction; return what holds for it.

        ``governing``: a record by which others are decided on changes, or a patient is reclassed.
        ``state``: a state record changes. ``classes``: the greatest number of a new policy class.
        """
        self._next_lane = (self._next_lane + 1) % LANES
        document = await self._lanes.find_one_and_update(
            {"_id": self._next_lane},
            {
                "$inc": {"entered": 1, "governing": int(governing), "state": int(state)},
                "$max": {"classes": classes},
            },
            {"generation": 1, "key": 1, "held": 1},
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        if document is None:
            raise Fault(Kind.UNAVAILABLE, "The database is not prepared for the store: run fhir-server init.")
        if document["held"] and not self._is_holding:
            raise Fault(
                Kind.UNAVAILABLE,
                "The database is being filled from another store: nothing is written until fhir-server"
                " migrate has ended.",
                headers=(("Retry-After", "60"),),
            )
        return Lane(document["generation"], document["key"])

    async def prepare(self) -> None:
        """Make the lanes of a new store; they must be there before anybody goes through one.

        In one that is there, finish what a process left undone that died while it changed what holds.
        """
        if await self._lanes.count_documents({}) == LANES:
            await self.raise_generation()
            return
        fresh = [{"_id": lane, **_FRESH} for lane in range(LANES)]
        try:
            await self._lanes.insert_many(fresh, ordered=False)
        except BulkWriteError as error:
            # Another process is making them too.
            if any(each["code"] != _DUPLICATE for each in error.details["writeErrors"]):
                raise

    async def raise_generation(self) -> int:
        """Bring every lane to the generation that is written down; return it.

        When this returns, whatever was under way by an earlier one has ended or will fail.
        """
        written = await self._engine.db.get_collection(META).find_one({"_id": PARAMETERS}, {"generation": 1})
        generation: int = written["generation"] if written else 0
        if (await self._least("generation")) < generation:
            await self._raise_all("generation", generation)
        return generation

    async def raise_key(self, number: int) -> None:
        """See that no transaction that seals under a key with a lower number is committed from now on."""
        await self._raise_all("key", number)

    async def hold(self) -> None:
        """See that nobody but this process commits anything from now on, whoever has the store open."""
        await self._raise_all("held", 1)
        self._is_holding = True

    async def release(self) -> None:
        """Let everybody commit again."""
        await self._lanes.update_many({}, {"$set": {"held": 0}, "$inc": {"entered": 1}})
        self._is_holding = False

    async def _least(self, field: str) -> int:
        rows = await self._lanes.aggregate([{"$group": {"_id": None, "least": {"$min": f"${field}"}}}])
        found = await rows.to_list()
        least: int = found[0]["least"] if found else 0
        return least

    async def _raise_all(self, field: str, number: int) -> None:
        # One by one: a transaction over all lanes would find some of them taken at any time.
        for lane in range(LANES):
            await self._raise(lane, field, number)

    async def _raise(self, lane: int, field: str, number: int) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                await self._lanes.update_one({"_id": lane}, {"$max": {field: number}, "$inc": {"entered": 1}})
            except PyMongoError as error:
                # The engine itself waits for a transaction that is in the lane; some give up early.
                if getattr(error, "code", None) != _CONFLICT or attempt == _ATTEMPTS - 1:
                    raise
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                return

    def _era(self) -> int:
        """Return a number that changes with the primary, as far as this process has heard of it.

        A new one may for a moment not know what its predecessor has acknowledged. What was looked up there,
        under stamps that were read before, would be remembered although it is out of date: it is looked up
        again.
        """
        leader = self._engine.leader
        if leader is not None and leader != self._leader:
            self._elections += self._leader is not None
            self._leader = leader
        return self._elections << _ERA_SHIFT

    async def _ask(self) -> Reading:
        # Before the question: if it is another primary that answers, the next answer is of another era.
        era = self._era()
        try:
            rows = await self._lanes.aggregate(_READ)
            [found] = await rows.to_list()
        except PyMongoError as error:
            raise unavailable(error) from error
        stamps = Stamps(int(found["generation"]), era + int(found["governing"]), int(found["classes"]))
        return Reading(stamps, era + int(found["state"]))
