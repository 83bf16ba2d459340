"""The simulation of a cluster: what it counts it counts once, and the page says what it says."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import bson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo import IndexModel

from tests.bench import scaling
from tests.bench.footprint import documents, entry_bytes, measured, taken_by
from tests.bench.growth import growth
from tests.bench.scaling import RESULTS, World, adding, by_digest, by_hospital, by_region, chunks, people
from tests.bench.scaling_page import PAGE, SECTIONS, mongo, replaced, size

SMALL = World(patients=4_000, hospitals=50, chunk=4 * 1024 * 1024, shards=(2, 4))
SOME = people(SMALL)
STORED = json.loads(RESULTS.read_text(encoding="utf-8"))


def test_the_page_says_what_was_simulated() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert replaced(page, STORED) == page
    assert [name for name in SECTIONS if f"<!-- figures: {name} -->" not in page] == []


def test_what_was_measured_of_mongodb_stands_by_operation_and_nothing_stands_for_nothing() -> None:
    figures = [
        {"figure": "read: round trips", "value": 1, "unit": "trips"},
        {"figure": "read: processor time of the server", "value": 1280, "unit": "µs"},
        {"figure": "round trips saved in a bundle", "value": 60.0, "unit": "times"},
    ]

    assert mongo({"mongo": figures}).splitlines()[2:] == ["| read | 1 |  |  | 1,280 |"]
    assert "Not measured yet" in mongo({"mongo": []})


def test_a_changed_figure_changes_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    changed = json.loads(json.dumps(STORED))
    changed["simulation"]["balance"][0]["digest"] = 9.99

    assert replaced(page, changed) != page


def test_what_a_resource_takes_is_still_what_was_written_down(tmp_path: Path) -> None:
    now, then = measured(tmp_path / "keys", 6), STORED["footprint"]

    for name, number in then["bytes"].items():
        assert now["bytes"][name] == pytest.approx(number, rel=0.15), name
    indexes = [sum(told["index_bytes"].values()) for told in (now, then)]
    assert indexes[0] == pytest.approx(indexes[1], rel=0.15), "run python -m tests.bench.scaling anew"


def test_a_document_is_measured_as_the_store_writes_it(tmp_path: Path) -> None:
    made = next(iter(documents(tmp_path / "keys", 1)))

    assert {"_id", "c", "t", "b", "k", "f"} <= made.keys()
    assert len(bson.encode(made)) > len(made["b"])


def test_an_array_has_an_entry_for_each_value_and_one_when_it_is_empty() -> None:
    index = IndexModel([("k", 1), ("n", 1)], name="keys")

    assert taken_by(index, {"k": [7, 8, 8], "n": 1})[0] == 2
    assert taken_by(index, {"k": [], "n": 1})[0] == 1
    assert taken_by(IndexModel([("i.p", 1), ("i.a", 1)], name="i"), {"i": [{"p": 1, "a": 2}] * 2})[0] == 1
    assert taken_by(IndexModel([("t", 1)], name="t"), {"t": "Patient"})[0] == 1


def test_a_document_has_no_entry_in_an_index_that_leaves_it_out() -> None:
    sparse = IndexModel([("g", 1)], name="g", sparse=True)
    partial = IndexModel([("g", 1)], name="g", partialFilterExpression={"g": {"$exists": True}})

    for index in (sparse, partial):
        assert taken_by(index, {"t": 1}) == (0, 0)
        assert taken_by(index, {"g": 1})[0] == 1


@given(st.integers(0, 2**62), st.integers(0, 2**62))
def test_a_longer_number_takes_no_less(one: int, other: int) -> None:
    less, more = sorted((one, other))

    assert entry_bytes((less,)) <= entry_bytes((more,)) <= entry_bytes((2**63 - 1,))


def test_the_same_seed_makes_the_same_world_and_another_one_another() -> None:
    assert people(SMALL) == SOME
    assert people(World(patients=4_000, seed=8)) != SOME


def test_the_mean_of_the_records_is_the_one_that_was_asked_for() -> None:
    some = people(World(patients=40_000, sigma=0.5))

    assert sum(some.documents) / 40_000 == pytest.approx(World().records, rel=0.03)


@pytest.mark.parametrize("shards", [1, 2, 7])
def test_every_document_lies_on_one_shard_by_every_key(shards: int) -> None:
    total = sum(SOME.documents)

    assert sum(by_hospital(SOME, shards)) == total
    assert sum(by_region(SOME, SMALL, shards)) == pytest.approx(total)
    assert sum(by_digest(SMALL, SOME, shards)) == pytest.approx(total / (1 - SMALL.unbound))
    assert len(by_digest(SMALL, SOME, shards)) == shards


def test_one_hospital_cannot_be_spread_by_its_own_key_and_can_by_its_patients() -> None:
    world = World(patients=4_000, hospitals=1)
    some = people(world)

    assert scaling.uneven(by_hospital(some, 4)) == 4
    assert scaling.uneven(by_digest(world, some, 4)) < 1.3


def test_chunks_hold_everything_and_none_is_much_larger_than_allowed() -> None:
    ranges = chunks(SMALL, SOME)

    assert sum(ranges) == pytest.approx(sum(SOME.documents))
    assert max(ranges) * SMALL.document < 2 * SMALL.chunk


@settings(max_examples=50)
@given(st.lists(st.floats(0.5, 1.5), min_size=200, max_size=400), st.integers(2, 8))
def test_a_new_shard_gets_its_share_and_leaves_all_even(ranges: list[float], shards: int) -> None:
    told = adding(ranges, shards)

    assert told["share"] == pytest.approx(1 / (shards + 1), abs=0.05)
    assert told["uneven"] < 1.4


def test_what_moves_with_the_patients_is_their_share() -> None:
    everybody = scaling.moving(World(patients=4_000, movers=1.0), SOME)

    assert everybody["share"] == 1
    assert everybody["most"] == max(SOME.documents)
    assert scaling.moving(SMALL, SOME)["share"] == pytest.approx(SMALL.movers, abs=0.03)


def test_a_small_simulation_tells_what_the_large_one_tells() -> None:
    told = scaling.simulated(SMALL)

    assert told.keys() == STORED["simulation"].keys()
    assert [row["shards"] for row in told["balance"]] == [2, 4]
    for row in told["balance"]:
        assert 1 <= row["digest"] < row["hospital"]


def test_ten_times_as_many_resources_take_ten_times_as_much() -> None:
    rows = growth(STORED["footprint"])

    for before, after in pairwise(rows):
        for name in ("documents", "indexes", "history", "hot"):
            assert after[name] == pytest.approx(10 * before[name])
        assert after["shards"] >= before["shards"]


@pytest.mark.parametrize(
    ("count", "told"), [(12, "12 B"), (1500, "1.5 kB"), (3.14159e9, "3.14 GB"), (2e15, "2 PB")]
)
def test_sizes_are_told_in_units_that_can_be_read(count: float, told: str) -> None:
    assert size(count) == told
