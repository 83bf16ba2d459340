"""Key sets that others publish, kept for as long as they say and not longer.

https://hl7.org/fhir/smart-app-launch/STU2.2/client-confidential-asymmetric.html#registering-a-client-communicating-public-keys
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from fhir_server.smart.fetch import Fetcher

_KEPT: Final = 1000
_AGAIN_MS: Final = 30_000


class _Cached(NamedTuple):
    tree: dict[str, Any]
    fetched: int
    until: int


class KeySets:
    """Fetches JSON documents (key sets, provider metadata) and keeps each as its Cache-Control allows."""

    def __init__(self, fetcher: Fetcher, clock: Callable[[], int]) -> None:
        self._fetcher = fetcher
        self._clock = clock
        self._cache: OrderedDict[str, _Cached] = OrderedDict()

    async def at(self, url: str, kid: str | None = None) -> dict[str, Any]:
        """Return the document at ``url``. Fault UNAVAILABLE when it cannot be fetched.

        A kept key set that lacks ``kid`` is fetched again, though not more often than every 30 s: its owner
        may have changed keys.
        """
        now = self._clock()
        cached = self._cache.get(url)
        if cached and cached.until > now:
            lacks = kid is not None and all(key.get("kid") != kid for key in keys_of(cached.tree))
            if not (lacks and now - cached.fetched > _AGAIN_MS):
                return cached.tree
        tree, age = await self._fetcher.json(url)
        self._cache[url] = _Cached(tree, now, now + age * 1000)
        self._cache.move_to_end(url)
        if len(self._cache) > _KEPT:
            self._cache.popitem(last=False)
        return tree


def keys_of(jwks: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the keys of a JWKS that are objects; whatever else stands there is no key."""
    keys = jwks.get("keys")
    return [key for key in keys if isinstance(key, dict)] if isinstance(keys, list) else []
