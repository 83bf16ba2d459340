"""Cells of grids on the Earth: where a position lies, and which cells a circle may touch.

Positions are indexed as digests of the cells that hold them, one of each size, so that the file tells which
places share a cell and not where they are; the exact distance is computed from the opened resource.
https://hl7.org/fhir/R4/location.html#search
"""

from __future__ import annotations

import math
from typing import Final

from fhir_server.search.sphere import EARTH_METRES

SIZES: Final = (90.0, 10.0, 1.0, 0.1, 0.01)
"""Widths of the cells in degrees, from the coarsest level to the finest (some 1.1 km)."""

_MOST_CELLS: Final = 150
"""A circle is covered by at most so many cells; a larger one by coarser cells."""

_SLACK: Final = 1e-9
"""Degrees (0.1 mm) that make up for rounding."""

Cell = tuple[int, int, int]
"""Level, row (from the south pole) and column (from the meridian of 180 degrees)."""

NOWHERE: Final[Cell] = (-1, 0, 0)
"""The cell of what is no place on the Earth; every circle looks into it, and the distance decides."""


def cells_of(latitude: float, longitude: float) -> list[Cell]:
    """Return the cell of each level that holds a position in degrees."""
    if not (-90 <= latitude <= 90 and math.isfinite(longitude)):
        return [NOWHERE]
    around = (longitude + 180) % 360 - 180
    return [
        (level, _row(latitude, size), _column(around, size) % _columns(size))
        for level, size in enumerate(SIZES)
    ]


def covering(latitude: float, longitude: float, metres: float) -> list[Cell]:
    """Return cells that hold every place within ``metres`` of a position in degrees."""
    angle = math.degrees(metres / EARTH_METRES) + _SLACK
    if not (-90 <= latitude <= 90 and math.isfinite(longitude) and angle < 90):
        return _EVERYWHERE
    south, north = max(latitude - angle, -90.0), min(latitude + angle, 90.0)
    spread = _spread(latitude, angle)
    around = (longitude + 180) % 360 - 180
    for level in reversed(range(len(SIZES))):
        size = SIZES[level]
        rows = range(_row(south, size), _row(north, size) + 1)
        first, last = _column(around - spread, size), _column(around + spread, size)
        columns = range(first, min(last + 1, first + _columns(size)))
        if len(rows) * len(columns) <= _MOST_CELLS:
            return [NOWHERE, *((level, row, column % _columns(size)) for row in rows for column in columns)]
    return _EVERYWHERE


def _spread(latitude: float, angle: float) -> float:
    """Return by how many degrees of longitude a circle reaches east and west; 180: around a pole."""
    if abs(latitude) + angle >= 90:
        return 180.0
    # The easternmost place is where the edge meets a meridian at a right angle, not due east.
    ratio = math.sin(math.radians(angle)) / math.cos(math.radians(latitude))
    # Close to 1 the arc sine magnifies every error.
    return 180.0 if ratio > 0.99 else math.degrees(math.asin(ratio)) + _SLACK


def _row(latitude: float, size: float) -> int:
    return math.floor((latitude + 90) / size)


def _column(longitude: float, size: float) -> int:
    return math.floor((longitude + 180) / size)


def _columns(size: float) -> int:
    return round(360 / size)


_EVERYWHERE: Final = [
    NOWHERE,
    *((0, row, column) for row in range(_row(90, SIZES[0]) + 1) for column in range(_columns(SIZES[0]))),
]
