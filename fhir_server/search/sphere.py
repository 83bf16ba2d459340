"""Distance on the Earth, as ``near`` measures it. https://hl7.org/fhir/R4/location.html#search"""

from __future__ import annotations

import math

EARTH_METRES = 6_371_008.8
"""The mean radius of the Earth (WGS 84: (2a + b) / 3)."""

HALF_WAY_ROUND = math.pi * EARTH_METRES
"""The greatest distance that two places can be apart, in metres."""


def distance(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """Return the metres between two places (degrees, WGS 84) along a great circle, by the haversine formula.

    The Earth is taken for a sphere: at most 0.6 % from the ellipsoid. The result is the same, to the bit,
    wherever it is computed, as long as it is by this function: a store registers it rather than repeats it.
    """
    lat, other_lat = math.radians(latitude), math.radians(other_latitude)
    across = math.sin((other_lat - lat) / 2) ** 2
    along = math.sin(math.radians(other_longitude - longitude) / 2) ** 2
    part = across + math.cos(lat) * math.cos(other_lat) * along
    return 2 * EARTH_METRES * math.asin(math.sqrt(min(1.0, part)))
