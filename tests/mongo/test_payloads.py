"""Large resources: payloads beyond a document lie in files; what cannot be kept at all is refused clearly."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fhir_server.clock import now_ms
from fhir_server.faults import Fault, Kind
from fhir_server.search.predicate import EVERYTHING, StringContains, TokenIs, Where
from fhir_server.search.query import Query
from fhir_server.store.api import Change, Expectation, HistoryQuery, Stale
from fhir_server.store.mongo import prepared
from tests.contract.store_world import ALL, a_store, change, put

DAY_MS = 86_400_000
LARGE = 1500
"""Characters that are more than a document takes in these tests."""


@pytest.fixture
async def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    monkeypatch.setattr(prepared, "MOST_INLINE", 1000)
    async with a_store("mongodb-standard", tmp_path) as opened:
        yield opened


def noise(characters: int, seed: int = 1) -> str:
    """Return text that does not get smaller by compression, but for what hexadecimal digits save."""
    return random.Random(seed).randbytes(characters).hex()


async def files(store: Any) -> int:
    return int(await store._tools.engine.db["payload.files"].count_documents({}))


async def document(store: Any, type_: str, id_: str) -> Any:
    digest = store._tools.blind.target(f"{type_}/{id_}")
    return await store._tools.engine.db.resource.find_one({"_id": digest})


async def test_a_large_payload_lies_in_a_file_and_a_small_one_in_its_document(store: Any) -> None:
    await put(store, change("Patient", "small"), change("Patient", "large", text=noise(LARGE)))

    assert {"b", "g"} & (await document(store, "Patient", "small")).keys() == {"b"}
    assert {"b", "g"} & (await document(store, "Patient", "large")).keys() == {"g"}
    assert await files(store) == 1


async def test_is_read_searched_and_told_in_history_like_any_other(store: Any) -> None:
    texts = [noise(LARGE, seed) for seed in range(3)]
    for version, text in enumerate(texts, 1):
        strings = [["name", text[:20]]]
        tokens = [["code", "s", "a"]]
        await put(store, change("Patient", "p", version, text=text, strings=strings, tokens=tokens))

    current = await store.read(ALL, "Patient", "p")
    assert texts[2].encode() in current.body
    for version, text in enumerate(texts, 1):
        assert text.encode() in (await store.read_version(ALL, "Patient", "p", version)).body
    for where in (EVERYTHING, Where("code", TokenIs("s", "a")), Where("name", StringContains(texts[2][5:9]))):
        assert (await store.search(ALL, Query("Patient", where))).matches == [current]
    history = await store.history(ALL, HistoryQuery("Patient", "p"))
    assert [each.version for each in history.versions] == [3, 2, 1]
    assert await store.read_many(ALL, [("Patient", "p")]) == [current]
    assert [each async for each in store.scan(ALL)] == [current]


async def test_a_large_version_is_followed_by_a_small_one_and_by_a_deletion(store: Any) -> None:
    large = change("Patient", "p", text=noise(LARGE))
    await put(store, large)
    await put(store, change("Patient", "p", 2, text="small"))
    await put(store, change("Patient", "p", 3, "DELETE"))

    assert (await store.read(ALL, "Patient", "p")).deleted
    assert (await store.read_version(ALL, "Patient", "p", 1)).body == large.body


async def test_what_is_refused_leaves_no_file(store: Any) -> None:
    await put(store, change("Patient", "p"))
    large = change("Patient", "p", text=noise(LARGE))
    somebody = Expectation("Patient", EVERYTHING, ALL, ())

    for conditions in ((), (somebody,)):
        with pytest.raises(Stale):
            await store.commit([store.prepare(large)], conditions)

    assert await files(store) == 0


async def test_a_file_that_is_gone_is_damage_that_check_finds(store: Any) -> None:
    await put(store, change("Patient", "p", text=noise(LARGE)))
    collection = store._tools.engine.db["payload.files"]
    file = await collection.find_one_and_delete({})

    with pytest.raises(Fault, match="must run check") as fault:
        await store.read(ALL, "Patient", "p")
    assert fault.value.kind is Kind.EXCEPTION
    assert await store.check() == ["1 versions cannot be opened."]

    await collection.insert_one(file)


async def test_a_file_that_nothing_refers_to_goes_after_a_day(store: Any) -> None:
    """Its process died before it could refer to it."""
    now = now_ms()
    await put(store, change("Patient", "p", text=noise(LARGE)))
    await put(store, change("Patient", "p", 2, text=noise(LARGE, 2)))
    await store._tools.files.write(b"left behind")
    assert await store._tools.files.sweep(now + DAY_MS - 60_000) == 0
    assert await files(store) == 3

    assert await store._tools.files.sweep(now + 3 * DAY_MS) == 1

    assert await files(store) == 2
    assert (await store.read(ALL, "Patient", "p")).version == 2
    assert (await store.read_version(ALL, "Patient", "p", 1)).version == 1


async def test_files_are_looked_through_once_a_day_at_most(store: Any) -> None:
    now = now_ms() + 2 * DAY_MS
    await store._tools.files.sweep(now)
    late = await store._tools.files.write(b"left behind")

    assert await store._tools.files.sweep(now + DAY_MS - 60_000) == 0
    await store._tools.files.forget([late])


async def test_thirteen_megabytes_are_kept_as_they_are(tmp_path: Path) -> None:
    """With the limit as it is: nothing of this is made smaller by compression."""
    made = change("Binary", "scan", text=noise(14_000_000))
    async with a_store("mongodb-standard", tmp_path) as store:
        await put(store, made)

        assert "g" in await document(store, "Binary", "scan")
        assert (await store.read(ALL, "Binary", "scan")).body == made.body


def dated(moments: int) -> Change:
    """Return a change with so many dates to be found by, some 42 bytes each."""
    made = change("Patient", "full")
    assert made.values is not None
    made.values.dates = [("date", moment, moment) for moment in range(10**12, 10**12 + moments)]
    return made


async def test_more_values_than_a_document_holds_are_refused_before_anything_is_sent(store: Any) -> None:
    with pytest.raises(Fault, match="more searchable values") as fault:
        store.prepare(dated(400_000))

    assert fault.value.kind is Kind.TOO_LARGE


async def test_many_values_leave_no_room_for_the_payload_beside_them(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepared, "MOST_INLINE", 100_000)
    monkeypatch.setattr(prepared, "MOST_FIELDS", 150_000)
    for moments, is_filed in ((2_000, False), (3_000, True)):
        assert store.prepare(dated(moments)).is_filed == is_filed
    with pytest.raises(Fault):
        store.prepare(dated(4_000))
