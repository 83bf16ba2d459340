"""A store tells everything that it keeps, as another takes it over; two stores are compared by all of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fhir_server.faults import Fault
from fhir_server.store.api import Reclass, Slice
from fhir_server.store.policies import Span, Standing
from fhir_server.store.sqlite.store import SqliteStore
from fhir_server.store.state import Put, Record
from fhir_server.store.transfer import Kept, Progress, Reached, differences, transfer
from tests.contract.store_world import change, open_sqlite, put


class Memory:
    """A destination in memory."""

    def __init__(self) -> None:
        self.reached: Reached | None = None
        self.kept: dict[int, Kept] = {}
        self.classes: dict[int, bytes] = {}
        self.standing: dict[str, Standing] = {}
        self.state: list[Record] = []
        self.text = b""
        self.left = 10**9

    async def begin(self, newest: int) -> Reached:
        self.reached = self.reached or Reached(newest)
        return self.reached

    async def take(self, versions: Sequence[Kept], reached: Reached | None = None) -> None:
        self.left -= len(versions)
        if self.left < 0:
            raise KeyboardInterrupt
        self.kept.update((each.number, each) for each in versions)
        self.reached = reached or self.reached

    async def take_rules(self, rules: Sequence[tuple[int, bytes]]) -> None:
        self.classes = dict(rules)

    async def take_standings(self, standings: Sequence[Standing]) -> None:
        self.standing.update((each.patient, each) for each in standings)

    async def take_records(self, records: Sequence[Record]) -> None:
        self.state = list(records)

    async def count(self) -> int:
        return len(self.kept)

    async def versions(self, after: int = 0) -> AsyncIterator[Sequence[Kept]]:
        yield [each for number, each in sorted(self.kept.items(), reverse=True) if number > after]

    async def rules(self) -> list[tuple[int, bytes]]:
        return sorted(self.classes.items())

    async def standings(self) -> AsyncIterator[Sequence[Standing]]:
        yield list(self.standing.values())

    async def records(self) -> list[Record]:
        return self.state

    async def parameters(self) -> tuple[int, bytes]:
        return 0, self.text


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = open_sqlite(tmp_path)
    yield opened
    await opened.close()


async def fill(store: Any) -> None:
    """Two versions of one, a deletion, a resource that came back, consents, accounts."""
    await put(store, change("Patient", "a", text="first"), change("Observation", "o"))
    await put(store, change("Patient", "a", 2, text="second", updated=2_500))
    await put(store, change("Observation", "o", 2, "DELETE"), change("Patient", "b", method="POST"))
    await put(store, change("Observation", "o", 3, text="again"))
    rules = (Slice(1, 5, b"rule one"), Slice(5, 9, b"rule two"))
    await store.commit([], (), [Reclass("a", 0, rules, b"note"), Reclass("b", 0, rules[:1])])
    await store.state.apply(
        [Put("client", "c", b"body", 0, tags=("t",)), Put("token", "x", b"", 0, expires=2**50)]
    )


async def take_over(store: SqliteStore, memory: Memory, progress: Progress = lambda _: None) -> int:
    origin = store.origin()
    return await transfer(origin, memory, await memory.begin(await origin.newest()), progress)


async def listed(store: SqliteStore, after: int = 0) -> list[tuple[str, int, int | None]]:
    return [
        (each.stored.id, each.stored.version, each.until)
        async for chunk in store.origin().versions(after)
        for each in chunk
    ]


async def test_tells_every_version_in_order_of_time_and_when_it_was_superseded(store: SqliteStore) -> None:
    await fill(store)

    assert await listed(store) == [
        ("a", 1, 2_500),
        ("o", 1, 2_000),
        ("a", 2, None),
        ("o", 2, 3_000),
        ("b", 1, None),
        ("o", 3, None),
    ]
    assert await listed(store, 4) == [("b", 1, None), ("o", 3, None)]
    assert (await store.origin().newest(), await store.origin().count()) == (6, 6)


async def test_tells_when_a_resource_was_created(store: SqliteStore) -> None:
    await fill(store)

    created = [each.created async for chunk in store.origin().versions() for each in chunk]
    assert created == [1, 2, 1, 2, 5, 2]


async def test_an_empty_store_tells_nothing(store: SqliteStore) -> None:
    origin = store.origin()

    assert await listed(store) == []
    assert [each async for each in origin.standings()] == []
    assert (await origin.newest(), await origin.rules(), await origin.records()) == (0, [], [])


async def test_all_is_taken_over(store: SqliteStore) -> None:
    await fill(store)
    memory = Memory()

    assert await take_over(store, memory) == 6
    assert await differences(store.origin(), memory) == []
    assert memory.classes == {1: b"rule one", 2: b"rule two"}
    assert memory.standing["a"].spans == (Span(1, 5, 1), Span(5, 9, 2))
    assert [(each.kind, each.key) for each in memory.state] == [("client", "c"), ("token", "x")]


async def test_a_transfer_that_was_stopped_goes_on_where_it_was(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fhir_server.store.sqlite.origin._CHUNK", 2)
    await fill(store)
    memory = Memory()
    memory.left = 4
    with pytest.raises(KeyboardInterrupt):
        await take_over(store, memory)

    memory.left = 2
    assert await take_over(store, memory) == 2
    assert await differences(store.origin(), memory) == []


async def test_what_was_written_between_two_attempts_is_taken_too(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fhir_server.store.sqlite.origin._CHUNK", 2)
    await fill(store)
    memory = Memory()
    memory.left = 4
    with pytest.raises(KeyboardInterrupt):
        await take_over(store, memory)
    # Version 2 of the patient was the current one when it was taken.
    await put(store, change("Patient", "a", 3, "DELETE"))

    memory.left = 10**9
    await take_over(store, memory)
    assert await differences(store.origin(), memory) == []


@pytest.mark.parametrize(
    "change_one",
    [
        {"body": b"{}"},
        {"updated": 1},
        {"version": 9},
        {"method": "PATCH"},
        {"id": "z"},
        {"number": 7},
        {"created": 7},
        {"until": 7},
    ],
)
async def test_a_version_that_is_not_the_same_is_a_difference(
    store: SqliteStore, change_one: dict[str, Any]
) -> None:
    await fill(store)
    memory = Memory()
    await take_over(store, memory)
    kept = memory.kept[3]
    own = change_one.keys() & {"number", "created", "until"}
    memory.kept[3] = (
        replace(kept, **change_one) if own else replace(kept, stored=replace(kept.stored, **change_one))
    )

    assert await differences(store.origin(), memory) == ["As much of everything, but not the same."]


async def test_what_is_missing_is_counted_by_what_it_is(store: SqliteStore) -> None:
    await fill(store)
    memory = Memory()
    await take_over(store, memory)
    del memory.kept[3], memory.classes[2], memory.standing["b"], memory.state[0]

    assert await differences(store.origin(), memory) == [
        "2 policy classes there, 1 here.",
        "1 records client there, 0 here.",
        "2 standings there, 1 here.",
        "3 versions of Patient there, 2 here.",
    ]


async def test_a_record_that_expired_meanwhile_is_no_difference(store: SqliteStore) -> None:
    await fill(store)
    memory = Memory()
    await take_over(store, memory)
    memory.state = [each for each in memory.state if each.kind != "token"]

    assert await differences(store.origin(), memory, lambda: 2**50) == []
    assert await differences(store.origin(), memory, lambda: 2**50 - 1) == ["1 records token there, 0 here."]


async def test_progress_is_told(store: SqliteStore) -> None:
    await fill(store)
    memory, heard = Memory(), [0]
    await take_over(store, memory, heard.append)
    await differences(store.origin(), memory, progress=heard.append)

    assert heard == [0, 6, 6, 12]


async def test_nobody_writes_while_a_store_is_told_and_everybody_afterwards(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path)
    other = open_sqlite(tmp_path, lock_seconds=0.2)
    with store.origin().still():
        with pytest.raises(Fault, match="Another process holds the store"):
            await put(other, change("Patient", "a"))
        assert await listed(store) == []
    await put(other, change("Patient", "a"))
    await asyncio.gather(store.close(), other.close())
