"""The store in MongoDB: stateless processes, sealed payloads, blind keys, every commit a transaction.

Implements :class:`fhir_server.store.whole.WholeStore`; see decision 0030 for the layout.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Final, cast

from bson.int64 import Int64
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import PyMongoError

from fhir_server.clock import now_ms
from fhir_server.crypto.keys import KeyRing
from fhir_server.search.predicate import Everything
from fhir_server.search.query import Position, Query
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import (
    Change,
    Condition,
    Facts,
    HistoryPage,
    HistoryQuery,
    Page,
    Prepared,
    Reclass,
    Stamps,
    Stored,
)
from fhir_server.store.learning import SCHEDULE
from fhir_server.store.mongo.classes import MongoPolicies
from fhir_server.store.mongo.client import Document, Engine, closed, unavailable
from fhir_server.store.mongo.commit import Commit
from fhir_server.store.mongo.dictionaries import MongoLearner, adopt_all, counted, fetch
from fhir_server.store.mongo.facts import facts
from fhir_server.store.mongo.groups import Groups
from fhir_server.store.mongo.jobs import MongoJobs
from fhir_server.store.mongo.judging import Matcher
from fhir_server.store.mongo.opening import make_ready
from fhir_server.store.mongo.parameters import MongoParameters
from fhir_server.store.mongo.past import Past
from fhir_server.store.mongo.places import lying, within
from fhir_server.store.mongo.prepared import MongoPrepared, prepare
from fhir_server.store.mongo.reading import UNLIMITED
from fhir_server.store.mongo.records import PROJECTION
from fhir_server.store.mongo.rotation import Rotation
from fhir_server.store.mongo.schema import RESOURCE
from fhir_server.store.mongo.search import Searcher
from fhir_server.store.mongo.soundness import Inspection
from fhir_server.store.mongo.state import MongoState
from fhir_server.store.mongo.tools import Extractor, Tools
from fhir_server.store.mongo.transfer import MongoDestination
from fhir_server.store.mongo.watching import Watcher
from fhir_server.store.whole import Progress

_SCAN_CHUNK: Final = 200
_NO_CONDITION: Final[Mapping[str, int]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Options:
    """What may be set: limits of a search and of waiting for other writers in seconds, the clock (ms).

    ``governing``: types by which others are decided on; a commit that touches one changes
    ``Stamps.governing``. ``suffix``: at the end of the database's name, for a store beside another one.
    ``learning``: how many versions there are when a compression dictionary is learned.
    """

    search_seconds: float = 5.0
    lock_seconds: float = 5.0
    clock: Callable[[], int] = now_ms
    governing: frozenset[str] = frozenset()
    suffix: str = ""
    learning: tuple[int, ...] = SCHEDULE


class MongoStore:
    """The store in one database. Make it with :meth:`open`; use it from one event loop."""

    def __init__(self, tools: Tools, matcher: Matcher, learner: MongoLearner) -> None:
        self._tools = tools
        self._learner = learner
        self._closed = False
        self._resources = tools.engine.db.get_collection(RESOURCE)
        self._searcher = Searcher(tools)
        self._past = Past(tools, matcher)
        self._writer = Groups(tools, self._searcher.first)
        self.state = MongoState(tools)
        self._watcher = Watcher(tools)
        self.jobs = MongoJobs(tools, self._watcher)
        self.policies = MongoPolicies(tools)
        self.parameters = MongoParameters(tools)
        self.destination = MongoDestination(tools, self.policies, self.state, self.parameters)

    @classmethod
    async def open(
        cls,
        uri: str,
        ring: KeyRing,
        *,
        extractor: Extractor,
        matcher: Matcher,
        clinical: Mapping[str, str] = MappingProxyType({}),
        options: Options | None = None,
    ) -> MongoStore:
        """Open the store in the database that ``uri`` names, making it when there is none.

        ``extractor``: type and body to searchable values, as they filled ``Change.values``; ``matcher``:
        whether a body satisfies a predicate, for old versions; ``clinical``: by type, the search parameter
        that is its clinical date. Raises KeyFault for a wrong ring, Fault(UNAVAILABLE) for a server that does
        not answer, that has no transactions or is too old, and for a store of a newer program.
        """
        options = options or Options()
        engine = await Engine.open(
            uri,
            suffix=options.suffix,
            lock_seconds=options.lock_seconds,
            search_seconds=options.search_seconds,
        )
        tools = Tools.of(
            engine,
            ring,
            extractor=extractor,
            clinical=clinical,
            governing=options.governing,
            clock=options.clock,
        )
        tools.envelope.fetch = partial(fetch, uri, engine.db.name, tools.envelope)
        try:
            await make_ready(tools)
            await adopt_all(tools)
            learner = MongoLearner(tools, options.learning, await counted(tools))
        except PyMongoError as error:
            await engine.close()
            raise unavailable(error) from error
        except BaseException:
            await engine.close()
            raise
        return cls(tools, matcher, learner)

    async def stamps(self) -> Stamps:
        """Return the stamps as the last commit of any process left them, asked once for each request."""
        self._refuse_closed()
        return (await self._tools.stamps.read()).stamps

    async def read(self, visibility: Visibility, type_: str, id_: str) -> Stored | None:
        """Return the current version, a deletion included; None when unknown or not visible."""
        self._refuse_closed()
        digest = self._digest(type_, id_)
        if visibility.is_everything or isinstance(visibility.of(type_), Everything):
            return await self._opened(await self._found(digest), id_)
        found = await self._searcher.current(visibility, {type_: [digest]})
        if found:
            return await self._opened(found[0], id_)
        # A record that is there and hidden is not opened: it must cost what an unknown one costs.
        gone = await self._found(digest, {"l": 0})
        if gone is None or not await self._past.may_see(visibility, gone):
            return None
        return await self._opened(gone, id_)

    async def read_version(self, visibility: Visibility, type_: str, id_: str, version: int) -> Stored | None:
        """Return one version, a deletion included; None when unknown or not visible as it was then."""
        self._refuse_closed()
        stored = await self._past.version(visibility, self._digest(type_, id_), version)
        return stored if stored and stored.id == id_ else None

    async def read_many(self, visibility: Visibility, keys: Sequence[tuple[str, str]]) -> list[Stored]:
        """Return the current, undeleted, visible ones among (type, id) ``keys``, in that order, each once."""
        self._refuse_closed()
        wanted = {self._digest(type_, id_): (type_, id_) for type_, id_ in keys}
        by_type: dict[str, list[int]] = {}
        for digest, (type_, _) in wanted.items():
            by_type.setdefault(type_, []).append(digest)
        documents = await self._searcher.current(visibility, by_type) if wanted else []
        found = dict(
            zip(
                (document["_id"] for document in documents),
                await self._tools.opener.all(documents),
                strict=True,
            )
        )
        ordered = ((found.get(digest), key) for digest, key in wanted.items())
        return [stored for stored, key in ordered if stored is not None and (stored.type, stored.id) == key]

    async def search(self, visibility: Visibility, query: Query) -> Page:
        """Return the page of what satisfies the query and may be seen."""
        self._refuse_closed()
        return await self._searcher.page(visibility, query)

    async def history(self, visibility: Visibility, query: HistoryQuery) -> HistoryPage:
        """Return versions that may be seen, newest first, each judged by its own content."""
        self._refuse_closed()
        digest = None if query.id is None or query.type is None else self._digest(query.type, query.id)
        return await self._past.page(visibility, query, digest)

    def prepare(self, change: Change) -> MongoPrepared:
        """Seal and digest one change. Pure CPU: callers with many yield to the loop between them."""
        return prepare(self._tools, change)

    async def commit(
        self,
        prepared: Sequence[Prepared],
        conditions: Sequence[Condition] = (),
        reclasses: Sequence[Reclass] = (),
    ) -> None:
        """Write all or nothing, acknowledged by a majority, before returning."""
        made = cast("Sequence[MongoPrepared]", prepared)
        await self._writer.commit(Commit(list(made), conditions, reclasses))
        self._learner.wrote(len(prepared))

    async def scan(self, visibility: Visibility, type_: str | None = None) -> AsyncIterator[Stored]:
        """Yield every current visible resource in order of creation, as it is when its turn comes."""
        self._refuse_closed()
        for name in await self._types() if type_ is None else (type_,):
            after: Position | None = None
            while True:
                query = Query(name, count=_SCAN_CHUNK, after=after)
                page = await self._searcher.page(visibility, query, seconds=UNLIMITED)
                for stored in page.matches:
                    yield stored
                if page.next is None:
                    break
                after = page.next

    async def facts(self) -> Facts:
        """Count and measure."""
        self._refuse_closed()
        return await facts(self._tools)

    async def check(self) -> list[str]:
        """Look for damage: unreadable payloads, documents that differ from their resource. [] = sound."""
        self._refuse_closed()
        return await Inspection(self._tools).run()

    async def reseal(self, progress: Progress | None = None) -> int:
        """Seal every payload that is not under the active key anew, while the store serves; return how many.

        ``progress`` is given how many are done, of how many.
        """
        self._refuse_closed()
        return await Rotation(self._tools).reseal(progress)

    async def retire(self) -> tuple[int, ...]:
        """Remove from the key ring the data keys that seal no payload any more; return their numbers."""
        self._refuse_closed()
        return await Rotation(self._tools).retire()

    async def ready(self) -> bool:
        """Tell whether it can answer and take commits now."""
        if not self._writer.alive:
            return False
        try:
            await self._tools.engine.client.admin.command("ping")
        except PyMongoError:
            return False
        return True

    async def close(self) -> None:
        """Finish writes under way and close the connections."""
        if self._closed:
            return
        self._closed = True
        await self._watcher.close()
        await self._learner.close()
        await self._writer.close()
        await self._tools.engine.close()

    def _refuse_closed(self) -> None:
        if self._closed:
            raise closed()

    def _digest(self, type_: str, id_: str) -> Int64:
        return Int64(self._tools.blind.target(f"{type_}/{id_}"))

    async def _found(self, digest: Int64, condition: Mapping[str, int] = _NO_CONDITION) -> Document | None:
        engine = self._tools.engine

        async def work(session: AsyncClientSession | None) -> Document | None:
            lies = within(await lying(engine, [digest], session))
            where = {"_id": digest, **lies, **condition}
            return await self._resources.find_one(where, PROJECTION, session=session)

        try:
            found = await (engine.snapshot(work) if engine.is_cluster else work(None))
            return None if found is None else (await self._tools.opener.fetched([found]))[0]
        except PyMongoError as error:
            raise unavailable(error) from error

    async def _opened(self, document: Document | None, id_: str) -> Stored | None:
        """Open a document, unless it is another resource's whose id has the same digest."""
        if document is None:
            return None
        [stored] = await self._tools.opener.all([document])
        return stored if stored.id == id_ else None

    async def _types(self) -> list[str]:
        try:
            found: list[str] = sorted(await self._resources.distinct("t"))
        except PyMongoError as error:
            raise unavailable(error) from error
        return found
