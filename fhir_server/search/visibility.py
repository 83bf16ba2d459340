"""What a caller may see: for every resource type, a predicate that is joined to whatever the caller asks.

The type lives on this floor so that the stores can name it without importing those who decide (``access``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from fhir_server.search.predicate import (
    EVERYTHING,
    NOTHING,
    All,
    AnyOf,
    Chain,
    Everything,
    Has,
    Not,
    Predicate,
    all_of,
    any_of,
    negate,
)


@dataclass(frozen=True, slots=True)
class Visibility:
    """A predicate per resource type; a type that is not listed falls to ``default``.

    Minted by ``access.decide`` alone, and by :meth:`everything` for named internal uses. There is no
    "no visibility": every read takes one.
    """

    reason: str
    # Left out of the hash: a mapping has none before Python 3.12, and a store's conditions are kept in sets.
    by_type: Mapping[str, Predicate] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    default: Predicate = NOTHING

    @classmethod
    def everything(cls, reason: str) -> Visibility:
        """See all; ``reason`` names the use, so that a search for ``Visibility.everything`` lists them."""
        return cls(reason=reason, default=EVERYTHING)

    def of(self, resource_type: str) -> Predicate:
        """Return what may be seen of ``resource_type``."""
        return self.by_type.get(resource_type, self.default)

    @property
    def is_everything(self) -> bool:
        """True when nothing at all is hidden."""
        return not self.by_type and isinstance(self.default, Everything)

    def restrict(self, resource_type: str, predicate: Predicate) -> Predicate:
        """Join ``predicate`` with what may be seen, at this resource and at every hop of a chain."""
        if self.is_everything:
            return predicate
        return all_of((self.of(resource_type), self._hops(predicate)))

    def _hops(self, predicate: Predicate) -> Predicate:
        if isinstance(predicate, Chain):
            return Chain(predicate.param, predicate.type, self.restrict(predicate.type, predicate.inner))
        if isinstance(predicate, Has):
            return Has(predicate.type, predicate.param, self.restrict(predicate.type, predicate.inner))
        if isinstance(predicate, All):
            return all_of(self._hops(item) for item in predicate.items)
        if isinstance(predicate, AnyOf):
            return any_of(self._hops(item) for item in predicate.items)
        if isinstance(predicate, Not):
            return negate(self._hops(predicate.item))
        return predicate

    @property
    def fingerprint(self) -> bytes:
        """Sixteen bytes that differ when anything about what may be seen differs; page links carry it."""
        parts = [repr(self.default), *(f"{name}={self.by_type[name]!r}" for name in sorted(self.by_type))]
        return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).digest()
