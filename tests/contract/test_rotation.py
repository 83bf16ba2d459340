"""Keys rotate while a store serves: everything is sealed anew, and the old key can go."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fhir_server.crypto.keys import KeyRing
from fhir_server.search.predicate import TokenIs, Where
from fhir_server.search.query import Query
from fhir_server.store.api import HistoryQuery, Reclass, Slice
from tests.contract.store_world import ALL, ENGINES, a_store, change, open_store, put

MANY = 250
"""More than one step seals anew."""


@pytest.fixture(params=ENGINES)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
async def store(kind: str, tmp_path: Path) -> AsyncIterator[Any]:
    async with a_store(kind, tmp_path) as opened:
        yield opened


def rotate(folder: Path) -> int:
    return KeyRing.load(folder / "keys").rotate()


async def test_rotation_reseals_while_the_store_serves_and_the_old_key_can_go(
    store: Any, kind: str, tmp_path: Path
) -> None:
    ring = KeyRing.load(tmp_path / "keys")
    await put(
        store, *(change("Patient", f"p{number}", tokens=[["code", "s", "a"]]) for number in range(MANY))
    )
    sealed_before = store.prepare(change("Patient", "late"))
    steps: list[tuple[int, int]] = []
    admin: Any = await open_store(kind, tmp_path)

    assert rotate(tmp_path) == 2
    assert await admin.reseal(lambda done, total: steps.append((done, total))) == MANY
    await store.commit([sealed_before])
    assert await admin.retire() == (1,)

    assert steps[-1] == (MANY, MANY)
    assert len(steps) > 1
    assert ring.refresh()
    assert ring.numbers == (2,)
    reopened: Any = await open_store(kind, tmp_path)
    for each in (store, admin, reopened):
        assert (await each.read(ALL, "Patient", "late")).version == 1
        page = await each.search(ALL, Query("Patient", Where("code", TokenIs("s", "a")), total="accurate"))
        assert page.total == MANY
    await admin.close()
    await reopened.close()


async def test_rotation_reseals_earlier_versions_and_deletions(store: Any, tmp_path: Path) -> None:
    await put(store, change("Patient", "a", 1), change("Patient", "b", 1))
    await put(store, change("Patient", "a", 2), change("Patient", "b", 2, "DELETE"))
    rotate(tmp_path)

    assert await store.reseal() == 4
    assert await store.reseal() == 0
    assert await store.retire() == (1,)

    page = await store.history(ALL, HistoryQuery(None))
    assert sorted((each.id, each.version, each.deleted) for each in page.versions) == [
        ("a", 1, False),
        ("a", 2, False),
        ("b", 1, False),
        ("b", 2, True),
    ]


async def test_rotation_reseals_rules_and_standings_and_keeps_their_keys_until_then(
    store: Any, kind: str, tmp_path: Path
) -> None:
    filed = [Reclass(f"p{n}", 0, (Slice(0, 9, b"rule %d" % n),), b"note %d" % n) for n in range(MANY)]
    await store.commit([], (), filed)
    rotate(tmp_path)
    rules, standing = await store.policies.rules(), await store.policies.standing(["p7", "p249"])

    assert await store.retire() == ()
    assert await store.reseal() == 2 * MANY
    assert await store.reseal() == 0
    assert await store.retire() == (1,)

    again: Any = await open_store(kind, tmp_path)
    assert len(rules) == MANY
    assert await again.policies.rules() == rules
    assert await again.policies.standing(["p7", "p249"]) == standing
    await again.close()


async def test_a_key_in_use_is_not_retired(store: Any, tmp_path: Path) -> None:
    await put(store, change("Patient", "p1"))
    rotate(tmp_path)

    assert await store.retire() == ()

    assert KeyRing.load(tmp_path / "keys").numbers == (1, 2)


async def test_what_is_too_large_for_a_document_is_resealed_too(store: Any, tmp_path: Path) -> None:
    # Text that does not shrink: a payload of more than 12 MB lies in a file of its own in MongoDB.
    text = Random(7).randbytes(13_000_000).hex()
    await put(store, change("Binary", "large", text=text))
    rotate(tmp_path)

    assert await store.reseal() == 1
    assert await store.retire() == (1,)

    stored = await store.read(ALL, "Binary", "large")
    assert text.encode() in stored.body
