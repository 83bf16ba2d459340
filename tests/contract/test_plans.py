"""What a plan tells, and what an index of pairs must not mix up."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fhir_server.search.predicate import (
    EVERYTHING,
    All,
    Chain,
    Not,
    NumberIs,
    Predicate,
    StringContains,
    Together,
    TokenIn,
    TokenIs,
    Where,
)
from fhir_server.search.query import Query
from fhir_server.search.visibility import Visibility
from tests.contract.clinic import code, fill, plan
from tests.contract.store_world import ALL, change, put

SECRET = "geheim"


@pytest.fixture
async def clinic(store: Any) -> Any:
    await fill(store)
    return store


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
