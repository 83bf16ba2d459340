"""How often may one client, or one network address, ask: token buckets, in each process.

https://owasp.org/API-Security/editions/2023/en/0xa4-unrestricted-resource-consumption/
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import Final

_KEPT: Final = 20_000
BURST_SECONDS: Final = 5.0
"""A caller that was silent may ask this many seconds' worth at once."""


class Rate:
    """Lets each key ask ``per_second`` times a second, 0 = without limit; ``clock`` returns seconds."""

    def __init__(self, per_second: float, clock: Callable[[], float] = monotonic) -> None:
        self._per_second = per_second
        self._burst = max(1.0, per_second * BURST_SECONDS)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, key: str) -> int:
        """Count one request of ``key``: 0 = it may be carried out; else the whole seconds to wait."""
        if not self._per_second:
            return 0
        now = self._clock()
        left, then = self._buckets.get(key, (self._burst, now))
        left = min(self._burst, left + (now - then) * self._per_second)
        allowed = left >= 1.0
        self._buckets[key] = (left - 1.0 if allowed else left, now)
        self._buckets.move_to_end(key)
        if len(self._buckets) > _KEPT:
            # The one longest silent: its bucket is the fullest, so little is forgiven.
            self._buckets.popitem(last=False)
        return 0 if allowed else max(1, round((1.0 - left) / self._per_second))
