"""One page of a query: its matches in order, how many there are in all, and how that was found out.

https://hl7.org/fhir/R4/search.html#sort
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fhir_server.search.query import Position, Query
from fhir_server.store.mongo.asking import Asking
from fhir_server.store.mongo.client import Document
from fhir_server.store.mongo.compile import Plan, matching
from fhir_server.store.mongo.filters import Stage, all_of
from fhir_server.store.mongo.plan import CANDIDATES, describe
from fhir_server.store.mongo.question import Question
from fhir_server.store.mongo.reading import union
from fhir_server.store.mongo.records import PROJECTION
from fhir_server.store.mongo.sorting import Kind, Order, order, probe, stored

_ID: Final = "_id"
"""The parameter that is the logical id, which only the opened resource tells."""


@dataclass(slots=True)
class Found:
    """What a query found: in its order, one match more than its page holds if there are more.

    ``plan``: how, when its query asked to explain.
    """

    matches: list[tuple[Position, Document]]
    total: int | None
    plan: dict[str, Any] | None = None


def sorts_to_probe(query: Query, clinical: Mapping[str, str]) -> list[str]:
    """Return the parameters of a query's sorts whose keys no field of every document holds."""
    date = clinical.get(query.type)
    unknown = (sort.param for sort in query.sort if stored(sort, date) is None)
    return list(dict.fromkeys(unknown))


@dataclass(slots=True)
class PageSearch:
    """Carries out one query."""

    query: Query
    asked: Question
    asking: Asking
    clinical: Mapping[str, str]

    async def run(self) -> Found:
        """Return what the query finds."""
        await self.asking.answer([self.asked])
        plan = self.asking.compiler.plan(self.asked)
        way = order(self.query, await self._kinds(), self.clinical.get(self.query.type))
        found = await self._matches(plan, way)
        if self.query.before is not None:
            found.matches.reverse()
        if self.query.explain:
            found.plan = await self._explained(plan, way)
        return found

    async def _matches(self, plan: Plan, way: Order) -> Found:
        counts = self.query.total == "accurate"
        if plan.is_empty or not (counts or self.query.count):
            return Found([], 0 if counts else None)
        if way.opens and self.query.count:
            return await self._opened(plan, way)
        wanted = self.query.count + 1
        pipelines = [walking(plan, way, wanted)] if self.query.count else []
        if counts:
            pipelines.append(plan.counting())
        rows = await self.asking.reader.all(union(pipelines), wanted + 1)
        matches = [(way.position(row), row) for row in rows if row["_id"] is not None]
        total = sum(row["total"] for row in rows if row["_id"] is None)
        return Found(matches, total if counts else None)

    async def _opened(self, plan: Plan, way: Order) -> Found:
        """Open every candidate for its keys, and keep those that come first."""
        first: list[tuple[Position, Document]] = []
        total, rank = 0, way.rank
        async for chunk in self.asking.opening.candidates(self.asking.reader, plan.pipeline):
            total += len(chunk)
            for document, id_, values in chunk:
                at = way.opened(self.query.type, id_, values, document["n"])
                if way.is_coming(at):
                    first.append((at, document))
            first = sorted(first, key=lambda match: rank(match[0]))[: self.query.count + 1]
        return Found(first, total if self.query.total == "accurate" else None)

    async def _kinds(self) -> dict[str, Kind]:
        """Find out where the keys are of those sorts for which no field of every document has them."""
        params = sorts_to_probe(self.query, self.clinical)
        kinds: dict[str, Kind] = {param: "text" if param == _ID else "none" for param in params}
        probed = [param for param in params if param != _ID]
        if not probed:
            return kinds
        keys = self.asking.compiler.keys
        pipelines = [probe(self.query.type, param, keys) for param in probed]
        for param, rows in zip(probed, await self.asking.reader.several(pipelines, 1), strict=True):
            for row in rows:
                kinds[param] = "spans" if row["x"] else "text"
        return kinds

    async def _explained(self, plan: Plan, way: Order) -> dict[str, Any]:
        reader, asking = self.asking.reader, self.asking
        counting: list[Stage] = [
            *matching(plan.pre),
            {"$limit": CANDIDATES},
            {"$group": {"_id": None, "total": {"$sum": 1}}},
        ]
        trips = reader.trips
        rows = await reader.all(counting, 1)
        made = describe(self.asked, plan, way, rows[0]["total"] if rows else 0)
        return {**made, "opened": asking.opening.opened, "round trips": trips}


def walking(plan: Plan, way: Order, wanted: int) -> list[Stage]:
    """Return the pipeline of the first ``wanted`` matches in an order.

    Where an index comes in that order, look-ups are made of the first ones only, as many as it takes.
    """
    shown: Stage = {"$project": {**PROJECTION, **{key.field: 1 for key in way.keys}}}
    end: list[Stage] = [{"$limit": wanted}, shown]
    if way.is_indexed:
        return [*matching(all_of((plan.pre, way.coming))), way.sorting, *plan.stages, *end]
    coming: Iterable[Stage] = [{"$match": way.coming}] if way.start else []
    return [*plan.pipeline, *way.computing, *coming, way.sorting, *end]
