"""What a plan tells, when a search gives up, and what an index of pairs must not mix up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fhir_server.faults import Fault, Kind
from fhir_server.search.predicate import (
    EVERYTHING,
    All,
    Chain,
    DateIs,
    Has,
    Near,
    Not,
    NumberIs,
    Predicate,
    ReferenceIs,
    StringContains,
    StringStarts,
    Together,
    TokenIn,
    TokenIs,
    Where,
)
from fhir_server.search.query import Position, Query, Sort
from fhir_server.search.visibility import Visibility
from fhir_server.store.sqlite import reader, search
from tests.contract.store_world import ALL, change, open_sqlite, put

DAY = 86_400_000
SECRET = "geheim"


@pytest.fixture
async def clinic(store: Any) -> Any:
    """Forty patients, each with an observation of a day of its own; five of them are named Li."""
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
    return store


async def plan(store: Any, where: Predicate, *sorts: Sort, visibility: Visibility = ALL) -> dict[str, Any]:
    page = await store.search(visibility, Query("Observation", where, sorts, explain=True))
    made: dict[str, Any] = json.loads(json.dumps(page.plan))
    return made


def code(text: str) -> Where:
    return Where("code", TokenIs("s", text))


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


async def test_tells_that_records_were_opened(clinic: Any) -> None:
    found = await plan(clinic, Chain("subject", "Patient", Where("name", StringContains("ang 39"))))

    assert found["opened"] > 0


async def test_a_plan_tells_neither_what_was_searched_for_nor_what_was_found(clinic: Any) -> None:
    await put(clinic, change("Observation", SECRET, tokens=[["code", "s", SECRET]]))
    hidden = Visibility("test", {"Observation": Not(code(SECRET))}, EVERYTHING)

    for where in (
        code(SECRET),
        Where("name", StringContains(SECRET)),
        Where("code", TokenIn(frozenset({("s", SECRET)}))),
    ):
        assert SECRET not in json.dumps(await plan(clinic, where, visibility=hidden))


async def test_there_is_no_plan_unless_asked_for(clinic: Any) -> None:
    assert (await clinic.search(ALL, Query("Observation"))).plan is None


async def test_all_components_must_be_of_one_element(store: Any) -> None:
    def placed(start: float, end: float) -> list[Any]:
        return ["placed", [[["token", "s", "chr1"]], [["number", start, start]], [["number", end, end]]]]

    await put(store, change("MolecularSequence", "two", composites=[placed(1.0, 9.0), placed(5.0, 2.0)]))
    await put(store, change("MolecularSequence", "one", composites=[placed(1.0, 2.0)]))

    def asked(start: float, end: float) -> Together:
        one, other = (NumberIs("eq", value, value - 0.5, value + 0.5) for value in (start, end))
        return Together("placed", (TokenIs("s", "chr1"), one, other))

    async def found(where: Predicate) -> list[str]:
        page = await store.search(ALL, Query("MolecularSequence", where))
        return [match.id for match in page.matches]

    assert await found(asked(1.0, 2.0)) == ["one"]
    assert await found(asked(5.0, 2.0)) == ["two"]
    assert await found(All((asked(1.0, 2.0), asked(5.0, 2.0)))) == []


async def test_what_contains_a_text_is_found_again_from_memory_and_after_a_change(store: Any) -> None:
    where = Where("name", StringContains("wei"))

    async def found() -> list[str]:
        return [match.id for match in (await store.search(ALL, Query("Patient", where))).matches]

    await put(store, *(change("Patient", id_, strings=[["name", "Zhang Wei"]]) for id_ in ("a", "b")))
    assert [await found() for _ in range(2)] == [["a", "b"]] * 2

    await put(store, change("Patient", "a", 2, strings=[["name", "Zhang Min"]]))
    assert await found() == ["b"]


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


@pytest.mark.parametrize("query", COSTLY.values(), ids=COSTLY)
async def test_every_way_of_searching_ends_when_its_time_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, query: Query
) -> None:
    monkeypatch.setattr(reader, "_STEPS", 1)
    store = open_sqlite(tmp_path)
    values: dict[str, Any] = {"tokens": [["code", "s", "common"]], "dates": [["date", 1, 1]], "clinical": 1}
    for n in range(5):
        referring = [["subject", f"Patient/p{n}"]]
        await put(store, change("Observation", f"o{n}", references=referring, **values))
        placed: dict[str, Any] = {"strings": [["name", "Lia"]], "positions": [["near", 0.0, 0.0]]}
        await put(store, change("Patient", f"p{n}", **placed))
    assert await store.search(ALL, query)

    monkeypatch.setattr(reader, "INLINE_SECONDS", 0.0)
    monkeypatch.setattr(store._readers, "_seconds", 0.0)
    with pytest.raises(Fault) as fault:
        await store.search(ALL, query)

    assert fault.value.kind is Kind.TOO_COSTLY
    monkeypatch.setattr(store._readers, "_seconds", 5.0)
    assert await store.search(ALL, query)
    await store.close()
