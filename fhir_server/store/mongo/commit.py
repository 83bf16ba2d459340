"""Commits carried out inside one transaction: each checked first, then all written together.

A commit is checked against what is staged before it and stages nothing until all its checks have passed, so
that one that fails undoes none of its neighbours. What is written goes out by collection, in one command for
each kind of write: a bundle is a handful of round trips, however many entries it has.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from bson.int64 import Int64
from bson.objectid import ObjectId
from pymongo import DeleteOne, ReplaceOne, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection

from fhir_server.faults import Fault, Kind
from fhir_server.search.predicate import Predicate
from fhir_server.store.api import (
    Condition,
    Expectation,
    Reclass,
    Stale,
    StillReferenced,
    Unreferenced,
)
from fhir_server.store.bodies import id_of
from fhir_server.store.mongo import guards
from fhir_server.store.mongo.classes import Classing
from fhir_server.store.mongo.client import Document
from fhir_server.store.mongo.places import lying, within
from fhir_server.store.mongo.prepared import MongoPrepared, document, key_of, superseded
from fhir_server.store.mongo.records import PROJECTION
from fhir_server.store.mongo.schema import HISTORY, IDENTITY, RESOURCE
from fhir_server.store.mongo.tools import Tools
from fhir_server.store.mongo.writing import may_seal

_HEAD: Final = {**PROJECTION, "c": 1, "l": 1, "a": 1}

Finder = Callable[
    [AsyncClientSession, Sequence[tuple[str, Predicate, int]]], Awaitable[Sequence[Sequence[int]]]
]
"""Of several searches (type, predicate, how many at most) the digests of what they find, in a transaction."""


class SealedBefore(Exception):
    """A payload was sealed under a key that is about to be retired: seal it anew."""


@dataclass(eq=False, slots=True)
class Commit:
    """What is to be written together or not at all. ``files``: of payloads, by place in ``prepared``."""

    prepared: list[MongoPrepared]
    conditions: Sequence[Condition] = ()
    reclasses: Sequence[Reclass] = ()
    files: dict[int, ObjectId] = field(default_factory=dict)

    @property
    def is_plain(self) -> bool:
        """True when it depends on nothing but the versions of what it writes."""
        return not self.conditions and not self.reclasses

    def governs(self, tools: Tools) -> bool:
        """Tell whether others are decided on by what it writes."""
        return bool(self.reclasses) or any(item.change.type in tools.governing for item in self.prepared)


@dataclass(slots=True)
class Batch:
    """One transaction under construction: :meth:`begin`, :meth:`add` commits to it, then :meth:`write`."""

    tools: Tools
    session: AsyncClientSession
    find: Finder
    _generation: int = 0
    _classes: int = 0
    _heads: dict[int, Document] = field(default_factory=dict)
    _before: dict[int, Document] = field(default_factory=dict)
    _history: list[Document] = field(default_factory=list)

    async def begin(self, commits: Sequence[Commit]) -> None:
        """Go through a lane, and read the current versions of all that will be written: two round trips.

        Raises Fault(UNAVAILABLE) while this process lacks the key that is to seal, and :class:`SealedBefore`.
        """
        governing = any(commit.governs(self.tools) for commit in commits)
        lane = await self.tools.stamps.enter(self.session, governing=governing)
        may_seal(self.tools, lane)
        if any(key_of(item.payload) < lane.key for commit in commits for item in commit.prepared):
            raise SealedBefore
        self._generation = lane.generation
        digests = sorted({item.digest for commit in commits for item in commit.prepared})
        if digests:
            lies = await lying(self.tools.engine, digests, self.session)
            found = self._collection(RESOURCE).find(
                # One more than there can be: the engine then says at once that there are no others.
                {"_id": {"$in": digests}, **within(lies)},
                _HEAD,
                session=self.session,
                batch_size=len(digests) + 1,
            )
            self._before = {head["_id"]: head for head in await found.to_list()}
            self._heads = dict(self._before)

    async def add(self, commit: Commit) -> None:
        """Check one commit and stage it; raises Stale, StillReferenced or Fault with nothing staged.

        One that is not plain must be the only one: it is asked what was there before the transaction.
        """
        if len({item.digest for item in commit.prepared}) < len(commit.prepared):
            raise Fault(
                Kind.CONFLICT, "One commit changes the same resource twice; send the changes one by one."
            )
        for item in commit.prepared:
            await self._check_version(item)
        if commit.conditions:
            await self._check_conditions(commit)
        classing = Classing(self.tools, self.session)
        await classing.check(commit.reclasses)
        for place, item in enumerate(commit.prepared):
            self._stage(item, commit.files.get(place))
        self._classes = await classing.write(commit.reclasses)

    async def write(self) -> None:
        """Write what is staged: one round trip for each collection and kind of write."""
        new: list[Document] = []
        replacing: list[tuple[Document, Document]] = []
        moving: list[tuple[Document, Document]] = []
        for digest, head in self._heads.items():
            before = self._before.get(digest)
            if before is None:
                new.append(head)
            elif before is not head:
                (replacing if before["c"] == head["c"] else moving).append((before, head))
        await self._write_identities(new, [head for _, head in moving])
        if new or moving:
            await self._write_resources([_deletion(before) for before, _ in moving])
            await self._insert(RESOURCE, [*new, *(head for _, head in moving)])
        await self._write_resources([ReplaceOne(_exactly(before), head) for before, head in replacing])
        await self._insert(HISTORY, self._history)
        if self._classes:
            await self.tools.stamps.enter(self.session, classes=self._classes)

    @property
    def is_empty(self) -> bool:
        """True when nothing was staged."""
        return self._heads == self._before and not self._classes

    def _collection(self, name: str) -> AsyncCollection[Document]:
        return self.tools.engine.db.get_collection(name)

    async def _check_version(self, item: MongoPrepared) -> None:
        change, head = item.change, self._heads.get(item.digest)
        if change.values is not None and change.values.generation != self._generation:
            # Another set of search parameters than the current one says what is indexed.
            raise Stale
        if head is None:
            if change.version != 1 or change.method == "DELETE":
                raise Stale
            return
        if head["v"] == change.version - 1 or change.version == 1:
            await self._check_same_id(item, head)
        if head["v"] != change.version - 1:
            raise Stale

    async def _check_same_id(self, item: MongoPrepared, head: Document) -> None:
        """Refuse to write over another resource whose id has, against all odds, the same digest."""
        opener = self.tools.opener
        [filled] = await opener.fetched([head])
        if id_of(item.change.type, opener.body(filled)) != item.change.id:
            raise Fault(
                Kind.CONFLICT, "This id cannot be used in this store; choose another one.", "Resource.id"
            )

    async def _check_conditions(self, commit: Commit) -> None:
        keys = self.tools.keys
        touched = guards.asked(commit.conditions, keys)
        for item in commit.prepared:
            touched |= guards.written(item.change.type, item.digest, item.change.values, keys)
        types = {item.change.type for item in commit.prepared}
        await guards.touch(self.tools.engine, self.session, touched, types, self.tools.clock())
        await self._check_expectations([each for each in commit.conditions if isinstance(each, Expectation)])
        unreferenced = [each for each in commit.conditions if isinstance(each, Unreferenced)]
        await self._check_unreferenced(unreferenced, [item.digest for item in commit.prepared])

    async def _check_expectations(self, expectations: Sequence[Expectation]) -> None:
        if not expectations:
            return
        searches = [
            (each.type, each.visibility.restrict(each.type, each.where), len(each.ids) + 1)
            for each in expectations
        ]
        for each, found in zip(expectations, await self.find(self.session, searches), strict=True):
            expected = {self.tools.blind.target(f"{each.type}/{id_}") for id_ in each.ids}
            if set(found) != expected or len(found) != len(each.ids):
                raise Stale

    async def _check_unreferenced(self, targets: Sequence[Unreferenced], changed: Sequence[Int64]) -> None:
        if not targets:
            return
        names = {Int64(self.tools.blind.target(name)): name for name in map(_name, targets)}
        referrer = await self._collection(RESOURCE).find_one(
            {"o": {"$in": list(names)}, "_id": {"$nin": list(changed)}},
            {**PROJECTION, "o": 1},
            session=self.session,
        )
        if referrer is not None:
            [stored] = await self.tools.opener.all([referrer])
            target = next(names[digest] for digest in referrer["o"] if digest in names)
            raise StillReferenced(target, f"{stored.type}/{stored.id}")

    def _stage(self, item: MongoPrepared, file: ObjectId | None) -> None:
        before = self._heads.get(item.digest)
        number = self.tools.numbers.next(0 if before is None else before["w"])
        if before is not None:
            self._history.append(superseded(before, item.change.updated))
        self._heads[item.digest] = document(item, file, before, number)

    async def _write_identities(self, new: Sequence[Document], moved: Sequence[Document]) -> None:
        await self._insert(IDENTITY, [{"_id": head["_id"], "c": head["c"]} for head in new])
        if moved:
            updates = [UpdateOne({"_id": head["_id"]}, {"$set": {"c": head["c"]}}) for head in moved]
            await self._collection(IDENTITY).bulk_write(updates, session=self.session)

    async def _insert(self, name: str, documents: Sequence[Document]) -> None:
        if documents:
            await self._collection(name).insert_many(documents, session=self.session)

    async def _write_resources(self, writes: Sequence[ReplaceOne[Document] | DeleteOne]) -> None:
        if not writes:
            return
        done = await self._collection(RESOURCE).bulk_write(writes, session=self.session)
        if done.matched_count + done.deleted_count != len(writes):
            # Never on a snapshot; but a version must not be lost if it were.
            raise Stale


def _exactly(before: Document) -> Document:
    return {"_id": before["_id"], "c": before["c"], "v": before["v"]}


def _deletion(before: Document) -> DeleteOne:
    # A document whose shard key changes goes to another shard: it is taken out there and put in here.
    return DeleteOne(_exactly(before))


def _name(target: Unreferenced) -> str:
    return f"{target.type}/{target.id}"
