"""Judging versions by their content: what they lead to is fetched when a predicate asks for it.

The matcher is a plain function of what is at hand. Where it asks for what is not, it is stopped, what all
versions under judgement lack is fetched at once, and it begins again: one round trip for each step of a chain
and kind of link, however many versions are judged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from bson.int64 import Int64
from pymongo.asynchronous.client_session import AsyncClientSession

from fhir_server.search.match import ClassOf, Referrers, Resolve
from fhir_server.search.predicate import Everything, Nothing, Predicate
from fhir_server.search.values import Values
from fhir_server.store.api import Stored
from fhir_server.store.mongo.classes import class_at
from fhir_server.store.mongo.client import Document
from fhir_server.store.mongo.keys import parameter
from fhir_server.store.mongo.opened import MOST_OPENED, too_many_to_open
from fhir_server.store.mongo.places import lying, within
from fhir_server.store.mongo.records import PROJECTION
from fhir_server.store.mongo.schema import HISTORY, RESOURCE, STANDING
from fhir_server.store.mongo.tools import Tools
from fhir_server.store.sealed import patient_digest

Matcher = Callable[[Predicate, str, bytes, Resolve, Referrers, ClassOf], bool]
"""Predicate, type and body → whether the body satisfies it.

It is given what the body leads to, what leads to it, and which policy classes patients are in.
"""

_INLINE: Final = 8
"""So few versions are judged in the event loop, more in a thread."""


class Case(NamedTuple):
    """A version to be judged, by the content of ``stored``.

    ``gone``: when what is judged was deleted (ms since the epoch); None: it lives. What was deleted with it
    or later counts as it last was: a record that others kept hidden must not be told of once those are
    deleted.
    """

    predicate: Predicate
    stored: Stored
    gone: int | None = None


class _Reference(NamedTuple):
    """What refers to ``target`` by ``param``, among the resources of a type."""

    type: str
    param: str
    target: str


class _Missing(Exception):
    """Something that a predicate asks for was not fetched yet."""


@dataclass(slots=True)
class _Resource:
    """What a reference leads to now: its values, and if it was deleted, when; ``last``: before that."""

    values: Values | None
    deleted: int | None = None
    version: int = 0
    last: Values | None = None
    is_last_known: bool = False


@dataclass(slots=True)
class Judge:
    """Judges for one request, at one moment: ``now`` in ms. What it has fetched it keeps."""

    tools: Tools
    matcher: Matcher
    session: AsyncClientSession | None
    now: int
    _resources: dict[str, _Resource] = field(default_factory=dict)
    _referrers: dict[_Reference, list[tuple[str, Values]]] = field(default_factory=dict)
    _classes: dict[str, int] = field(default_factory=dict)
    _no_resources: set[str] = field(default_factory=set)
    _no_last: set[str] = field(default_factory=set)
    _no_referrers: set[_Reference] = field(default_factory=set)
    _no_classes: set[str] = field(default_factory=set)

    async def judge(self, cases: Sequence[Case]) -> list[bool]:
        """Say of each case whether its predicate is satisfied."""
        answers: dict[int, bool] = {}
        waiting = list(enumerate(cases))
        while waiting:
            if len(waiting) <= _INLINE:
                waiting = self._try(waiting, answers)
            else:
                waiting = await asyncio.to_thread(self._try, waiting, answers)
            if waiting:
                await self._fetch()
        return [answers[number] for number in range(len(cases))]

    def _try(self, waiting: Sequence[tuple[int, Case]], answers: dict[int, bool]) -> list[tuple[int, Case]]:
        """Judge what can be; return what lacks something."""
        left = []
        for number, case in waiting:
            try:
                answers[number] = self._answer(case)
            except _Missing:
                left.append((number, case))
        return left

    def _answer(self, case: Case) -> bool:
        if isinstance(case.predicate, Everything | Nothing):
            return isinstance(case.predicate, Everything)

        def resolve(type_: str, id_: str) -> Values | None:
            return self._resolve(f"{type_}/{id_}", case.gone)

        stored = case.stored
        return self.matcher(
            case.predicate, stored.type, stored.body, resolve, self._referring, self._class_of
        )

    def _resolve(self, target: str, gone: int | None) -> Values | None:
        found = self._resources.get(target)
        if found is None:
            self._no_resources.add(target)
            raise _Missing
        if found.deleted is None or gone is None or found.deleted < gone:
            return found.values
        if not found.is_last_known:
            self._no_last.add(target)
            raise _Missing
        return found.last

    def _referring(self, type_: str, param: str, target: str) -> Iterator[tuple[str, Values]]:
        wanted = _Reference(type_, param, target)
        if wanted not in self._referrers:
            self._no_referrers.add(wanted)
            raise _Missing
        return iter(self._referrers[wanted])

    def _class_of(self, patient: str) -> int:
        if patient not in self._classes:
            self._no_classes.add(patient)
            raise _Missing
        return self._classes[patient]

    async def _fetch(self) -> None:
        if self._no_resources:
            await self._fetch_resources()
        if self._no_last:
            await self._fetch_last()
        if self._no_referrers:
            await self._fetch_referrers()
        if self._no_classes:
            await self._fetch_classes()

    def _digest(self, target: str) -> Int64:
        return Int64(self.tools.blind.target(target))

    async def _find(self, collection: str, where: Document, *others: str) -> list[Document]:
        found = self.tools.engine.db.get_collection(collection).find(
            where, {**PROJECTION, **dict.fromkeys(others, 1)}, session=self.session
        )
        return await self.tools.opener.fetched(await found.to_list())

    async def _fetch_resources(self) -> None:
        wanted = {self._digest(target): target for target in self._no_resources}
        self._resources.update((target, _Resource(None)) for target in self._no_resources)
        self._no_resources.clear()
        lies = await lying(self.tools.engine, list(wanted), self.session)
        for document in await self._find(RESOURCE, {"_id": {"$in": list(wanted)}, **within(lies)}):
            target, stored = wanted[document["_id"]], self.tools.opener.stored(document)
            if f"{stored.type}/{stored.id}" != target:
                continue
            if stored.deleted:
                self._resources[target] = _Resource(None, stored.updated, stored.version)
            else:
                self._resources[target] = _Resource(self.tools.extractor(stored.type, stored.body))

    async def _fetch_last(self) -> None:
        wanted = {self._digest(target): self._resources[target] for target in self._no_last}
        self._no_last.clear()
        places = [{"h": digest, "v": found.version - 1} for digest, found in wanted.items()]
        for document in await self._find(HISTORY, {"$or": places}):
            stored = self.tools.opener.stored(document)
            wanted[document["h"]].last = self.tools.extractor(stored.type, stored.body)
        for found in wanted.values():
            found.is_last_known = True

    async def _fetch_referrers(self) -> None:
        keys = {
            each: self.tools.keys.reference(parameter(each.type, each.param), self._digest(each.target))
            for each in self._no_referrers
        }
        self._no_referrers.clear()
        self._referrers.update((each, []) for each in keys)
        types = sorted({each.type for each in keys})
        where = {"t": {"$in": types}, "l": 1, "f": {"$in": list(keys.values())}}
        if await self._count(where) > MOST_OPENED:
            raise too_many_to_open()
        for document in await self._find(RESOURCE, where, "f"):
            stored = self.tools.opener.stored(document)
            values = self.tools.extractor(stored.type, stored.body)
            for each, key in keys.items():
                if each.type == stored.type and key in document["f"]:
                    self._referrers[each].append((stored.id, values))

    async def _count(self, where: Document) -> int:
        resources = self.tools.engine.db.get_collection(RESOURCE)
        return await resources.count_documents(where, limit=MOST_OPENED + 1, session=self.session)

    async def _fetch_classes(self) -> None:
        wanted = {Int64(patient_digest(self.tools.blind, patient)): patient for patient in self._no_classes}
        self._no_classes.clear()
        self._classes.update(dict.fromkeys(wanted.values(), 0))
        standings = self.tools.engine.db.get_collection(STANDING)
        cursor = standings.find({"_id": {"$in": list(wanted)}}, {"z": 1}, session=self.session)
        for row in await cursor.to_list():
            self._classes[wanted[row["_id"]]] = class_at(row["z"], self.now)
