"""What only an opened resource tells: candidates are fetched in chunks, opened, and judged by plain words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from bson.int64 import Int64

from fhir_server.faults import Fault, Kind
from fhir_server.search.match import matches
from fhir_server.search.values import Values
from fhir_server.store.mongo.client import Document
from fhir_server.store.mongo.compile import matching
from fhir_server.store.mongo.filters import Filter, Stage
from fhir_server.store.mongo.leaves import Leaves
from fhir_server.store.mongo.question import Digests, Question
from fhir_server.store.mongo.reading import Reader
from fhir_server.store.mongo.records import PROJECTION, Opener
from fhir_server.store.mongo.tools import Extractor

MOST_OPENED: Final = 20_000
"""Resources that one question opens: some seconds of one processor."""

_CHUNK: Final = 250
_INLINE: Final = 8
"""So few resources are opened in the event loop: handing them to a thread would cost more."""


class Candidate(NamedTuple):
    """A document with its resource's logical id and searchable values."""

    document: Document
    id: str
    values: Values


@dataclass(slots=True)
class Opening:
    """Opens candidates of one question. ``opened``: how many there were so far."""

    opener: Opener
    extractor: Extractor
    opened: int = 0

    async def passing(self, reader: Reader, asked: Question, candidates: Filter) -> dict[int, Digests]:
        """Return, for each test that only opened resources answer, which of the candidates pass it.

        Raises Fault(TOO_COSTLY) when there are more than :data:`MOST_OPENED`.
        """
        tests = asked.to_open
        found: dict[int, list[Int64]] = {id_: [] for id_ in tests}
        async for chunk in self.candidates(reader, matching(candidates)):
            for document, _, values in chunk:
                for id_, test in tests.items():
                    if _passes(test, asked.type, values):
                        found[id_].append(Int64(document["_id"]))
        return dict(found)

    async def candidates(self, reader: Reader, pipeline: Sequence[Stage]) -> AsyncIterator[list[Candidate]]:
        """Yield what a pipeline leaves, opened, in chunks. Raises as :meth:`passing` does."""
        most = MOST_OPENED - self.opened + 1
        async for documents in reader.chunks([*pipeline, {"$limit": most}, {"$project": PROJECTION}], _CHUNK):
            self.opened += len(documents)
            if self.opened > MOST_OPENED:
                raise too_many_to_open()
            filled = await self.opener.fetched(documents)
            if len(filled) <= _INLINE:
                yield self._open(filled)
            else:
                yield await asyncio.to_thread(self._open, filled)

    def _open(self, documents: Sequence[Document]) -> list[Candidate]:
        opened = ((document, self.opener.stored(document)) for document in documents)
        return [
            Candidate(document, stored.id, self.extractor(stored.type, stored.body))
            for document, stored in opened
        ]


def _passes(test: Leaves, type_: str, values: Values) -> bool:
    return matches(test, type_, "", values, lambda *_: None, lambda *_: ())


def too_many_to_open() -> Fault:
    """Make the fault of a question that would open too many resources."""
    return Fault(
        Kind.TOO_COSTLY,
        f"More than {MOST_OPENED} resources would be opened to look into them. Narrow the search by patient"
        " or period; search for the beginning of a text, or for what contains others by itself.",
    )
