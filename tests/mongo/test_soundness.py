"""``check`` finds what is damaged in the database, counts it, and names nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from bson.int64 import Int64

from fhir_server.store.api import Reclass, Slice
from fhir_server.store.state import Put
from tests.contract.store_world import change, drop_store, open_mongo, put
from tests.mongo.commands import noted

KIND = "mongodb-standard"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    """Open a store with a bit of everything; every test puts right what it has damaged."""
    folder = tmp_path_factory.mktemp("whole")
    store: Any = await open_mongo(folder)
    tokens = [["code", "s", "a"]]
    patient = {"patients": ["p"], "references": [["subject", "Patient/p"]]}
    await put(store, change("Patient", "p", tokens=tokens), change("Patient", "q", tokens=tokens))
    await put(store, change("Observation", "o", dates=[["date", 1, 2]], tokens=tokens, **patient))
    await put(store, change("Patient", "p", 2, strings=[["name", "Li"]]))
    await put(store, change("Patient", "q", 2, "DELETE"))
    await store.commit([], (), [Reclass("p", 0, (Slice(0, 5, b"rule"), Slice(5, 9, b"other")))])
    await store.state.apply([Put("client", "c", b"body", 0)])
    yield store
    await store.close()
    drop_store(KIND, folder)


async def first(store: Any, name: str, **where: Any) -> dict[str, Any]:
    found: dict[str, Any] = await store._tools.engine.db.get_collection(name).find_one(where)
    return found


def setting(**changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda document: {**document, **changes}


def closed(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Turn the last bit of a payload over."""
    return lambda document: {**document, name: document[name][:-1] + bytes([document[name][-1] ^ 1])}


DAMAGES: list[tuple[str, dict[str, Any], Callable[[dict[str, Any]], dict[str, Any]], list[str]]] = [
    ("resource", {"t": "Observation"}, closed("b"), ["1 versions cannot be opened."]),
    ("history", {"t": "Patient"}, closed("b"), ["1 versions cannot be opened."]),
    (
        "resource",
        {"t": "Observation"},
        setting(a=77),
        ["1 versions are sealed under another key than their documents say."],
    ),
    (
        "resource",
        {"t": "Observation"},
        setting(k=[]),
        ["1 resources lack search values: run fhir-server reindex."],
    ),
    (
        "resource",
        {"t": "Observation"},
        setting(d=None),
        ["1 resources lack search values: run fhir-server reindex."],
    ),
    (
        "resource",
        {"t": "Observation"},
        lambda document: {**document, "o": [*document["o"], Int64(5)]},
        ["1 resources have search values that they should not have."],
    ),
    (
        "resource",
        {"t": "Observation"},
        setting(c=Int64(5)),
        [
            "1 resources lie in another compartment than that of their patient: run fhir-server reindex.",
            "1 resources cannot be found by id.",
        ],
    ),
    (
        "history",
        {"t": "Patient"},
        setting(v=7),
        ["1 versions cannot be opened.", "1 versions belong to no resource."],
    ),
    ("state", {}, closed("p"), ["1 records of accounts and clients cannot be opened."]),
    ("class", {"_id": 1}, closed("p"), ["1 rules or standings of patients cannot be opened."]),
    (
        "class",
        {"_id": 1},
        setting(digest=Int64(5)),
        ["1 rules or standings of patients are not what they were digested from."],
    ),
    ("standing", {}, closed("p"), ["1 rules or standings of patients cannot be opened."]),
    (
        "standing",
        {},
        setting(z=[{"a": 0, "b": 5, "n": 9}]),
        ["1 times in policy classes are of a class that is not there."],
    ),
    (
        "standing",
        {},
        setting(z=[{"a": 0, "b": 5, "n": 1}, {"a": 4, "b": 9, "n": 2}]),
        ["1 times in policy classes overlap others or end before they begin."],
    ),
]


@pytest.mark.parametrize(("name", "where", "damage", "told"), DAMAGES)
async def test_a_damage_is_found_and_nothing_else(
    whole: Any, name: str, where: dict[str, Any], damage: Callable[..., Any], told: list[str]
) -> None:
    collection = whole._tools.engine.db.get_collection(name)
    document = await first(whole, name, **where)
    await collection.replace_one({"_id": document["_id"]}, damage(document))
    try:
        assert sorted(await whole.check()) == sorted(told)
    finally:
        await collection.replace_one({"_id": document["_id"]}, document)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("resource", ["1 ids lead to no resource."]),
        ("identity", ["1 resources cannot be found by id."]),
        ("history", ["1 resources have gaps in their history."]),
    ],
)
async def test_what_is_missing_is_noticed(whole: Any, name: str, told: list[str]) -> None:
    collection = whole._tools.engine.db.get_collection(name)
    where = {"t": "Observation"} if name == "resource" else {}
    document = await first(whole, name, **where)
    await collection.delete_one({"_id": document["_id"]})
    try:
        assert await whole.check() == told
    finally:
        await collection.insert_one(document)


async def test_a_whole_store_has_no_findings_and_is_counted(whole: Any) -> None:
    assert await whole.check() == []

    facts = await whole.facts()

    assert (facts.engine, facts.suite) == ("mongodb", "standard")
    assert facts.resources == {"Observation": 1, "Patient": 1}
    assert facts.versions == 5
    assert facts.size >= 0


async def test_a_rebuild_puts_what_lies_elsewhere_where_it_belongs_one_by_one(tmp_path: Path) -> None:
    commands: list[Mapping[str, Any]] = []
    with noted(commands):
        store: Any = await open_mongo(tmp_path)
    codes = {id_: change("Task", id_, tokens=[["code", "s", id_]]) for id_ in ("a", "b", "c", "d")}
    await put(store, *codes.values())
    # Two lie elsewhere, of which one lacks nothing else; another two only lack what they are found by.
    elsewhere, lacking = {"c": Int64(5)}, {"k": []}
    damages = {"a": elsewhere, "b": {**elsewhere, **lacking}, "c": lacking, "d": lacking}
    for id_, damage in damages.items():
        digest = Int64(store._tools.blind.target(f"Task/{id_}"))
        await store._tools.engine.db.resource.update_one({"_id": digest}, {"$set": damage})
        if "c" in damage:
            await store._tools.engine.db.identity.update_one({"_id": digest}, {"$set": elsewhere})
    assert len(await store.check()) == 2
    commands.clear()

    step = await store.parameters.rebuild("Task")
    again = await store.parameters.rebuild("Task")

    assert step.rows > 4
    assert again.rows == 0
    assert await store.check() == []
    updates = [each["updates"] for each in commands if each.get("update") == "resource"]
    assert sorted(map(len, updates)) == [1, 1, 2]
    assert [len(each) for each in updates if any("c" in one["u"]["$set"] for one in each)] == [1, 1]
    await store.close()
    drop_store(KIND, tmp_path)


async def test_a_file_that_belongs_to_no_version_is_counted(whole: Any) -> None:
    file = await whole._tools.files.write(b"left behind")
    try:
        assert await whole.check() == ["1 files of payloads belong to no version."]
    finally:
        await whole._tools.files.forget([file])


async def test_a_payload_whose_file_is_gone_is_noticed(whole: Any) -> None:
    document = await first(whole, "resource", t="Observation")
    collection = whole._tools.engine.db.get_collection("resource")
    without = {name: value for name, value in document.items() if name != "b"}
    await collection.replace_one({"_id": document["_id"]}, without)
    try:
        assert await whole.check() == ["1 versions cannot be opened."]
    finally:
        await collection.replace_one({"_id": document["_id"]}, document)
