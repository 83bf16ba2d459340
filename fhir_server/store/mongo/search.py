"""Pages, totals and what a commit expects: from a predicate to documents of the engine.

A question that indexes answer is one round trip, payloads and total included. One that has to know more first
(other ends of links, opened resources, where a sort's keys are) is a transaction on one snapshot.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from bson.int64 import Int64
from pymongo.asynchronous.client_session import AsyncClientSession

from fhir_server.search.predicate import EVERYTHING, Everything, Predicate
from fhir_server.search.query import Query
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import Page, Stored
from fhir_server.store.mongo.asking import Asking
from fhir_server.store.mongo.client import Document
from fhir_server.store.mongo.compile import LIVE, Compiler, Plan
from fhir_server.store.mongo.filters import Stage, among
from fhir_server.store.mongo.opened import Opening
from fhir_server.store.mongo.pages import Found, PageSearch, sorts_to_probe
from fhir_server.store.mongo.places import lying, within
from fhir_server.store.mongo.question import Question
from fhir_server.store.mongo.reading import Reader, limited, union
from fhir_server.store.mongo.records import PROJECTION
from fhir_server.store.mongo.tools import Tools
from fhir_server.store.shown import page, shown

_OPENED_IN_LOOP: Final = 200
"""More than so many are opened in a thread."""


@dataclass(frozen=True, slots=True)
class Searcher:
    """Answers the questions of one store."""

    tools: Tools

    async def page(self, visibility: Visibility, query: Query, *, seconds: float | None = None) -> Page:
        """Return the page of what satisfies the query and may be seen.

        ``seconds``: its limit, None: that of searches. Raises Fault(TOO_COSTLY) beyond it, and where too many
        resources would be opened.
        """
        began = time.perf_counter_ns()
        async with limited(self.tools.engine.search_seconds if seconds is None else seconds) as until:
            asked = Question.of(query.type, visibility.restrict(query.type, query.where), self.tools.keys)
            is_simple = not (asked.asks_first or sorts_to_probe(query, self.tools.clinical))
            if is_simple:
                found = await self._found(query, asked, until, None)
            else:
                found = await self.tools.engine.snapshot(partial(self._found, query, asked, until))
            matches, more = shown(query, found.matches)
            stored = await self._opened([document for _, document in matches])
        made = page(query, stored, [at for at, _ in matches], more=more, total=found.total)
        if found.plan is None:
            return made
        microseconds = (time.perf_counter_ns() - began) // 1000
        return replace(made, plan={**found.plan, "microseconds": microseconds})

    async def first(
        self, session: AsyncClientSession, asked: Sequence[tuple[str, Predicate, int]]
    ) -> list[list[Int64]]:
        """Return, for each (type, predicate, count), the digests of ``count`` that satisfy it at most.

        In the transaction of ``session`` and, links and opened resources apart, by one aggregate.
        """
        questions = [Question.of(type_, where, self.tools.keys) for type_, where, _ in asked]
        asking = self._asking(session, _until(self.tools.engine.search_seconds))
        await asking.answer(questions)
        plans = [asking.compiler.plan(question) for question in questions]
        pipelines = [
            [*plan.pipeline, {"$limit": count}, {"$project": {"_id": 1}}]
            for plan, (_, _, count) in zip(plans, asked, strict=True)
        ]
        found = await asking.reader.several(pipelines, max((count for *_, count in asked), default=0))
        return [[Int64(row["_id"]) for row in rows] for rows in found]

    async def current(
        self,
        visibility: Visibility,
        wanted: Mapping[str, Sequence[int]],
        session: AsyncClientSession | None = None,
    ) -> list[Document]:
        """Return the live and visible ones among digests, by type: documents with payloads, in any order.

        ``session``: the transaction to read in; None: one round trip, unless resources must be opened.
        """
        async with limited(self.tools.engine.search_seconds) as until:
            where = {type_: visibility.restrict(type_, EVERYTHING) for type_, some in wanted.items() if some}
            questions = {type_: Question.of(type_, each, self.tools.keys) for type_, each in where.items()}
            work = partial(self._current, questions, wanted, until)
            opens = any(each.opens for each in questions.values())
            if session is None and (opens or self.tools.engine.is_cluster):
                return await self.tools.engine.snapshot(work)
            return await work(session)

    async def _current(
        self,
        questions: Mapping[str, Question],
        wanted: Mapping[str, Sequence[int]],
        until: float,
        session: AsyncClientSession | None,
    ) -> list[Document]:
        asking = self._asking(session, until)
        plain = [
            digest
            for type_, asked in questions.items()
            if isinstance(asked.predicate, Everything)
            for digest in wanted[type_]
        ]
        pipelines: list[list[Stage]] = []
        digests = [Int64(digest) for some in wanted.values() for digest in some]
        lies = await lying(self.tools.engine, digests, session)
        if plain:
            match = {**among("_id", map(Int64, plain)), "l": LIVE, **within(lies)}
            pipelines.append([{"$match": match}, {"$project": PROJECTION}])
        for type_, asked in questions.items():
            if not isinstance(asked.predicate, Everything):
                asked.places = lies
                plan = await self._among(asking, asked, wanted[type_])
                if not plan.is_empty:
                    pipelines.append([*plan.pipeline, {"$project": PROJECTION}])
        if not pipelines:
            return []
        return await asking.reader.all(union(pipelines), sum(map(len, wanted.values())))

    async def _among(self, asking: Asking, asked: Question, digests: Sequence[int]) -> Plan:
        """Compile a question about resources that are known: links are followed from each of them."""
        asked.among = tuple(map(Int64, digests))
        await asking.answer([asked], lists=False)
        return asking.compiler.plan(asked)

    async def _found(
        self, query: Query, asked: Question, until: float, session: AsyncClientSession | None
    ) -> Found:
        # A transaction may be run again, on a later snapshot.
        asked.forget()
        return await PageSearch(query, asked, self._asking(session, until), self.tools.clinical).run()

    async def _opened(self, documents: Sequence[Document]) -> list[Stored]:
        if len(documents) <= _OPENED_IN_LOOP:
            return await self.tools.opener.all(documents)
        filled = await self.tools.opener.fetched(documents)
        return await asyncio.to_thread(lambda: [self.tools.opener.stored(document) for document in filled])

    def _asking(self, session: AsyncClientSession | None, until: float) -> Asking:
        reader = Reader(self.tools.engine, session, until)
        return Asking(
            Compiler(self.tools.keys, self.tools.clock(), self.tools.engine.is_cluster),
            reader,
            Opening(self.tools.opener, self.tools.extractor),
        )


def _until(seconds: float) -> float:
    return time.monotonic() + seconds
