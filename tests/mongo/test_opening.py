"""Opening: what is missing is made, once; another store's keys and a newer program's store are refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fhir_server.crypto.keys import KeyFault, KeyRing
from fhir_server.faults import Fault, Kind
from fhir_server.store.mongo import schema
from tests.contract.store_world import ALL, a_store, change, database_of, open_mongo, put
from tests.mongo import engine


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Any]:
    async with a_store("mongodb-standard", tmp_path) as opened:
        yield opened


async def indexes(db: Any) -> dict[str, set[str]]:
    return {name: set(await db[name].index_information()) for name in await db.list_collection_names()}


async def test_makes_every_collection_and_index(store: Any) -> None:
    expected = {
        name: {"_id_", *(index.document["name"] for index in some)} for name, some in schema.INDEXES.items()
    }

    found = await indexes(store._tools.engine.db)

    assert {name: found[name] for name in expected} == expected


async def test_opening_again_changes_nothing_and_finds_what_was_written(store: Any, tmp_path: Path) -> None:
    await put(store, change("Patient", "p"))
    before = await indexes(store._tools.engine.db)
    again = await open_mongo(tmp_path)

    assert (await again.read(ALL, "Patient", "p")).id == "p"  # type: ignore[union-attr]
    assert await indexes(store._tools.engine.db) == before
    await again.close()


async def test_several_processes_may_open_a_new_store_at_once(tmp_path: Path) -> None:
    KeyRing.create(tmp_path / "keys", "standard")
    stores = await asyncio.gather(*(open_mongo(tmp_path) for _ in range(4)))

    await asyncio.gather(*(put(each, change("Patient", f"p{n}")) for n, each in enumerate(stores)))

    assert {each.id async for each in stores[0].scan(ALL)} == {f"p{n}" for n in range(4)}
    assert await stores[0].check() == []
    for each in stores:
        await each.close()
    engine.drop(database_of(tmp_path))


@pytest.mark.parametrize("suite", ["standard", "guomi"])
async def test_another_stores_key_ring_is_refused(store: Any, tmp_path: Path, suite: str) -> None:
    del store
    (tmp_path / "keys").rename(tmp_path / "aside")
    KeyRing.create(tmp_path / "keys", suite)

    with pytest.raises(KeyFault, match="own key ring"):
        await open_mongo(tmp_path)

    (tmp_path / "keys").rename(tmp_path / "others")
    (tmp_path / "aside").rename(tmp_path / "keys")
    again = await open_mongo(tmp_path)
    await again.close()


async def test_a_store_of_a_newer_program_is_refused(store: Any, tmp_path: Path) -> None:
    meta = store._tools.engine.db.meta
    await meta.update_one({"_id": schema.THE_STORE}, {"$set": {"schema": schema.VERSION + 1}})

    with pytest.raises(Fault, match="use the newer program") as fault:
        await open_mongo(tmp_path)

    assert fault.value.kind is Kind.UNAVAILABLE
    await meta.update_one({"_id": schema.THE_STORE}, {"$set": {"schema": schema.VERSION}})


async def test_no_collection_shows_an_id_or_a_value(store: Any) -> None:
    await put(
        store,
        change(
            "Patient",
            "secret-id",
            text="secret text",
            tokens=[["identifier", "urn:secret", "secret-code"]],
            strings=[["name", "secret name"]],
            references=[["general-practitioner", "Practitioner/secret"]],
            patients=["secret-id"],
        ),
    )
    await put(store, change("Patient", "secret-id", 2))
    db = store._tools.engine.db
    shown = ""
    for name in await db.list_collection_names():
        shown += repr(await db[name].find({}).to_list())

    assert "Patient" in shown
    assert "secret" not in shown
