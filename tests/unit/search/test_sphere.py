"""Distances on the Earth."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.search.sphere import HALF_WAY_ROUND, distance

PLACES = st.tuples(st.floats(-90, 90), st.floats(-180, 180))


@pytest.mark.parametrize(
    ("one", "other", "kilometres"),
    [
        ((30.66, 104.06), (39.90, 116.40), 1517),  # Chengdu, Beijing
        ((0, 0), (0, 180), 20015),
        ((90, 0), (-90, 77), 20015),
        ((0, 179.5), (0, -179.5), 111),  # over the date line
        ((51.5, 0), (51.5, 0), 0),
    ],
)
def test_known_distances(one: tuple[float, float], other: tuple[float, float], kilometres: float) -> None:
    assert distance(*one, *other) / 1000 == pytest.approx(kilometres, abs=3)


@given(PLACES, PLACES)
def test_a_distance_is_the_same_both_ways_and_never_more_than_half_way_round(
    one: tuple[float, float], other: tuple[float, float]
) -> None:
    there = distance(*one, *other)

    assert 0 <= there <= HALF_WAY_ROUND
    assert there == pytest.approx(distance(*other, *one), abs=1e-3)
