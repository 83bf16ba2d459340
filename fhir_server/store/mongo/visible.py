"""Which versions may be seen: each judged by its own content, with the links of now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bson.int64 import Int64

from fhir_server.search.predicate import NOTHING, Everything, Nothing
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import Stored
from fhir_server.store.mongo.client import Document
from fhir_server.store.mongo.judging import Case, Judge
from fhir_server.store.mongo.places import lying, within
from fhir_server.store.mongo.records import PROJECTION
from fhir_server.store.mongo.schema import HISTORY, RESOURCE
from fhir_server.store.mongo.tools import Tools
from fhir_server.store.mongo.versions import digest_of, is_deletion


@dataclass(frozen=True, slots=True)
class Judgement:
    """Says which versions may be seen: each by its own content, a deletion by what it deleted, links as now.

    Consents judge the newest content too: a record that was labelled later, or that a patient hides as it is
    now, would otherwise be told by what it was before. ``newest``: what came of that, by resources' digests.
    """

    tools: Tools
    visibility: Visibility
    judge: Judge
    newest: dict[int, bool]

    async def visible(self, documents: Sequence[Document]) -> list[bool]:
        """Say of each version, whose payload stands in its document, whether it may be seen."""
        closed = [isinstance(self.visibility.of(each["t"]), Everything | Nothing) for each in documents]
        if all(closed):
            return [isinstance(self.visibility.of(each["t"]), Everything) for each in documents]
        contents = await self._contents(documents)
        cases, places = [], []
        for place, (document, content) in enumerate(zip(documents, contents, strict=True)):
            if content is not None:
                gone = document["u"] if is_deletion(document) else None
                cases.append(Case(self.visibility.of(document["t"]), content, gone))
                places.append(place)
        passed = {place for place, holds in zip(places, await self.judge.judge(cases), strict=True) if holds}
        if self.visibility.consents is not None and passed:
            satisfying = {digest_of(documents[place]): contents[place] for place in sorted(passed)}
            await self._judge_newest(satisfying)
            passed = {place for place in passed if self.newest[digest_of(documents[place])]}
        return [place in passed for place in range(len(documents))]

    async def _contents(self, documents: Sequence[Document]) -> list[Stored | None]:
        """Return what each version said; a deletion, what it deleted; None when that is not there."""
        wanted = [{"h": digest_of(each), "v": each["v"] - 1} for each in documents if is_deletion(each)]
        before: dict[tuple[int, int], Stored] = {}
        if wanted:
            history = self.tools.engine.db.get_collection(HISTORY)
            cursor = history.find({"$or": wanted}, PROJECTION, session=self.judge.session)
            found = await self.tools.opener.fetched(await cursor.to_list())
            before = {(each["h"], each["v"] + 1): self.tools.opener.stored(each) for each in found}
        return [
            before.get((digest_of(each), each["v"])) if is_deletion(each) else self.tools.opener.stored(each)
            for each in documents
        ]

    async def _judge_newest(self, satisfying: dict[Int64, Stored | None]) -> None:
        """Judge the newest content of resources; ``satisfying``: of each a version that is known to do."""
        digests = [digest for digest in satisfying if digest not in self.newest]
        if not digests:
            return
        resources = self.tools.engine.db.get_collection(RESOURCE)
        lies = await lying(self.tools.engine, digests, self.judge.session)
        where = {"_id": {"$in": digests}, **within(lies)}
        cursor = resources.find(where, PROJECTION, session=self.judge.session)
        documents = await self.tools.opener.fetched(await cursor.to_list())
        contents = await self._contents(documents)
        cases, judged = [], []
        for document, content in zip(documents, contents, strict=True):
            digest, known = digest_of(document), satisfying[digest_of(document)]
            if not is_deletion(document) and known is not None and known.version == document["v"]:
                self.newest[digest] = True
            elif content is None or self.visibility.consents is None:
                self.newest[digest] = False
            else:
                predicate = self.visibility.consents.get(document["t"], NOTHING)
                gone = document["u"] if is_deletion(document) else None
                cases.append(Case(predicate, content, gone))
                judged.append(digest)
        self.newest.update(zip(judged, await self.judge.judge(cases), strict=True))
        self.newest.update((digest, False) for digest in digests if digest not in self.newest)
