"""History: the versions of a resource, of a type, of all, newest first.

``resource`` holds the current versions and ``history`` the earlier ones; numbers of versions (``w``) order
both. https://hl7.org/fhir/R4/http.html#history
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from bson.int64 import Int64
from pymongo.asynchronous.client_session import AsyncClientSession

from fhir_server.search.predicate import EVERYTHING, Everything, Nothing
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import HistoryPage, HistoryQuery, Stored
from fhir_server.store.mongo.asking import Asking
from fhir_server.store.mongo.client import Document
from fhir_server.store.mongo.compile import Compiler
from fhir_server.store.mongo.judging import Judge, Matcher
from fhir_server.store.mongo.opened import Opening
from fhir_server.store.mongo.question import Question
from fhir_server.store.mongo.reading import Reader, limited
from fhir_server.store.mongo.schema import RESOURCE
from fhir_server.store.mongo.tools import Tools
from fhir_server.store.mongo.versions import Scope, run
from fhir_server.store.mongo.visible import Judgement

_BATCH: Final = 250
"""Versions that are fetched and judged at once."""


@dataclass(frozen=True, slots=True)
class Past:
    """Reads versions of one store."""

    tools: Tools
    matcher: Matcher

    async def version(self, visibility: Visibility, digest: int, version: int) -> Stored | None:
        """Return one version of a resource if it may be seen as it was then.

        One round trip; where rights decide, those that judging needs besides.
        """
        one = {"_id": Int64(digest), "v": version}, {"h": Int64(digest), "v": version}
        async with limited(self.tools.engine.search_seconds):
            found = await run(self.tools.engine, Scope(*one).newest(1), None)
            documents = await self.tools.opener.fetched(found)
            if not documents:
                return None
            judgement = self._judgement(visibility, None)
            [is_visible] = await judgement.visible(documents)
            return self.tools.opener.stored(documents[0]) if is_visible else None

    async def may_see(
        self, visibility: Visibility, document: Document, session: AsyncClientSession | None = None
    ) -> bool:
        """Judge one version, such as a deletion, whose payload stands in its document."""
        [is_visible] = await self._judgement(visibility, session).visible([document])
        return is_visible

    async def page(self, visibility: Visibility, query: HistoryQuery, digest: int | None) -> HistoryPage:
        """Return a page; ``digest`` is that of the one resource, if the query is about one.

        One round trip when everything may be seen, and one more when all types are meant.
        """
        async with limited(self.tools.engine.search_seconds) as until:
            types = [query.type] if query.type is not None else await self._types(None)
            if not types:
                return HistoryPage([], 0, None)
            if visibility.is_everything:
                return await self._whole(query, Scope.of(query, digest, types))

            async def work(session: AsyncClientSession) -> HistoryPage:
                filtered = _Filtered(self, visibility, query, self._judgement(visibility, session), until)
                return await filtered.page(types, digest)

            return await self.tools.engine.snapshot(work)

    async def _types(self, session: AsyncClientSession | None) -> list[str]:
        resources = self.tools.engine.db.get_collection(RESOURCE)
        return sorted(await resources.distinct("t", session=session))

    async def _whole(self, query: HistoryQuery, scope: Scope) -> HistoryPage:
        pipeline = [*scope.before(query.before).newest(query.count + 1), *scope.counting()]
        rows = await run(self.tools.engine, pipeline, None)
        total = sum(row["total"] for row in rows if "total" in row)
        found = [row for row in rows if "total" not in row]
        shown = found[: query.count]
        more = bool(shown) and len(found) > query.count
        return HistoryPage(await self.tools.opener.all(shown), total, int(shown[-1]["w"]) if more else None)

    def _judgement(self, visibility: Visibility, session: AsyncClientSession | None) -> Judgement:
        return Judgement(
            self.tools, visibility, Judge(self.tools, self.matcher, session, self.tools.clock()), {}
        )


@dataclass(frozen=True, slots=True)
class _Filtered:
    """A page of what may be seen, on one snapshot. ``until``: its limit, by the monotonic clock.

    ``kept``: some documents that were judged, by their numbers: they need not be fetched again to be shown.
    """

    past: Past
    visibility: Visibility
    query: HistoryQuery
    judgement: Judgement
    until: float
    kept: dict[int, Document] = field(default_factory=dict)

    @property
    def _tools(self) -> Tools:
        return self.past.tools

    async def page(self, types: Sequence[str], digest: int | None) -> HistoryPage:
        """Find the numbers of all that may be seen, and open those of the page."""
        found: list[int] = []
        if digest is not None:
            scope = Scope.of(self.query, digest, types)
            found = [number async for number in self._judged(scope)]
        else:
            for type_ in types:
                found += [number async for number in self._of_type(type_)]
        found.sort(reverse=True)
        query = self.query
        begin = 0 if query.before is None else bisect_left(found, -query.before + 1, key=lambda w: -w)
        shown = found[begin : begin + query.count]
        more = bool(shown) and len(found) > begin + query.count
        return HistoryPage(await self._open(types, shown), len(found), int(shown[-1]) if more else None)

    async def _of_type(self, type_: str) -> AsyncIterator[int]:
        """Yield the numbers of the versions of one type that may be seen.

        What is current the index knows: its content is what the index holds, and its links are those of now.
        Earlier versions and deletions may have said something else; each is opened and judged.
        """
        predicate = self.visibility.of(type_)
        scope = Scope.of(self.query, None, [type_])
        if isinstance(predicate, Nothing):
            return
        session = self.judgement.judge.session
        if isinstance(predicate, Everything):
            for row in await run(self._tools.engine, scope.numbers(), session):
                yield row["w"]
            return
        tools, now = self._tools, self.judgement.judge.now
        asked = Question.of(type_, self.visibility.restrict(type_, EVERYTHING), tools.keys)
        compiler = Compiler(tools.keys, now, tools.engine.is_cluster)
        reader = Reader(tools.engine, session, self.until)
        await Asking(compiler, reader, Opening(tools.opener, tools.extractor)).answer([asked])
        plan = compiler.plan(asked)
        if not plan.is_empty:
            current = [*plan.pipeline, {"$match": scope.current}, {"$project": {"_id": 0, "w": 1}}]
            async for rows in reader.chunks(current, 10_000):
                for row in rows:
                    yield row["w"]
        gone = Scope({**scope.current, "l": 0}, scope.earlier)
        async for number in self._judged(gone):
            yield number

    async def _judged(self, scope: Scope) -> AsyncIterator[int]:
        """Open the versions in a scope; yield the numbers of those that may be seen."""
        reader = Reader(self._tools.engine, self.judgement.judge.session, self.until)
        async for rows in reader.chunks(scope.whole(), _BATCH):
            documents = await self._tools.opener.fetched(rows)
            visible = await self.judgement.visible(documents)
            for document, is_visible in zip(documents, visible, strict=True):
                if is_visible:
                    if len(self.kept) < _BATCH:
                        self.kept[document["w"]] = document
                    yield document["w"]

    async def _open(self, types: Sequence[str], numbers: Sequence[int]) -> list[Stored]:
        session = self.judgement.judge.session
        missing = [Int64(number) for number in numbers if number not in self.kept]
        if missing:
            among = {"$in": missing}
            scope = Scope({"t": {"$in": list(types)}, "w": among}, {"_id": among})
            found = await run(self._tools.engine, scope.whole(), session)
            self.kept.update((document["w"], document) for document in found)
        return await self._tools.opener.all(self.kept[number] for number in numbers)
