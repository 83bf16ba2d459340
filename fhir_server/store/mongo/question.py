"""A question about one type: its predicate, and what must be known before it can be one filter.

Two kinds of conditions are no filters of a document: what a link leads to, and what only an opened resource
tells. Each is answered beforehand by the digests of those that satisfy it where they are few enough
(:mod:`asking`, :mod:`opened`); a link that leads to more is followed by the engine (:mod:`links`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from bson.int64 import Int64

from fhir_server.faults import Fault, Kind
from fhir_server.search.predicate import (
    All,
    AnyOf,
    Chain,
    Contains,
    Everything,
    Has,
    Not,
    Predicate,
    Together,
    Where,
)
from fhir_server.store.mongo.keys import Keys
from fhir_server.store.mongo.leaves import Leaf, Leaves, is_list, leaf

MOST_HOPS: Final = 12
"""Links in a row; the engine itself follows no more than twenty."""

Digests = Sequence[Int64]
Link = Chain | Has


@dataclass(slots=True)
class Question:
    """What is asked of ``type``. Nodes of ``predicate`` are known by their ids, while it is kept here.

    ``leaves``: its tests of values. ``links``: what is asked at the other end of each of its links.
    ``found``: what was answered beforehand: of a Chain the digests that it may lead to, of a Has the digests
    that are referred to, of a leaf that is not exact the digests of those that pass. ``among``: it is asked
    about these alone; None: about all of the type. ``places``: the compartments in which these lie, where
    that is known.
    """

    type: str
    predicate: Predicate
    leaves: dict[int, Leaf] = field(default_factory=dict)
    links: dict[int, tuple[Link, Question]] = field(default_factory=dict)
    found: dict[int, Digests] = field(default_factory=dict)
    among: Digests | None = None
    places: frozenset[Int64] | None = None

    @classmethod
    def of(cls, type_: str, predicate: Predicate, keys: Keys, hops: int = MOST_HOPS) -> Question:
        """Look through a predicate. Raises Fault(TOO_COSTLY) when its links lead too far."""
        asked = cls(type_, predicate)
        for node in nodes(predicate):
            if isinstance(node, (Chain, Has)):
                if not hops:
                    raise nested_too_deeply()
                asked.links[id(node)] = node, cls.of(node.type, node.inner, keys, hops - 1)
            else:
                asked.leaves[id(node)] = leaf(type_, node, keys)
        return asked

    def forget(self) -> None:
        """Forget what was answered, here and at the other ends of links."""
        self.found.clear()
        for _, inner in self.links.values():
            inner.among = None
            inner.forget()

    @property
    def to_open(self) -> dict[int, Leaves]:
        """The tests that only opened resources answer, and that are not answered yet."""
        return {
            id(node): node
            for node in nodes(self.predicate)
            if not isinstance(node, (Chain, Has))
            and not self.leaves[id(node)].exact
            and id(node) not in self.found
        }

    @property
    def opens(self) -> bool:
        """True when some resource must be opened for the answer, here or at the other end of a link."""
        inner = (asked.opens for _, asked in self.links.values())
        return not all(each.exact for each in self.leaves.values()) or any(inner)

    @property
    def asks_first(self) -> bool:
        """True when something must be known before it can be compiled."""
        return not all(each.exact for each in self.leaves.values()) or any(
            not isinstance(inner.predicate, Everything) for _, inner in self.links.values()
        )


def nested_too_deeply() -> Fault:
    """Make the fault of a search with more links, or more conditions within conditions, than can be."""
    return Fault(
        Kind.TOO_COSTLY,
        "The search, together with what limits you, is nested too deeply. Use fewer chained parameters.",
    )


def nodes(predicate: Predicate) -> Iterator[Leaves | Link]:
    """Yield the tests and links among a predicate, not those at the other ends of links."""
    match predicate:
        case Where() | Together() | Contains() | Chain() | Has():
            yield predicate
        case AnyOf() if is_list(predicate):
            yield predicate
        case All(items) | AnyOf(items):
            for item in items:
                yield from nodes(item)
        case Not(item):
            yield from nodes(item)
