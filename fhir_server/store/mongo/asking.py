"""Answering what must be known before a question can be compiled: of many questions at once, inside first.

What is asked at the other ends of links is listed by one aggregate for each hop. What too many satisfy to be
listed is left to the engine, which follows the link from each candidate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bson.int64 import Int64

from fhir_server.search.predicate import Chain, Everything
from fhir_server.store.mongo.compile import Compiler, matching
from fhir_server.store.mongo.filters import Stage
from fhir_server.store.mongo.keys import parameter
from fhir_server.store.mongo.links import listing, targets
from fhir_server.store.mongo.opened import Opening
from fhir_server.store.mongo.question import Link, Question
from fhir_server.store.mongo.reading import Reader

MOST_LISTED: Final = 1000
"""So many at most of those at the other end of a link are listed; for more the engine follows the link."""


@dataclass(frozen=True, slots=True)
class Asking:
    """Answers for one reader and one moment."""

    compiler: Compiler
    reader: Reader
    opening: Opening

    async def answer(self, questions: Sequence[Question], *, lists: bool = True) -> None:
        """Answer what must be known of ``questions`` before they are compiled.

        ``lists``: other ends of links are listed, which is worth it unless the candidates are few and known.
        """
        links = [
            (asked, id_, link, inner) for asked in questions for id_, (link, inner) in asked.links.items()
        ]
        if links:
            for asked, _, link, inner in links:
                if inner.opens and isinstance(link, Chain):
                    await self._narrow(asked, link, inner)
            await self.answer([inner for *_, inner in links], lists=lists)
            if lists:
                await self._list(links)
        for asked in questions:
            if asked.to_open:
                found = await self.opening.passing(self.reader, asked, self.compiler.to_open(asked))
                asked.found.update(found)

    async def _narrow(self, asked: Question, link: Chain, inner: Question) -> None:
        """Ask the other end about what candidates refer to, if these are few, so that fewer are opened."""
        p = parameter(asked.type, link.param)
        filter_ = self.compiler.candidates(asked)
        few: list[Stage] = [{"$limit": MOST_LISTED + 1}, {"$project": {"_id": 0, "x": targets(p)}}]
        rows = await self.reader.all([*matching(filter_), *few], MOST_LISTED + 1)
        if len(rows) <= MOST_LISTED:
            inner.among = tuple(dict.fromkeys(_digests([row["x"] for row in rows])))

    async def _list(self, links: Sequence[tuple[Question, int, Link, Question]]) -> None:
        pipelines: list[list[Stage]] = []
        listed: list[tuple[Question, int]] = []
        for asked, id_, link, inner in links:
            plan = self.compiler.plan(inner)
            if plan.is_empty:
                asked.found[id_] = ()
            elif not isinstance(inner.predicate, Everything):
                pipelines.append(listing(link, plan.pipeline, MOST_LISTED + 1))
                listed.append((asked, id_))
        found = await self.reader.several(pipelines, MOST_LISTED + 1)
        for (asked, id_), rows in zip(listed, found, strict=True):
            if len(rows) <= MOST_LISTED:
                asked.found[id_] = tuple(dict.fromkeys(_digests([row["x"] for row in rows])))


def _digests(found: Sequence[int | list[int]]) -> list[Int64]:
    return [Int64(digest) for each in found for digest in (each if isinstance(each, list) else (each,))]
