"""Decisions rest on what the store says now, whichever process wrote it, and look up only what changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from fhir_server.access.actor import Actor
from fhir_server.access.agreements import Agreement, contract
from fhir_server.access.decider import REMEMBERED, Decider, Looked
from fhir_server.access.policy import policy
from fhir_server.access.scopes import understand
from fhir_server.crypto.keys import KeyRing
from fhir_server.resources.codec import encode
from fhir_server.search.extract import Extractor
from fhir_server.search.predicate import Nothing
from fhir_server.store.api import Change
from fhir_server.store.sqlite.store import Options, SqliteStore
from fhir_server.stores import judge

EXTRACT = Extractor(UTC)
SIGNATURE = {"type": [{"code": "x"}], "when": "2026-01-01T00:00:00Z", "who": {"reference": "Organization/a"}}
RECEIVER = Actor("his", organization="Organization/a", rights=understand("system/*.rs"), purpose="TREAT")
PROXY = Actor("app", user="RelatedPerson/r", rights=understand("user/*.rs"))


def open_store(folder: Path) -> SqliteStore:
    keys = folder / "keys"
    ring = KeyRing.load(keys) if keys.exists() else KeyRing.create(keys, "standard")
    return SqliteStore.open(
        folder / "data",
        ring,
        extractor=EXTRACT.from_body,
        matcher=judge(EXTRACT.from_body),
        options=Options(threads=1, governing=policy().governing),
    )


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[tuple[SqliteStore, SqliteStore]]:
    """Two processes' stores on one file, as far as a test in one process can have them."""
    both = open_store(tmp_path), open_store(tmp_path)
    yield both
    await asyncio.gather(*(each.close() for each in both))


async def put(store: SqliteStore, tree: dict[str, Any], version: int = 1) -> None:
    head = {"resourceType": tree["resourceType"], "id": tree["id"], "meta": {"versionId": str(version)}}
    whole = {**head, **tree}
    change = Change(
        tree["resourceType"], tree["id"], version, 1, "PUT", encode(whole), EXTRACT.extract(whole)
    )
    await store.commit([store.prepare(change)])


def agreement(status: str = "executed") -> dict[str, Any]:
    made = Agreement(
        "k", "Organization/a", ("Organization/b",), frozenset({"Patient"}), frozenset(), 0, 0, status, True
    )
    return contract(made, SIGNATURE)


def related(**more: Any) -> dict[str, Any]:
    return {"resourceType": "RelatedPerson", "id": "r", "patient": {"reference": "Patient/child"}, **more}


async def test_an_agreement_counts_from_the_next_decision_of_every_process(stores: Any) -> None:
    writer, _ = stores
    deciders = [Decider(each, UTC) for each in stores]
    seen = []
    for version, status in enumerate(("executed", "revoked", "executed"), 1):
        await put(writer, agreement(status), version)
        decisions = [await decider.decide(RECEIVER) for decider in deciders]
        seen.append([len(decision.reasons) for decision in decisions])

    assert seen == [[0, 0], [1, 1], [0, 0]]


async def test_a_proxy_counts_from_the_next_decision_and_until_its_period_ends(
    stores: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, other = stores
    decider = Decider(other, UTC)

    async def sees() -> bool:
        decision = await decider.decide(PROXY)
        return not isinstance(decision.visibility("r").of("Patient"), Nothing)

    assert not await sees()
    await put(writer, related())
    assert await sees()
    await put(writer, related(active=False), 2)
    assert not await sees()
    await put(writer, related(period={"end": "2030-01-01"}), 3)
    assert await sees()
    monkeypatch.setattr("fhir_server.access.decider.now_ms", lambda: 1_900_000_000_000)
    assert not await sees()


async def test_nothing_is_looked_up_again_while_nothing_that_governs_has_changed(stores: Any) -> None:
    store, _ = stores
    await put(store, agreement())
    asked: list[str] = []

    async def look_up(key: str) -> str:
        asked.append(key)
        return f"{key}{len(asked)}"

    looked = Looked(store, look_up)

    assert [await looked.get(key) for key in ("a", "b", "a", "b")] == ["a1", "b2", "a1", "b2"]
    await put(store, {"resourceType": "Patient", "id": "p"})
    assert await looked.get("a") == "a1"
    await put(store, related())
    assert [await looked.get(key) for key in ("a", "a", "b")] == ["a3", "a3", "b4"]


async def test_what_changes_during_a_look_up_is_looked_up_again(stores: Any) -> None:
    store, _ = stores
    found = iter(("before", "after"))

    async def look_up(_: str) -> str:
        answer = next(found)
        if answer == "before":
            await put(store, agreement())
        return answer

    looked = Looked(store, look_up)

    assert [await looked.get("a") for _ in range(3)] == ["before", "after", "after"]


async def test_no_more_is_remembered_than_the_limit(stores: Any) -> None:
    asked: list[str] = []

    async def look_up(key: str) -> None:
        asked.append(key)

    looked = Looked(stores[0], look_up)
    for number in (*range(REMEMBERED + 1), 0, REMEMBERED):
        await looked.get(str(number))

    assert len(asked) == REMEMBERED + 2
    assert asked[-1] == "0"
