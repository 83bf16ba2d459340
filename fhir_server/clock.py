"""The only place that asks what time it is, so that every other part can be given a time instead.

FHIR instants: https://hl7.org/fhir/R4/datatypes.html#instant
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import lru_cache


def now_ms() -> int:
    """Return the present time in milliseconds since 1970-01-01T00:00:00Z."""
    return time.time_ns() // 1_000_000


def instant(ms: int) -> str:
    """Write milliseconds since the epoch as a FHIR instant in UTC, e.g. ``2026-03-01T08:30:00.125Z``."""
    seconds, rest = divmod(ms, 1000)
    return f"{_to_the_second(seconds)}.{rest:03d}Z"


# A transaction stamps hundreds of resources within one second.
@lru_cache(maxsize=64)
def _to_the_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def http_date(ms: int) -> str:
    """Write milliseconds since the epoch as an HTTP-date (RFC 9110 section 5.6.7)."""
    moment = datetime.fromtimestamp(ms // 1000, UTC)
    days = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    return f"{days[moment.weekday()]}, {moment:%d} {months[moment.month - 1]} {moment:%Y %H:%M:%S} GMT"
