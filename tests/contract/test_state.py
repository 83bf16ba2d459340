"""State records: every store keeps them sealed, versioned and expiring, and writes them all or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.crypto.keys import KeyRing
from fhir_server.faults import Fault
from fhir_server.store.api import Stale
from fhir_server.store.state import Put, Record, Remove, State, Unchanged
from fhir_server.store.whole import WholeStore
from tests.contract.store_world import ENGINES, STORES, a_store, open_sqlite, open_store

START = 1_000_000


class Clock:
    """A time that tests move."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=STORES)
async def opened(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[WholeStore]:
    async with a_store(request.param, tmp_path, clock=clock) as store:
        yield store


@pytest.fixture
def state(opened: WholeStore) -> State:
    return opened.state


@pytest.fixture(params=ENGINES)
def kind(request: pytest.FixtureRequest) -> str:
    """Name an engine, for tests that open its store themselves."""
    name: str = request.param
    return name


async def test_returns_what_was_put(state: State) -> None:
    await state.apply([Put("code", "k", b"body", 0, START + 5, ("user:1", "user:1"))])

    assert await state.get("code", "k") == Record("code", "k", 1, b"body", START + 5, ("user:1", "user:1"))


async def test_knows_nothing_of_another_kind_or_key(state: State) -> None:
    await state.apply([Put("code", "k", b"body", 0)])

    assert await state.get("client", "k") is None
    assert await state.get("code", "K") is None


async def test_a_second_use_is_stale_and_changes_nothing(state: State) -> None:
    await state.apply([Put("jti", "a", b"first", 0)])

    with pytest.raises(Stale):
        await state.apply([Put("jti", "a", b"second", 0)])

    assert (await _body(state, "jti", "a")) == b"first"


async def test_each_write_raises_the_version_and_asks_for_it(state: State) -> None:
    await state.apply([Put("user", "u", b"1", 0)])
    await state.apply([Put("user", "u", b"2", 1)])

    with pytest.raises(Stale):
        await state.apply([Put("user", "u", b"3", 1)])

    record = await state.get("user", "u")
    assert record is not None
    assert (record.version, record.body) == (2, b"2")


async def test_a_refused_change_undoes_those_before_it(state: State) -> None:
    with pytest.raises(Stale):
        await state.apply([Put("a", "1", b"", 0), Put("a", "2", b"", 7)])

    assert await state.of_kind("a") == []


async def test_what_must_not_change_is_compared_and_left_alone(state: State) -> None:
    await state.apply([Put("client", "c", b"x", 0)])
    await state.apply([Unchanged("client", "c", 1), Unchanged("client", "none", 0), Put("b", "1", b"", 0)])

    with pytest.raises(Stale):
        await state.apply([Unchanged("client", "c", 2), Put("b", "2", b"", 0)])

    assert [record.key for record in await state.of_kind("b")] == ["1"]
    assert (await _body(state, "client", "c")) == b"x"


async def test_a_removed_record_is_gone_with_its_tags(state: State) -> None:
    await state.apply([Put("session", "s", b"", 0, None, ("user:1",))])
    await state.apply([Remove("session", "s", 1), Remove("session", "never was")])

    assert await state.get("session", "s") is None
    assert await state.find("session", "user:1") == []
    with pytest.raises(Stale):
        await state.apply([Remove("session", "s", 1)])


async def test_finds_by_tag_within_a_kind_in_order_of_keys(state: State) -> None:
    await state.apply(
        [
            Put("session", "b", b"", 0, None, ("user:1", "client:9")),
            Put("session", "a", b"", 0, None, ("user:1",)),
            Put("session", "c", b"", 0, None, ("user:2",)),
            Put("token", "d", b"", 0, None, ("user:1",)),
        ]
    )

    assert [record.key for record in await state.find("session", "user:1")] == ["a", "b"]
    assert [record.key for record in await state.find("session", "client:9")] == ["b"]
    assert await state.find("session", "user:3") == []


async def test_a_new_version_replaces_the_tags(state: State) -> None:
    await state.apply([Put("session", "a", b"", 0, None, ("old",))])
    await state.apply([Put("session", "a", b"", 1, None, ("new",))])

    assert await state.find("session", "old") == []
    assert len(await state.find("session", "new")) == 1


async def test_an_expired_record_is_absent_everywhere_and_its_key_is_free(state: State, clock: Clock) -> None:
    await state.apply([Put("code", "k", b"", 0, START + 10, ("t",))])
    clock.now = START + 9
    assert await state.holds("code", "k")
    clock.now = START + 10

    assert await state.get("code", "k") is None
    assert await state.find("code", "t") == []
    assert await state.of_kind("code") == []
    assert not await state.holds("code", "k")
    with pytest.raises(Stale):
        await state.apply([Put("code", "k", b"", 1)])
    await state.apply([Put("code", "k", b"again", 0)])
    assert (await _body(state, "code", "k")) == b"again"


async def test_a_sweep_removes_the_expired_and_no_other(state: State, clock: Clock) -> None:
    await state.apply(
        [Put("a", "1", b"", 0, START + 1, ("t",)), Put("a", "2", b"", 0, START + 9), Put("a", "3", b"", 0)]
    )
    clock.now = START + 1

    assert await state.sweep() == 1
    assert await state.sweep() == 0
    assert [record.key for record in await state.of_kind("a")] == ["2", "3"]


async def test_holds_tells_of_any_of_several_keys(state: State) -> None:
    await state.apply([Put("revoked", "b", b"", 0)])

    assert await state.holds("revoked", "a", "b")
    assert not await state.holds("revoked", "a", "c")


async def test_the_stamp_stays_until_something_is_committed(state: State) -> None:
    before = await state.stamp()
    await state.get("a", "1")
    assert await state.stamp() == before
    assert before is not None

    await state.apply([Put("a", "1", b"", 0)])
    after = await state.stamp()
    assert after is not None
    assert after != before
    with pytest.raises(Stale):
        await state.apply([Put("a", "1", b"", 0)])
    assert await state.stamp() is not None


async def test_what_two_writes_rest_on_cannot_pass_under_both(state: State) -> None:
    """Each goes on only while the other's record is absent, so that one of them must fail."""

    async def take(mine: str, other: str) -> bool:
        try:
            await state.apply([Unchanged("lease", other, 0), Put("lease", mine, b"", 0)])
        except Stale:
            return False
        return True

    for number in range(5):
        taken = await asyncio.gather(take(f"a{number}", f"b{number}"), take(f"b{number}", f"a{number}"))
        assert sorted(taken) == [False, True]


async def test_a_write_that_names_a_record_twice_is_refused(state: State) -> None:
    with pytest.raises(Fault):
        await state.apply([Put("a", "1", b"", 0), Remove("a", "1")])


async def test_of_many_at_once_exactly_one_uses_a_code(state: State) -> None:
    await state.apply([Put("code", "k", b"fresh", 0)])

    async def use(number: int) -> bool:
        try:
            await state.apply([Remove("code", "k", 1), Put("token", f"{number}", b"", 0)])
        except Stale:
            return False
        return True

    outcomes = await asyncio.gather(*map(use, range(20)))

    assert sum(outcomes) == 1
    assert len(await state.of_kind("token")) == 1


async def test_records_survive_closing(kind: str, tmp_path: Path) -> None:
    store = await open_store(kind, tmp_path)
    await store.state.apply([Put("client", "c", b"x", 0, None, ("t",))])
    await store.close()

    async with a_store(kind, tmp_path) as again:
        found = await again.state.find("client", "t")

    assert [record.body for record in found] == [b"x"]


async def test_no_file_shows_a_key_a_tag_or_a_body(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path)
    await store.state.apply([Put("user", "wangfang@example.org", b"secret-body", 0, None, ("mobile-1390",))])
    await store.close()

    content = b"".join(file.read_bytes() for file in (tmp_path / "data").iterdir())

    assert b"fhir-server" not in content
    for text in (b"wangfang", b"secret-body", b"mobile-1390"):
        assert text not in content


async def test_rotated_keys_seal_records_anew_and_the_old_key_can_be_retired(
    kind: str, tmp_path: Path
) -> None:
    async with a_store(kind, tmp_path) as store:
        await store.state.apply([Put("client", f"{n}", b"x", 0) for n in range(450)])
        KeyRing.load(tmp_path / "keys").rotate()

        assert await store.retire() == ()
        await store.reseal()
        assert await store.retire() == (1,)

        assert len(await store.state.of_kind("client")) == 450


async def test_a_record_moved_to_another_place_does_not_open(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path)
    await store.state.apply([Put("user", "clerk", b"clerk", 0), Put("user", "chief", b"chief", 0)])
    digests = [store.state._digest("user", key) for key in ("clerk", "chief")]
    await store._writer.run(
        lambda connection: (
            connection.execute(
                "UPDATE state SET payload=(SELECT payload FROM state WHERE h=?) WHERE h=?", digests[::-1]
            ).rowcount
        )
    )

    with pytest.raises(Fault):
        await store.state.get("user", "clerk")
    assert await store.check() == ["1 records of accounts and clients cannot be opened."]
    await store.close()


KEYS = st.sampled_from("abc")
CHANGES = st.one_of(
    st.builds(
        Put,
        st.just("k"),
        KEYS,
        st.binary(max_size=3),
        st.one_of(st.none(), st.integers(0, 2)),
        st.none(),
        st.just(("t",)),
    ),
    st.builds(Remove, st.just("k"), KEYS, st.one_of(st.none(), st.integers(0, 2))),
    st.builds(Unchanged, st.just("k"), KEYS, st.integers(0, 2)),
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(CHANGES, max_size=3, unique_by=lambda change: change.key), max_size=6))
async def test_behaves_like_a_dictionary_with_versions(opened: WholeStore, rounds: list[list[Any]]) -> None:
    await opened.state.apply([Remove("k", key) for key in "abc"])
    model: dict[str, tuple[int, bytes]] = {}
    for changes in rounds:
        holds = all(
            change.expected is None or model.get(change.key, (0, b""))[0] == change.expected
            for change in changes
        )
        try:
            await opened.state.apply(changes)
            assert holds
        except Stale:
            assert not holds
            continue
        for change in changes:
            if isinstance(change, Put):
                model[change.key] = (model.get(change.key, (0, b""))[0] + 1, change.body)
            elif isinstance(change, Remove):
                model.pop(change.key, None)

    stored = {record.key: (record.version, record.body) for record in await opened.state.find("k", "t")}
    assert stored == model


async def _body(state: State, kind: str, key: str) -> bytes:
    record = await state.get(kind, key)
    assert record is not None
    return record.body
