"""Keys rotated while something is being written: nothing is stored under a key that may be retired."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fhir_server.crypto.envelope import Envelope
from fhir_server.crypto.keys import KeyRing
from fhir_server.faults import Fault, Kind
from fhir_server.store.mongo import prepared
from fhir_server.store.mongo.prepared import key_of, sealed_by
from tests.contract.store_world import ALL, a_store, change, open_mongo, put


@pytest.fixture(params=["in the document", "in a file"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Any]:
    if request.param == "in a file":
        monkeypatch.setattr(prepared, "MOST_INLINE", 10)
    async with a_store("mongodb-standard", tmp_path) as opened:
        yield opened


async def rotated_elsewhere(folder: Path) -> None:
    """Rotate the keys and seal everything anew, as another process does."""
    KeyRing.load(folder / "keys").rotate()
    other = await open_mongo(folder)
    await other.reseal()
    await other.close()


async def sealing_keys(store: Any) -> set[int]:
    documents = await store._tools.engine.db.resource.find({}).to_list()
    payloads = await store._tools.opener.fetched(documents)
    assert all(sealed_by(each["b"]) == each["a"] for each in payloads)
    return {key_of(each["b"]) for each in payloads}


def late(monkeypatch: pytest.MonkeyPatch, calls: int) -> None:
    """Have the next ``calls`` looks at the key ring see nothing new, as if they had come a moment before."""
    refresh, left = Envelope.refresh, [calls]

    def looking(self: Envelope) -> None:
        if left[0]:
            left[0] -= 1
        else:
            refresh(self)

    monkeypatch.setattr(Envelope, "refresh", looking)


async def test_what_was_prepared_before_a_rotation_is_sealed_anew(store: Any, tmp_path: Path) -> None:
    made = store.prepare(change("Patient", "p", text="kept"))
    KeyRing.load(tmp_path / "keys").rotate()

    await store.commit([made])

    assert await sealing_keys(store) == {2}
    assert b"kept" in (await store.read(ALL, "Patient", "p")).body


@pytest.mark.parametrize("calls", [1, 2])
async def test_a_rotation_in_the_middle_of_a_commit_is_noticed(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    await put(store, change("Patient", "first"))
    made = store.prepare(change("Patient", "p", text="kept"))
    await rotated_elsewhere(tmp_path)
    late(monkeypatch, calls)

    await store.commit([made])

    assert await sealing_keys(store) == {2}
    assert b"kept" in (await store.read(ALL, "Patient", "p")).body
    assert await store.retire() == (1,)


async def test_a_server_without_the_new_key_writes_nothing(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rotated_elsewhere(tmp_path)
    with monkeypatch.context() as without:
        late(without, 10_000)
        with pytest.raises(Fault, match="copy the current one") as fault:
            await put(store, change("Patient", "p"))

    assert fault.value.kind is Kind.UNAVAILABLE
    assert await store.read(ALL, "Patient", "p") is None
    await put(store, change("Patient", "p"))
    assert await sealing_keys(store) == {2}
