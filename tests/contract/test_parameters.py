"""Custom search parameters in a store: no write escapes a change, and a rebuild leaves none out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fhir_server.search.predicate import NumberIs, Predicate, TokenIs, Where
from fhir_server.search.query import Query
from fhir_server.search.values import Values
from fhir_server.store.api import Stale
from fhir_server.store.sqlite.store import SqliteStore
from tests.contract.store_world import ALL, ENGINES, change, drop_store, extractor, open_store, put

CODED = Where("code", TokenIs(None, "a"))
WEIGHED = Where("weight", NumberIs("eq", 7.0, 6.5, 7.5))


class House:
    """A store whose extractor follows ``generation``: ``code`` and ``weight`` are custom from 1 on."""

    store: Any

    def __init__(self) -> None:
        self.generation = 0

    @classmethod
    async def open(cls, kind: str, folder: Path) -> House:
        house = cls()
        house.store = await open_store(kind, folder, extractor=house._extract)
        return house

    def _extract(self, type_: str, body: bytes) -> Values:
        """Do what ``extract`` does now: a test puts another in its place."""
        return self.extract(type_, body)

    def extract(self, type_: str, body: bytes) -> Values:
        values = extractor(type_, body)
        if not self.generation:
            values.tokens = [row for row in values.tokens if row[0] != "code"]
            values.numbers = []
        values.generation = self.generation
        return values

    async def put(self, id_: str, version: int = 1, code: str = "a", number: int = 7) -> None:
        """Write a Patient with a code and a weight, by today's extractor."""
        made = change(
            "Patient", id_, version, tokens=[["code", "", code]], numbers=[["weight", number, number]]
        )
        fresh = self.extract("Patient", made.body)
        await self.store.commit(
            [self.store.prepare(type(made)("Patient", id_, version, 1, "PUT", made.body, fresh))]
        )

    async def found(self, where: Predicate) -> set[str]:
        page = await self.store.search(ALL, Query("Patient", where, count=1000))
        return {stored.id for stored in page.matches}

    async def rebuild(self) -> tuple[int, int]:
        """Rebuild to the end; return resources looked at and rows added."""
        after: int | None = 0
        resources = rows = 0
        while after is not None:
            step = await self.store.parameters.rebuild("Patient", after)
            resources, rows, after = resources + step.resources, rows + step.rows, step.next
        return resources, rows


@pytest.fixture(params=ENGINES)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
async def house(kind: str, tmp_path: Path) -> AsyncIterator[House]:
    built = await House.open(kind, tmp_path)
    yield built
    await built.store.close()
    drop_store(kind, tmp_path)


async def test_a_new_store_has_no_custom_parameters(house: House) -> None:
    assert (await house.store.stamps()).generation == 0
    assert await house.store.parameters.read() == (0, b"")


async def test_a_set_is_replaced_by_who_knows_the_one_before(house: House, kind: str, tmp_path: Path) -> None:
    assert await house.store.parameters.write(b"one", 0) == 1
    with pytest.raises(Stale):
        await house.store.parameters.write(b"two", 0)

    assert await house.store.parameters.read() == (1, b"one")
    other = await House.open(kind, tmp_path)
    assert (await other.store.stamps()).generation == 1
    await other.store.close()


async def test_a_write_by_an_earlier_set_is_stale(house: House) -> None:
    await house.put("before")
    await house.store.parameters.write(b"", 0)

    with pytest.raises(Stale):
        await house.put("late")
    if isinstance(house.store, SqliteStore):
        # It takes rows out, and must know which there are.
        with pytest.raises(Stale):
            await put(house.store, change("Patient", "before", 2, "DELETE"))

    house.generation = 1
    await house.put("late")
    await put(house.store, change("Patient", "before", 2, "DELETE"))
    assert await house.found(CODED) == {"late"}


async def test_a_rebuild_adds_what_lacks_and_only_that(house: House) -> None:
    for number in range(150):
        await house.put(f"p{number}", code="a" if number % 2 else "b")
    await put(house.store, change("Patient", "p1", 2, "DELETE"))
    await house.store.parameters.write(b"", 0)
    house.generation = 1
    assert await house.found(CODED) == set()

    resources, rows = await house.rebuild()

    assert resources == 149
    assert rows > 149
    assert await house.found(CODED) == {f"p{number}" for number in range(3, 150, 2)}
    assert len(await house.found(WEIGHED)) == 149
    assert await house.store.check() == []
    assert await house.rebuild() == (149, 0)


async def test_writes_between_the_steps_of_a_rebuild_are_whole(house: House) -> None:
    for number in range(150):
        await house.put(f"p{number}")
    await house.store.parameters.write(b"", 0)
    house.generation = 1

    step = await house.store.parameters.rebuild("Patient")
    assert step.next is not None
    await house.put("p0", 2, code="b")
    await house.put("p149", 2, code="b")
    await put(house.store, change("Patient", "p1", 2, "DELETE"), change("Patient", "p148", 2, "DELETE"))
    await house.put("new")
    while step.next is not None:
        step = await house.store.parameters.rebuild("Patient", step.next)

    assert await house.found(CODED) == {"new", *(f"p{number}" for number in range(2, 148))}
    assert await house.store.check() == []


async def test_a_rebuild_by_an_earlier_set_is_stale_and_of_an_unknown_type_is_done(house: House) -> None:
    await house.put("one")
    await house.store.parameters.write(b"", 0)

    with pytest.raises(Stale):
        await house.store.parameters.rebuild("Patient")
    assert (await house.store.parameters.rebuild("Observation")).next is None


async def test_dropping_a_parameter_leaves_the_others(house: House) -> None:
    house.generation = await house.store.parameters.write(b"", 0)
    for number in range(5):
        await house.put(f"p{number}")
    numbers = await house.found(WEIGHED)

    while await house.store.parameters.drop("Patient", "code"):
        pass

    assert await house.found(CODED) == set()
    assert await house.found(WEIGHED) == numbers
    while await house.store.parameters.drop("Patient", "weight"):
        pass
    assert await house.found(WEIGHED) == set()
    assert await house.store.parameters.drop("Patient", "never") == 0
    await house.rebuild()
    assert await house.store.check() == []


async def test_a_row_of_an_old_definition_does_not_stand_in_the_way_of_a_write(house: House) -> None:
    house.generation = await house.store.parameters.write(b"", 0)
    await house.put("one", code="a")
    await house.store.parameters.write(b"", 1)
    house.generation = 0  # the definition that is gone: nothing is extracted, the row stays
    extract = house.extract

    def other(type_: str, body: bytes) -> Values:
        values = extract(type_, body)
        values.generation = 2
        return values

    house.extract = other  # type: ignore[method-assign]
    await house.put("one", 2, code="a")
    house.generation = 1
    await house.put("one", 3, code="a")

    assert await house.found(CODED) == {"one"}
