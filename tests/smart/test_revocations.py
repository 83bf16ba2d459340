"""A revoked token is refused from the next request on, whoever revoked it; the others cost no look-up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fhir_server.access.actor import Actor
from fhir_server.smart.records import Mark
from fhir_server.smart.revocations import Revocations
from fhir_server.smart.shelf import Shelves
from fhir_server.store.whole import WholeStore
from tests.contract.store_world import a_store, open_store

TOKEN = Actor(client="app", token="grant.1")
OTHER = Actor(client="app", token="grant.2")


@pytest.fixture(params=["sqlite-standard", "mongodb-standard"])
def kind(request: pytest.FixtureRequest) -> str:
    """Name each engine."""
    return str(request.param)


@pytest.fixture
async def store(kind: str, tmp_path: Path) -> AsyncIterator[WholeStore]:
    async with a_store(kind, tmp_path) as store:
        yield store


@pytest.fixture
def looks(store: WholeStore, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Note what is looked up in the store."""
    noted: list[tuple[str, ...]] = []
    holds = store.state.holds

    async def noting(kind: str, *keys: str) -> bool:
        noted.append(keys)
        return await holds(kind, *keys)

    monkeypatch.setattr(store.state, "holds", noting)
    return noted


async def revoke(shelves: Shelves, key: str) -> None:
    await shelves.apply(shelves.revoked.to_set(key, Mark()))


async def test_a_good_token_is_looked_up_once_while_nothing_is_committed(
    store: WholeStore, looks: list[tuple[str, ...]]
) -> None:
    revocations = Revocations(Shelves(store.state))
    for _ in range(3):
        assert not await revocations.revoked(TOKEN)
        assert not await revocations.revoked(OTHER)

    assert looks == [("grant.1", "grant"), ("grant.2", "grant")]


@pytest.mark.parametrize("key", ["grant.1", "grant"])
async def test_a_revoked_token_is_refused_at_once(store: WholeStore, key: str) -> None:
    shelves = Shelves(store.state)
    revocations = Revocations(shelves)
    assert not await revocations.revoked(TOKEN)
    await revoke(shelves, key)

    assert await revocations.revoked(TOKEN)
    assert await revocations.revoked(TOKEN)
    assert await revocations.revoked(OTHER) == (key == "grant")


async def test_another_process_revokes_as_well(store: WholeStore, kind: str, tmp_path: Path) -> None:
    revocations = Revocations(Shelves(store.state))
    assert not await revocations.revoked(TOKEN)
    another = await open_store(kind, tmp_path)
    await revoke(Shelves(another.state), "grant.1")

    assert await revocations.revoked(TOKEN)
    assert not await revocations.revoked(OTHER)
    await another.close()


async def test_while_something_is_being_committed_nothing_is_taken_for_known(
    store: WholeStore, looks: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    revocations = Revocations(Shelves(store.state))
    assert not await revocations.revoked(TOKEN)

    async def under_way() -> None:
        """Tell what ``stamp`` tells during a commit."""

    monkeypatch.setattr(store.state, "stamp", under_way)
    assert not await revocations.revoked(TOKEN)
    assert not await revocations.revoked(TOKEN)

    assert len(looks) == 3


async def test_who_has_no_token_has_none_revoked(store: WholeStore, looks: list[tuple[str, ...]]) -> None:
    assert not await Revocations(Shelves(store.state)).revoked(Actor(client="development"))
    assert looks == []
