"""The signing keys: ES256 for access tokens, RS256 for ID tokens, each replaced before it is old.

A new key is published before the old one retires, and a retired one stays published until nothing that it
signed is still good. https://www.rfc-editor.org/rfc/rfc7517
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from joserfc.jwk import ECKey, KeyParameters, KeySet, RSAKey

from fhir_server.smart.mint import new_id
from fhir_server.smart.records import Key
from fhir_server.smart.shelf import Shelves
from fhir_server.store.api import Stale

ACCESS: Final = "ES256"
"""Algorithm of access tokens: short signatures, and every server of ours knows it."""
IDENTITY: Final = "RS256"
"""Algorithm of ID tokens: SMART App Launch asks for it."""

_SIGNS_MS: Final = 90 * 24 * 3_600_000
_KEPT_MS: Final = 100 * 24 * 3_600_000
_LOOK_MS: Final = 60_000
_RSA_BITS: Final = 2048


class Keys:
    """The signing keys of one process; :meth:`refresh` makes those that are missing and reads the others'."""

    def __init__(self, shelves: Shelves, clock: Callable[[], int]) -> None:
        self._shelves = shelves
        self._clock = clock
        self._looked = -_LOOK_MS
        self._all: list[Key] = []
        self._set: KeySet = KeySet([])

    async def refresh(self) -> None:
        """Read the keys if they were not looked at for a minute, and replace those that retire."""
        now = self._clock()
        if now - self._looked < _LOOK_MS:
            return
        await self._read()
        for algorithm in (ACCESS, IDENTITY):
            if self._signer(algorithm, now) is None:
                await self._add(algorithm, now)
        self._looked = now

    async def rotate(self) -> None:
        """Make new keys at once; the old ones stay published."""
        for algorithm in (ACCESS, IDENTITY):
            await self._add(algorithm, self._clock(), again=True)

    def signing(self, algorithm: str) -> Key:
        """Return the newest key for ``algorithm``; call :meth:`refresh` first."""
        key = self._signer(algorithm, self._clock())
        if key is None:
            raise LookupError(algorithm)
        return key

    def public(self) -> dict[str, list[dict[str, Any]]]:
        """Return the JWKS that is published."""
        return {"keys": [_public(key) for key in self._all]}

    def verification(self) -> KeySet:
        """Return the keys that access tokens are verified with."""
        return self._set

    def _signer(self, algorithm: str, now: int) -> Key | None:
        fit = [key for key in self._all if key.algorithm == algorithm and key.retires > now]
        return max(fit, key=lambda key: (key.created, key.kid), default=None)

    async def _read(self) -> None:
        self._all = [held.value for held in await self._shelves.keys.all()]
        access = [key for key in self._all if key.algorithm == ACCESS]
        self._set = KeySet([ECKey.import_key(_public(key)) for key in access])

    async def _add(self, algorithm: str, now: int, *, again: bool = False) -> None:
        """Add a key; processes that start together agree on one, by the name of the period."""
        kid = new_id()
        parameters: KeyParameters = {"kid": kid, "use": "sig", "alg": algorithm}
        made = (
            ECKey.generate_key("P-256", parameters)
            if algorithm == ACCESS
            else RSAKey.generate_key(_RSA_BITS, parameters)
        )
        private = made.as_dict(private=True)
        key = Key(kid, algorithm, private, now, now + _SIGNS_MS)
        name = f"{algorithm} {kid if again else now // _SIGNS_MS}"
        expires = now + _SIGNS_MS + _KEPT_MS
        try:
            await self._shelves.apply(self._shelves.keys.to_add(name, key, expires=expires))
        except Stale:
            if again:
                raise
        await self._read()
        if not again and self._signer(algorithm, now) is None:
            await self._add(algorithm, now, again=True)


def _public(key: Key) -> dict[str, Any]:
    """Return a key as it is published: no member that is secret."""
    return {name: value for name, value in key.jwk.items() if name not in _SECRET}


_SECRET: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
