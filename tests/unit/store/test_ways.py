"""Ways of searching that only large stores need, taken by small ones: the answer is the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fhir_server.search.predicate import All, DateIs, Has, TokenIs, Where
from fhir_server.search.query import Query, Sort
from fhir_server.store.sqlite import pages, search
from fhir_server.store.sqlite.drive import Driven
from fhir_server.store.sqlite.store import SqliteStore
from fhir_server.store.sqlite.walks import Walk
from tests.contract.store_world import ALL, change, open_sqlite, put

DAY = 86_400_000


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = open_sqlite(tmp_path)
    yield opened
    await opened.close()


def code(text: str) -> Where:
    return Where("code", TokenIs("s", text))


@pytest.mark.parametrize(
    ("dates", "rising", "falling"),
    [
        ([], ["other", "o1", "o3"], ["o3", "o1", "other"]),
        ([2 * DAY], ["o1", "other", "o3"], ["o3", "other", "o1"]),
        ([2 * DAY, 9 * DAY], ["o1", "other", "o3"], ["other", "o3", "o1"]),
    ],
    ids=["none", "one", "several"],
)
async def test_candidates_are_sorted_by_a_date_however_many_values_it_has(
    store: SqliteStore, dates: list[int], rising: list[str], falling: list[str]
) -> None:
    for n in (1, 3):
        await put(store, change("Observation", f"o{n}", **of_day(n * DAY)))
    await put(store, change("Observation", "other", **of_day(*dates)))

    for descending, expected in ((False, rising), (True, falling)):
        sorts = (Sort("date", descending), Sort("_id"))
        page = await store.search(ALL, Query("Observation", code("common"), sorts, explain=True))
        assert page.plan is not None
        assert page.plan["order"] == "keys of every candidate"
        assert [match.id for match in page.matches] == expected


@pytest.mark.parametrize("dates", [[], [2 * DAY], [2 * DAY, 9 * DAY]], ids=["none", "one", "several"])
async def test_a_date_that_is_asked_of_and_sorted_by_is_the_same(
    store: SqliteStore, dates: list[int]
) -> None:
    await put(store, *(change("Observation", f"o{n}", **of_day(n * DAY)) for n in range(8)))
    await put(store, change("Observation", "other", **of_day(*dates)))

    for lo, hi in ((2 * DAY, 4 * DAY), (6 * DAY, 20 * DAY)):
        within = (Where("date", DateIs("ge", lo, lo)), Where("date", DateIs("lt", hi, hi)))
        query = Query("Observation", All((code("common"), *within)), (Sort("date"), Sort("_id")))
        searcher = store._searcher(store._readers._inline.connection)
        date, token = searcher.compiler.conjuncts(query.type, query.where)
        found = searcher._by_keys(query, Driven(token, (date,)), Walk.of(query))
        page = await store.search(ALL, query)
        expected = {f"o{n}" for n in range(8) if lo <= n * DAY < hi}
        # Each of the bounds may be met by another value of one resource.
        expected |= {"other"} if any(day >= lo for day in dates) and any(day < hi for day in dates) else set()

        assert {match.id for match in page.matches} == expected
        assert [sk for sk, _ in found] == [position.tie for position in page.positions]


def of_day(*moments: int) -> dict[str, Any]:
    return {"tokens": [["code", "s", "common"]], "dates": [["date", each, each] for each in moments]}


@pytest.mark.parametrize("steps", [4000, 0], ids=["walked", "picked"])
async def test_who_is_referred_to_many_times_comes_once(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    monkeypatch.setattr(search, "_STROLL", steps)
    monkeypatch.setattr(search, "PROBE", 0)
    await put(store, *(change("Patient", f"p{n}") for n in range(9)))
    for n in range(60):
        referring = [["subject", f"Patient/p{n % 6}"]]
        asked_for = [["code", "s", "common"]]
        await put(store, change("Observation", f"o{n}", tokens=asked_for, references=referring))

    query = Query("Patient", Has("Observation", "subject", code("common")), count=2)
    found = [await store.search(ALL, query)]
    while found[-1].next is not None:
        found.append(await store.search(ALL, replace(query, after=found[-1].next)))

    assert [match.id for page in found for match in page.matches] == [f"p{n}" for n in range(6)]


@pytest.mark.parametrize(("most", "sessions"), [(39, 2), (40, 1)])
async def test_many_matches_are_opened_in_the_pool_and_few_in_the_event_loop(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, most: int, sessions: int
) -> None:
    await put(store, *(change("Observation", f"o{n}", **of_day(n * DAY)) for n in range(40)))
    monkeypatch.setattr(pages, "_OPENED_IN_LOOP", most)
    monkeypatch.setattr(pages, "_OPENED_AT_ONCE", 7)

    found = await store.search(ALL, Query("Observation", count=1000))

    assert [match.id for match in found.matches] == [f"o{n}" for n in range(40)]
    assert len(store._readers._sessions) == sessions
