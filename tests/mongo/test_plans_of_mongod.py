"""Which index of a real MongoDB answers each kind of search; the stand-in plans in its own way.

Runs where ``MONGODB_URI`` names a server. It is skipped otherwise, and says so: what searches find is tested
on either.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from fhir_server.search.predicate import (
    About,
    All,
    DateIs,
    Has,
    IdIn,
    Not,
    NumberIs,
    QuantityIs,
    ReferenceIs,
    StringStarts,
    Together,
    TokenIs,
    Where,
)
from fhir_server.search.query import Position, Query, Sort
from fhir_server.store.mongo.compile import Compiler
from fhir_server.store.mongo.pages import walking
from fhir_server.store.mongo.question import Question
from fhir_server.store.mongo.schema import RESOURCE
from fhir_server.store.mongo.sorting import order
from tests.contract.clinic import DAY, code
from tests.contract.store_world import change, drop_store, open_mongo, put

pytestmark = pytest.mark.skipif(
    not os.environ.get("MONGODB_URI"), reason="plans are those of a real MongoDB: name one in MONGODB_URI"
)

PATIENT = Where("subject", ReferenceIs(("Patient/p1",)))
NEWEST = (Sort("date", descending=True),)
HIGH = QuantityIs(NumberIs("gt", 180.0, 180.0, 180.0), None, "mmHg")
PAIR = Together("pair", (TokenIs("s", "c1"), NumberIs("gt", 180.0, 180.0, 180.0)))

PLANS: dict[str, tuple[Query, str, bool]] = {
    "creation": (Query("Observation"), "created", False),
    "creation, further on": (Query("Observation", after=Position((), 1)), "created", False),
    "a code": (Query("Observation", code("c1")), "keys", False),
    "a code, walking back": (Query("Observation", code("c1"), before=Position((), 2**62)), "keys", False),
    "a patient by date": (Query("Observation", PATIENT, NEWEST), "references", False),
    "the newest": (Query("Observation", sort=NEWEST), "clinical", False),
    "the last changed": (
        Query("Observation", sort=(Sort("_lastUpdated", descending=True),)),
        "updated",
        False,
    ),
    "classes": (Query("Observation", Not(About(frozenset({1}))), NEWEST), "clinical", False),
    "ids": (Query("Observation", IdIn(("o1", "o2"))), "_id_", True),
    "a beginning": (Query("Observation", Where("name", StringStarts("name 1"))), "strings", True),
    "a day": (Query("Observation", Where("date", DateIs("eq", DAY, 2 * DAY - 1))), "spans", True),
    "a quantity": (Query("Observation", Where("value", HIGH)), "quantities", True),
    "a component": (Query("Observation", PAIR), "elements", True),
    "a code and a day": (
        Query("Observation", All((code("c1"), Where("date", DateIs("ge", DAY, DAY))))),
        "keys",
        False,
    ),
}
"""By name: a query, the index that must answer it, and whether what it finds must be sorted."""


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Any]:
    opened = await open_mongo(tmp_path)
    for start in range(0, 600, 100):
        await put(opened, *(_observation(n) for n in range(start, start + 100)))
    yield opened
    await opened.close()
    drop_store("mongodb-standard", tmp_path)


def _observation(n: int) -> Any:
    pair = ["pair", [[["token", "s", f"c{n % 50}"]], [["number", float(n), float(n)]]]]
    return change(
        "Observation",
        f"o{n}",
        updated=n,
        tokens=[["code", "s", f"c{n % 50}"]],
        strings=[["name", f"name {n}"]],
        dates=[["date", n * DAY, n * DAY], ["_lastUpdated", n, n]],
        quantities=[["value", "s", "mmHg", "mmHg", float(n), float(n)]],
        references=[["subject", f"Patient/p{n % 40}"]],
        composites=[pair],
        patients=[f"p{n % 40}"],
        clinical=n * DAY,
    )


async def test_each_kind_of_search_has_its_index(store: Any) -> None:
    found = {name: await _plan(store, query) for name, (query, _, _) in PLANS.items()}

    assert found == {name: ({index}, is_sorted) for name, (_, index, is_sorted) in PLANS.items()}


async def test_what_refers_to_a_candidate_is_found_by_its_targets(store: Any) -> None:
    pipeline = _pipeline(store, Query("Patient", Has("Observation", "subject", code("c1"))))
    [lookup] = [stage["$lookup"] for stage in pipeline if "$lookup" in stage]

    explained = await _explained(store, [{"$match": {lookup["foreignField"]: 1}}])

    assert {each["indexName"] for each in _stages(explained) if "indexName" in each} == {"targets"}


def _pipeline(store: Any, query: Query) -> list[dict[str, Any]]:
    tools = store._tools
    plan = Compiler(tools.keys, 0).plan(Question.of(query.type, query.where, tools.keys))
    return walking(plan, order(query, {}, "date"), 20)


async def _plan(store: Any, query: Query) -> tuple[set[str], bool]:
    """Return the indexes that the winning plan reads, and whether it sorts."""
    stages = list(_stages(await _explained(store, _pipeline(store, query))))
    indexes = {each["indexName"] for each in stages if "indexName" in each}
    is_sorted = any(each.get("stage") == "SORT" or "$sort" in each for each in stages)
    return indexes, is_sorted


async def _explained(store: Any, pipeline: list[dict[str, Any]]) -> Any:
    command = {"aggregate": RESOURCE, "pipeline": pipeline, "cursor": {}}
    return await store._tools.engine.db.command("explain", command, verbosity="queryPlanner")


def _stages(explained: Any) -> Iterator[dict[str, Any]]:
    """Yield every stage of winning plans, whatever they stand in."""
    if isinstance(explained, dict):
        if "stage" in explained or "$sort" in explained:
            yield explained
        for name, inner in explained.items():
            if name != "rejectedPlans":
                yield from _stages(inner)
    elif isinstance(explained, list):
        for inner in explained:
            yield from _stages(inner)
