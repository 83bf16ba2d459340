"""What a caller may see: for every resource type, a predicate that is joined to whatever the caller asks.

The type lives on this floor so that the stores can name it without importing those who decide (``access``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from fhir_server.search.implied import still_to_ask
from fhir_server.search.predicate import (
    EVERYTHING,
    NOTHING,
    All,
    AnyOf,
    Chain,
    Contains,
    Everything,
    Has,
    Not,
    Nothing,
    Predicate,
    all_of,
    any_of,
    negate,
)


@dataclass(frozen=True, slots=True)
class Visibility:
    """A predicate per resource type; a type that is not listed falls to ``default``.

    Minted by ``access.decide`` alone, and by :meth:`everything` for named internal uses. There is no
    "no visibility": every read takes one. ``holder``: whose it is: nobody else opens its
    page links.

    ``consents``: by type, what the patients' consents leave of it, joined to the rest by AND; a type that
    they do not name is not seen at all. None: no consent is asked. The mapping may be made as it is asked,
    but gives one answer for a type for as long as the visibility lives. It is left out of comparisons and of
    the fingerprint: what somebody else files must not end everybody's page links, and each page is decided
    anew.
    """

    reason: str
    # Left out of the hash: a mapping has none before Python 3.12, and a store's conditions are kept in sets.
    by_type: Mapping[str, Predicate] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    default: Predicate = NOTHING
    holder: str = ""
    consents: Mapping[str, Predicate] | None = field(default=None, hash=False, compare=False)
    # Rights and consents joined, by type, once they were asked for.
    _joined: dict[str, Predicate] = field(default_factory=dict, init=False, repr=False, compare=False)
    # The fingerprint once it was asked for: a frozen object cannot be given one later.
    _digests: list[bytes] = field(default_factory=list, init=False, repr=False, compare=False)

    @classmethod
    def everything(cls, reason: str) -> Visibility:
        """See all; ``reason`` names the use, so that a search for ``Visibility.everything`` lists them."""
        return cls(reason=reason, default=EVERYTHING)

    def of(self, resource_type: str) -> Predicate:
        """Return what may be seen of ``resource_type``."""
        if self.consents is None:
            return self.right_to(resource_type)
        joined = self._joined.get(resource_type)
        if joined is None:
            consented = self.consents.get(resource_type, NOTHING)
            joined = self._joined[resource_type] = all_of((self.right_to(resource_type), consented))
        return joined

    def right_to(self, resource_type: str) -> Predicate:
        """Return what may be seen of ``resource_type`` by right, consents apart."""
        return self.by_type.get(resource_type, self.default)

    @property
    def is_everything(self) -> bool:
        """True when nothing at all is hidden."""
        return self.consents is None and self.is_everything_by_right

    @property
    def is_everything_by_right(self) -> bool:
        """True when nothing at all is hidden by right, whatever consents leave."""
        return not self.by_type and isinstance(self.default, Everything)

    def restrict(self, resource_type: str, predicate: Predicate) -> Predicate:
        """Join ``predicate`` with what may be seen, at this resource and at every hop of a chain.

        A hop to what may not be seen leads nowhere; :meth:`closed_hop` finds one that never leads anywhere.
        """
        if self.is_everything:
            return predicate
        asked = self._hops(predicate)
        return all_of((still_to_ask(self.of(resource_type), asked, resource_type), asked))

    def _hops(self, predicate: Predicate) -> Predicate:  # noqa: PLR0911 - one case for each node
        if isinstance(predicate, Chain):
            return Chain(predicate.param, predicate.type, self.restrict(predicate.type, predicate.inner))
        if isinstance(predicate, Has):
            return Has(predicate.type, predicate.param, self.restrict(predicate.type, predicate.inner))
        if isinstance(predicate, Contains):
            # What is contained is seen with its container, and by the rights to that.
            return Contains(predicate.type, self._hops(predicate.inner))
        if isinstance(predicate, All):
            return all_of(self._hops(item) for item in predicate.items)
        if isinstance(predicate, AnyOf):
            return any_of(self._hops(item) for item in predicate.items)
        if isinstance(predicate, Not):
            return negate(self._hops(predicate.item))
        return predicate

    def closed_hop(self, predicate: Predicate) -> str | None:
        """Return the type of a hop of ``predicate`` of which nothing at all may be seen; None without one.

        Rights alone count: whether consents leave anything is nothing to be told. Where a chain names no
        type, it goes by every type that its reference may lead to: it is closed when all of them are.
        """
        if isinstance(predicate, (Chain, Has)):
            closed = isinstance(self.right_to(predicate.type), Nothing)
            return predicate.type if closed else self.closed_hop(predicate.inner)
        if isinstance(predicate, (All, AnyOf)):
            found = [self.closed_hop(item) for item in predicate.items]
            closed_ones = [type_ for type_ in found if type_ is not None]
            is_closed = all(found) if _is_one_chain(predicate) else any(found)
            return closed_ones[0] if closed_ones and is_closed else None
        if isinstance(predicate, Contains):
            return self.closed_hop(predicate.inner)
        return self.closed_hop(predicate.item) if isinstance(predicate, Not) else None

    @property
    def fingerprint(self) -> bytes:
        """Sixteen bytes that differ when the holder or anything that may be seen differs, for page links."""
        if not self._digests:
            parts = [
                self.holder,
                repr(self.default),
                *(f"{name}={self.by_type[name]!r}" for name in sorted(self.by_type)),
            ]
            self._digests.append(hashlib.blake2b("\n".join(parts).encode(), digest_size=16).digest())
        return self._digests[0]


def _is_one_chain(predicate: All | AnyOf) -> bool:
    """Tell whether these are the ways of one chain whose type was not named."""
    params = {item.param if isinstance(item, Chain) else None for item in predicate.items}
    return isinstance(predicate, AnyOf) and len(params) == 1 and None not in params
