"""Where the log lies: what it needs of a place that keeps chains, their segments and what is remembered.

Two places are known: folders (:mod:`files`) and a MongoDB database (:mod:`mongodb`). All methods block, so
they are called in threads. They raise OSError, or Fault(UNAVAILABLE) with a sentence, when the place cannot
be reached or written to. A shelf knows bytes alone: whether they are true is found out elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

import msgspec


class Lost(Exception):
    """The chain is another process's now: this one was paused or cut off for longer than its lease."""


class Segment(NamedTuple):
    """A segment: its chain, and its number from 1."""

    chain: str
    number: int

    @property
    def name(self) -> str:
        """How people are told of it."""
        return f"{self.chain}/{self.number:08d}"


class Position(msgspec.Struct, frozen=True):
    """Up to where a chain is indexed: segment, byte and number of the next entry, hash of the last one."""

    segment: int
    offset: int
    count: int
    hash: str


class Hold(Protocol):
    """A chain, as its only owner has it. Every method but :meth:`release` raises :class:`Lost`.

    One segment at a time is open: :meth:`begin`, :meth:`append` again and again, :meth:`end`, :meth:`close`.
    """

    @property
    def chain(self) -> str:
        """Its name."""

    def confirm(self) -> None:
        """Return when the chain is surely this owner's."""

    def begin(self, segment: Segment, header: bytes) -> None:
        """Open a new segment that starts with ``header``; it is durable on return."""

    def append(self, frames: bytes, offset: int) -> None:
        """Make a group durable at byte ``offset``, which is where the open segment ends.

        Who reads meanwhile sees none of it or all (of a group beyond what the place takes at once, a part
        that ends within a frame). After any exception it is not known whether the group is there.
        """

    def abandon(self, durable: int) -> None:
        """Forget the open segment after a failure; what stands behind byte ``durable`` may go."""

    def end(self, segment: Segment, seen: int, size: int) -> bool:
        """See that nothing can ever be appended to a segment, and cut it from ``seen`` bytes to ``size``.

        False when it has grown beyond ``seen`` meanwhile: read it again.
        """

    def set_aside(self, segment: Segment, torn: bytes) -> None:
        """Keep bytes that could not be read for whoever looks into it."""

    def close(self, segment: Segment, statement: bytes, final: str) -> None:
        """Keep the signed statement of a segment that was ended, and its ``final`` hash as the newest one."""

    def release(self) -> None:
        """Give the chain free."""


class Turn(Protocol):
    """The right to index, which one process at a time has."""

    def acquire(self) -> bool:
        """Take the turn; False while another process has it."""

    def is_mine(self) -> bool:
        """Tell whether this process still has the turn."""

    def release(self) -> None:
        """Let another process index; nothing happens without a turn."""


class Shelf(Protocol):
    """A place where a log lies."""

    def chains(self) -> list[str]:
        """Return the names of the chains, in order."""

    def segments(self, chain: str, least: int = 1) -> list[Segment]:
        """Return the segments of a chain from number ``least`` on, in order, those that were pruned too."""

    def header(self, segment: Segment) -> bytes | None:
        """Return the first line of a segment, or more; None when its entries are not there."""

    def content(self, segment: Segment, start: int = 0) -> bytes | None:
        """Return the bytes of a segment from ``start``, 0 or behind the header; None as :meth:`header`."""

    def statement(self, segment: Segment) -> bytes | None:
        """Return the statement of a segment; None when it was not closed."""

    def torn(self, segment: Segment) -> str:
        """Return how to find what was set aside of a segment; "" when nothing is there."""

    def note(self, chain: str) -> bytes | None:
        """Return the note of what was pruned of a chain."""

    def prune(self, chain: str, segments: Iterable[Segment], note: bytes) -> None:
        """Keep the note, then remove the entries of segments; their statements stay."""

    def known_key(self, name: str) -> str:
        """Return the name of the key that the log is signed with; ``name`` from now on if there is none."""

    def heads(self) -> dict[str, tuple[int, str]]:
        """Return, by chain, the number and final hash of the newest segment that was closed."""

    def positions(self) -> dict[str, Position]:
        """Return up to where the chains are indexed; none when there is no index."""

    def keep(self, chain: str, position: Position) -> None:
        """Remember up to where a chain is indexed."""

    def forget_index(self) -> None:
        """Remove the index and what is remembered of it; nobody has it open."""

    def is_free(self, chain: str) -> bool:
        """Tell whether no process holds a chain."""

    def is_idle(self) -> bool:
        """Tell whether no process holds any chain."""

    def take(self) -> Hold:
        """Take the first chain that is free, or a new one."""

    def turn(self) -> Turn:
        """Return the turn to index, not yet taken."""

    def close(self) -> None:
        """Let go of the place."""
