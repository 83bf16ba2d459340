"""A small clinic, and searches of every kind in it: for plans, time limits and round trips of engines."""

from __future__ import annotations

import json
from typing import Any

from fhir_server.search.predicate import (
    Chain,
    DateIs,
    Has,
    Near,
    Predicate,
    ReferenceIs,
    StringContains,
    StringStarts,
    TokenIs,
    Where,
)
from fhir_server.search.query import Position, Query, Sort
from fhir_server.search.visibility import Visibility
from tests.contract.store_world import ALL, change, put

DAY = 86_400_000


async def fill(store: Any) -> None:
    """Put forty patients, each with an observation of a day of its own, into a store; five are named Li."""
    await put(
        store,
        *(change("Patient", f"p{n}", strings=[["name", "Li" if n < 5 else f"Wang {n}"]]) for n in range(40)),
        *(
            change(
                "Observation",
                f"o{n}",
                tokens=[["code", "s", "rare" if n == 7 else "common"], ["status", "s", "final"]],
                dates=[["date", n * DAY, n * DAY]],
                references=[["subject", f"Patient/p{n}"]],
                clinical=n * DAY,
            )
            for n in range(40)
        ),
    )


async def plan(store: Any, where: Predicate, *sorts: Sort, visibility: Visibility = ALL) -> dict[str, Any]:
    page = await store.search(visibility, Query("Observation", where, sorts, explain=True))
    made: dict[str, Any] = json.loads(json.dumps(page.plan))
    return made


def code(text: str) -> Where:
    return Where("code", TokenIs("s", text))


COSTLY: dict[str, Query] = {
    "count": Query("Observation", code("common"), count=0, total="accurate"),
    "creation": Query("Observation", Where("date", DateIs("ge", 0, 0))),
    "date index": Query("Observation", sort=(Sort("date"),)),
    "clinical date": Query("Observation", Where("subject", ReferenceIs(("Patient/p1",))), (Sort("date"),)),
    "keys": Query("Observation", sort=(Sort("code"),)),
    "records opened": Query("Patient", Where("name", StringContains("a"))),
    "distance": Query("Patient", Where("near", Near(0.0, 0.0, 1.0))),
    "chain": Query("Observation", Chain("subject", "Patient", Where("name", StringStarts("li")))),
    "reverse chain": Query("Patient", Has("Observation", "subject", code("common"))),
    "include": Query("Observation", Where("subject", ReferenceIs(("Patient/p1", "Patient/p2"))), count=1000),
    "backwards": Query("Observation", sort=(Sort("date"),), before=Position((2,), 2**62)),
}


async def fill_costly(store: Any) -> None:
    """Put resources into a store that each of :data:`COSTLY` has to look at."""
    values: dict[str, Any] = {"tokens": [["code", "s", "common"]], "dates": [["date", 1, 1]], "clinical": 1}
    for n in range(5):
        referring = [["subject", f"Patient/p{n}"]]
        await put(store, change("Observation", f"o{n}", references=referring, **values))
        placed: dict[str, Any] = {"strings": [["name", "Lia"]], "positions": [["near", 0.0, 0.0]]}
        await put(store, change("Patient", f"p{n}", **placed))
