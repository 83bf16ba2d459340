"""How SQLite carries searches out, and when one gives up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fhir_server.faults import Fault, Kind
from fhir_server.search.predicate import EVERYTHING, All, Chain, DateIs, Not, StringStarts, TokenIs, Where
from fhir_server.search.query import Query, Sort
from fhir_server.store.sqlite import reader, search
from tests.contract.clinic import COSTLY, DAY, code, fill, fill_costly, plan
from tests.contract.store_world import ALL, open_sqlite


@pytest.fixture
async def clinic(tmp_path: Path) -> AsyncIterator[Any]:
    store = open_sqlite(tmp_path)
    await fill(store)
    yield store
    await store.close()


async def test_the_shortest_posting_list_drives_and_the_others_test(clinic: Any) -> None:
    found = await plan(clinic, All((Where("status", TokenIs("s", "final")), code("rare"))))

    assert (found["driver"], found["rows"]) == ("code", 1)
    assert found["tests"] == [{"condition": "status", "by": "look-up"}]
    assert found["candidates"] == 1
    assert found["microseconds"] >= 0


@pytest.mark.parametrize(("steps", "candidates"), [(41, 40), (40, 80)])
async def test_what_was_tested_whole_is_not_tested_again(
    clinic: Any, monkeypatch: pytest.MonkeyPatch, steps: int, candidates: int
) -> None:
    monkeypatch.setattr(search, "_STROLL", steps)
    early = Where("date", DateIs("lt", 38 * DAY, 38 * DAY))

    asked = All((Where("status", TokenIs("s", "final")), Not(early)))
    page = await clinic.search(ALL, Query("Observation", asked, explain=True))

    assert [stored.id for stored in page.matches] == ["o38", "o39"]
    assert page.plan["candidates"] == candidates


async def test_tells_the_order_and_both_ends_of_a_chain(clinic: Any) -> None:
    chain = Chain("subject", "Patient", Where("name", StringStarts("li")))
    found = await plan(clinic, chain, Sort("date"))

    assert found["driver"] == "subject:Patient"
    assert found["inside"]["driver"] == "name"
    assert found["order"] == "keys of every candidate"
    assert (await plan(clinic, EVERYTHING, Sort("date")))["order"] == "the index of the date"


@pytest.mark.parametrize("query", COSTLY.values(), ids=COSTLY)
async def test_every_way_of_searching_ends_when_its_time_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, query: Query
) -> None:
    monkeypatch.setattr(reader, "_STEPS", 1)
    store = open_sqlite(tmp_path)
    await fill_costly(store)
    assert await store.search(ALL, query)

    monkeypatch.setattr(reader, "INLINE_SECONDS", 0.0)
    monkeypatch.setattr(store._readers, "_seconds", 0.0)
    with pytest.raises(Fault) as fault:
        await store.search(ALL, query)

    assert fault.value.kind is Kind.TOO_COSTLY
    monkeypatch.setattr(store._readers, "_seconds", 5.0)
    assert await store.search(ALL, query)
    await store.close()
