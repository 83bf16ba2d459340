"""Statistics tell what was measured, and an aim is met only when all of it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.figures import Aim, Figure, median, percentile, significant
from tests.bench.report import number, results, table

_VALUES = st.lists(st.floats(0, 1e9), min_size=1, max_size=200)


@given(_VALUES, st.floats(0, 1))
def test_a_percentile_is_a_measured_value_that_the_share_does_not_exceed(
    values: list[float], share: float
) -> None:
    values.sort()
    found = percentile(values, share)

    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9
    assert sum(value < found for value in values) <= share * len(values)


def test_percentiles_of_a_hundred_are_their_ranks() -> None:
    values = list(range(1, 101))

    assert [percentile(values, share) for share in (0, 0.5, 0.99, 1)] == [1, 50, 99, 100]


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], -0.1), ([1.0], 1.1)])
def test_refuses_a_percentile_of_nothing_or_beyond_all(values: list[float], share: float) -> None:
    with pytest.raises(ValueError, match=r"percentile|share"):
        percentile(values, share)


def test_the_median_does_not_mind_the_order() -> None:
    assert median([9.0, 1.0, 5.0]) == 5.0
    assert median([4.0, 1.0]) == 1.0


@pytest.mark.parametrize(
    ("aim", "value", "peer", "met"),
    [
        (Aim(at_least=3000, times_peer=8), 3200.0, 400.0, True),
        (Aim(at_least=3000, times_peer=8), 3200.0, 401.0, False),
        (Aim(at_least=3000, times_peer=8), 2999.0, 1.0, False),
        (Aim(at_least=3000, times_peer=8), 3200.0, None, None),
        (Aim(at_least=3000, times_peer=8), 2999.0, None, False),
        (Aim(at_most=30), 30.0, None, True),
        (Aim(at_most=30), 30.1, 300.0, False),
        (None, 1.0, 1.0, None),
    ],
)
def test_an_aim_is_met_when_every_part_of_it_is(
    aim: Aim | None, value: float, peer: float | None, met: bool | None
) -> None:
    assert Figure("x", value, "y", peer, aim).met is met


def test_a_row_of_the_results_holds_every_column() -> None:
    row = Figure("reads", 8123.456, "requests/s", 1000.0, Aim(at_least=8000)).as_json()

    assert row == {
        "figure": "reads",
        "value": 8123.0,
        "unit": "requests/s",
        "peer": 1000.0,
        "ratio": 8.123,
        "aim": "≥ 8,000",
        "met": True,
    }


def test_a_row_without_a_peer_has_no_ratio() -> None:
    row = Figure("reads", 1.0, "requests/s").as_json()

    assert (row["peer"], row["ratio"], row["aim"], row["met"]) == (None, None, None, None)


def test_the_results_say_where_they_come_from() -> None:
    made = results([Figure("a", 1.0, "s")], ["a note"])

    assert set(made) == {"commit", "date", "python", "cpus", "system", "figures", "notes"}
    assert [row["figure"] for row in made["figures"]] == ["a"]
    assert made["notes"] == ["a note"]


def test_the_table_has_a_row_for_each_figure() -> None:
    made = table("title", [Figure("a", 1.0, "s"), Figure("b", 2.0, "s", 1.0, Aim(at_most=1))])

    assert made.row_count == 2
    assert [column.header for column in made.columns] == [
        "figure",
        "value",
        "peer",
        "ratio",
        "unit",
        "aim",
        "met",
    ]


def test_numbers_are_written_with_the_digits_they_are_worth() -> None:
    assert [number(value) for value in (12345.6, 12.34, 1.234)] == ["12,346", "12.3", "1.23"]
    assert significant(123456.0) == 123500.0
