"""A sharded cluster: reads of several steps are snapshot sessions there, for no transaction may look up.

The stand-in is no cluster, and its snapshot sessions see what is written meanwhile: what is tested is that
every read goes this way and tells the same as a transaction.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from fhir_server.search.predicate import EVERYTHING, Chain, Has, ReferenceIs, StringContains, TokenIs, Where
from fhir_server.search.query import Query, Sort
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import HistoryQuery
from tests.contract.store_world import ALL, change, drop_store, open_mongo, put
from tests.mongo.commands import noted

OPEN = Where("label", TokenIs("s", "open"))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[tuple[Any, list[str]]]:
    """Open a store with a few records; the list fills with the commands that are sent."""
    with noted() as names:
        opened: Any = await open_mongo(tmp_path)
        label = {"tokens": [["label", "s", "open"]]}
        await put(opened, change("Case", "c", strings=[["name", "some case"]], **label))
        await put(opened, change("Note", "n", references=[["subject", "Case/c"]], strings=[["name", "a"]]))
        await put(opened, change("Note", "n", 2, references=[["subject", "Case/c"]], strings=[["name", "b"]]))
        yield opened, names
        await opened.close()
        drop_store("mongodb-standard", tmp_path)


async def answers(store: Any) -> list[Any]:
    """Ask what takes several steps, in many ways."""
    view = Visibility("test", {"Note": Chain("subject", "Case", OPEN)})
    searches = [
        Query("Note", Chain("subject", "Case", OPEN), total="accurate"),
        Query("Case", Has("Note", "subject", EVERYTHING)),
        Query("Case", Where("name", StringContains("e ca"))),
        Query("Note", sort=(Sort("name"),)),
    ]
    found = [await store.search(ALL, each) for each in searches]
    histories = [HistoryQuery("Note"), HistoryQuery("Note", "n"), HistoryQuery(None)]
    told = [await store.history(view, each) for each in histories]
    return [*((page.matches, page.total) for page in found), *((page.versions, page.total) for page in told)]


async def test_in_a_cluster_reads_are_no_transactions_and_tell_the_same(
    store: tuple[Any, list[str]],
) -> None:
    opened, names = store
    names.clear()
    in_transactions = await answers(opened)
    assert "commitTransaction" in names

    opened._tools.engine.is_cluster = True
    names.clear()
    in_sessions = await answers(opened)

    assert in_sessions == in_transactions
    assert all(found for found, _ in in_sessions)
    assert "commitTransaction" not in names
    assert await opened.check() == []
    assert "commitTransaction" not in names


PATIENT = Where("patient", ReferenceIs(("Patient/p",)))


def about(id_: str, *patients: str) -> Any:
    """Make an Observation about patients, as its references say."""
    references = [["patient", f"Patient/{each}"] for each in patients]
    return change("Observation", id_, references=references, patients=list(patients))


async def test_in_a_cluster_a_question_goes_where_its_answer_lies(tmp_path: Path) -> None:
    commands: list[Mapping[str, Any]] = []
    with noted(commands):
        store: Any = await open_mongo(tmp_path)
    store._tools.engine.is_cluster = True
    await put(store, change("Patient", "p", patients=["p"]), about("one", "p"), about("both", "p", "q"))
    await put(store, about("other", "q"), about("nobody"))

    commands.clear()
    found = await store.search(ALL, Query("Observation", PATIENT, total="accurate"))
    read = [await store.read(ALL, "Observation", id_) for id_ in ("one", "both", "nobody")]
    guarded = await store.read(Visibility("test", {"Observation": PATIENT}), "Observation", "both")
    many = await store.read_many(ALL, [("Patient", "p"), ("Observation", "other")])

    assert [each.id for each in found.matches] == ["one", "both"]
    assert found.total == 2
    assert [each.id for each in (*read, guarded, *many)] == ["one", "both", "nobody", "both", "p", "other"]
    questions = [each for each in commands if "resource" in (each.get("find"), each.get("aggregate"))]
    assert questions
    assert all("'c'" in str(each) for each in questions)
    await store.close()
    drop_store("mongodb-standard", tmp_path)


async def test_in_a_cluster_what_is_not_there_costs_what_is_hidden(tmp_path: Path) -> None:
    with noted() as names:
        store: Any = await open_mongo(tmp_path)
    store._tools.engine.is_cluster = True
    await put(store, about("hidden", "q"))
    view = Visibility("test", {"Observation": PATIENT})

    costs = []
    for id_ in ("hidden", "unknown"):
        names.clear()
        assert await store.read(view, "Observation", id_) is None
        costs.append(list(names))
    assert costs[0] == costs[1]

    told = {"references": [["patient", "Patient/p"]], "patients": ["p"]}
    await put(store, change("Observation", "hidden", 2, **told))
    moved = await store.read(view, "Observation", "hidden")
    assert moved.version == 2
    assert await store.check() == []
    await store.close()
    drop_store("mongodb-standard", tmp_path)
