"""Cells on the Earth: no place within a circle lies outside the cells that cover it."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fhir_server.search.sphere import HALF_WAY_ROUND, distance
from fhir_server.store.cells import SIZES, cells_of, covering

LATITUDES = st.floats(-90, 90) | st.sampled_from([-90.0, 0.0, 89.999, 90.0, 30.66])
LONGITUDES = st.floats(-180, 180) | st.sampled_from([-180.0, 179.999, 180.0, 0.0, 104.06])
METRES = st.sampled_from([0.0, 1.0, 500.0, 5_000.0, 80_000.0, 2e6, 9e6, HALF_WAY_ROUND]) | st.floats(0, 2e7)


@given(LATITUDES, LONGITUDES, METRES, st.floats(-math.pi, math.pi), st.floats(0, 1))
@example(0.0, 179.999, 500.0, math.pi / 2, 1.0)
@example(-89.9999, 0.0, 500.0, 0.0, 1.0)
def test_covers_every_place_within_the_circle(
    latitude: float, longitude: float, metres: float, bearing: float, share: float
) -> None:
    # A place at ``share`` of the distance in the direction ``bearing``.
    angle, lat = share * metres / 6_371_008.8, math.radians(latitude)
    sine = math.sin(lat) * math.cos(angle) + math.cos(lat) * math.sin(angle) * math.cos(bearing)
    there = math.degrees(math.asin(max(-1.0, min(1.0, sine))))
    east = math.atan2(
        math.sin(bearing) * math.sin(angle) * math.cos(lat), math.cos(angle) - math.sin(lat) * sine
    )
    along = (longitude + math.degrees(east) + 180) % 360 - 180

    covered = covering(latitude, longitude, metres)

    if distance(latitude, longitude, there, along) <= metres:
        assert set(cells_of(there, along)) & set(covered)


def test_leaves_out_what_is_far_away() -> None:
    chengdu = covering(30.66, 104.06, 5_000.0)

    assert not set(cells_of(39.9, 116.4)) & set(chengdu)


@pytest.mark.parametrize("longitude", [539.99, -180.01, 179.99])
def test_takes_a_longitude_for_the_same_one_a_turn_on(longitude: float) -> None:
    assert cells_of(10.0, longitude) == cells_of(10.0, (longitude + 180) % 360 - 180)
    assert set(cells_of(10.0, longitude)) & set(covering(10.0, 179.99, 3_000.0))


@pytest.mark.parametrize(("latitude", "longitude"), [(91.0, 0.0), (math.nan, 0.0), (0.0, math.inf)])
def test_a_place_that_is_not_on_the_earth_is_looked_for_in_every_circle(
    latitude: float, longitude: float
) -> None:
    assert set(cells_of(latitude, longitude)) <= set(covering(0.0, 0.0, 1.0))
    assert set(cells_of(-33.9, 151.2)) & set(covering(latitude, longitude, 1.0))


def test_each_level_is_finer_than_the_one_before() -> None:
    assert list(SIZES) == sorted(SIZES, reverse=True)
    assert all(round(360 / size) * size == pytest.approx(360) for size in SIZES)
