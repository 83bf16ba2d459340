"""The list of what engines do differently is true: each difference shows, on both engines, and is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fhir_server.audit.files import FileShelf
from fhir_server.audit.mongodb.shelf import MongoShelf
from fhir_server.audit.opening import opened_shelf
from fhir_server.cli import parts
from fhir_server.faults import Fault, Kind
from fhir_server.search.predicate import StringContains, Where
from fhir_server.search.query import Query
from fhir_server.store.capabilities import CAPABILITIES, told
from tests import engines
from tests.architecture.stores_table import BEGIN, END, PAGE, table
from tests.contract.store_world import ALL, change, drop_store, open_store, put
from tests.http.server import load, served
from tests.unit.cli.house import House

BOTH = ("sqlite-standard", "mongodb-standard")
SHOWN = {
    "Servers": "tests/mongo/test_two_servers.py",
    "Looking into records": "test_what_the_index_cannot_answer_is_limited_by_number_in_mongodb_alone",
    "Large resources": "test_what_a_resource_is_found_by_is_limited_in_mongodb_alone",
    "Order of creation": "test_clocks_decide_the_order_between_servers_in_mongodb_alone",
    "Backup": "test_only_the_embedded_store_is_copied_by_the_command",
    "Audit log": "test_the_audit_log_lies_where_it_is_told",
}
"""By capability, what shows it."""


def test_every_difference_is_shown() -> None:
    assert SHOWN.keys() == {each.name for each in CAPABILITIES}
    root = Path(__file__).parents[2]
    for shown in SHOWN.values():
        assert shown in globals() or (root / shown).exists()


def test_the_page_has_the_list() -> None:
    assert table() == PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]


@pytest.mark.parametrize("engine_name", engines.ENGINES)
def test_metadata_tells_what_holds_of_the_engine(tmp_path: Path, engine_name: Any) -> None:
    with engines.using(engine_name), served(tmp_path) as server:
        assert load(server.get("metadata"))["rest"][0]["documentation"] == told(engine_name)


@pytest.fixture(params=BOTH)
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Any, bool]]:
    """Give a store of each engine, and whether it is the one with limits."""
    store = await open_store(request.param, tmp_path)
    yield store, request.param.startswith("mongodb")
    await store.close()
    drop_store(request.param, tmp_path)


async def test_what_the_index_cannot_answer_is_limited_by_number_in_mongodb_alone(
    kept: tuple[Any, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, is_limited = kept
    monkeypatch.setattr("fhir_server.store.mongo.opened.MOST_OPENED", 1)
    for id_ in ("a", "b"):
        await put(store, change("Patient", id_, strings=[("name", f"xx{id_}ax")]))
    query = Query("Patient", Where("name", StringContains("a")))

    if is_limited:
        with pytest.raises(Fault) as refused:
            await store.search(ALL, query)
        assert refused.value.kind is Kind.TOO_COSTLY
    else:
        assert len((await store.search(ALL, query)).matches) == 2


async def test_what_a_resource_is_found_by_is_limited_in_mongodb_alone(
    kept: tuple[Any, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, is_limited = kept
    monkeypatch.setattr("fhir_server.store.mongo.prepared.MOST_FIELDS", 2000)
    monkeypatch.setattr("fhir_server.store.mongo.prepared.MOST_INLINE", 0)
    many = change("Patient", "many", tokens=[("code", "s", str(n)) for n in range(200)])

    if is_limited:
        with pytest.raises(Fault) as refused:
            await put(store, many)
        assert refused.value.kind is Kind.TOO_LARGE
    else:
        await put(store, many)
    await put(store, change("Patient", "few", tokens=[("code", "s", "1")]))


@pytest.mark.parametrize("engine_name", BOTH)
async def test_clocks_decide_the_order_between_servers_in_mongodb_alone(
    tmp_path: Path, engine_name: str
) -> None:
    ahead = await open_store(engine_name, tmp_path, clock=lambda: 2_000_000_000_000)
    behind = await open_store(engine_name, tmp_path, clock=lambda: 1_900_000_000_000)
    await put(ahead, change("Patient", "first"))
    await put(behind, change("Patient", "second"))

    expected = ["second", "first"] if engine_name.startswith("mongodb") else ["first", "second"]
    for store in (ahead, behind):
        assert [each.id for each in (await store.search(ALL, Query("Patient"))).matches] == expected
        await store.close()
    drop_store(engine_name, tmp_path)


def test_only_the_embedded_store_is_copied_by_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    house = House(tmp_path / "data", monkeypatch, capsys)
    house.forget_settings()
    assert house.run("init", "--data", house.data).code == 0
    assert house.run("backup", tmp_path / "copies", "--data", house.data).code == 0

    monkeypatch.setenv("FHIR_STORE", "mongodb://db.example.org/fhir")
    ended = house.run("backup", tmp_path / "copies", "--data", house.data)
    assert ended.code == 1
    assert "mongodump" in ended.err


@pytest.mark.parametrize(("engine_name", "kind"), [("sqlite", FileShelf), ("mongodb", MongoShelf)])
def test_the_audit_log_lies_where_it_is_told(tmp_path: Path, engine_name: str, kind: type) -> None:
    with engines.using(engine_name):
        settings = engines.settings(tmp_path)
    with opened_shelf(settings) as shelf:
        assert isinstance(shelf, kind)
    assert parts.has_key_ring(settings)
