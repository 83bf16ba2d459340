"""Policy classes: which rule each patient is under at which time, so that a query can ask for it.

A rule is bytes to the store, the same for all patients whose consents come to the same, and has a number:
its class. Numbers begin at 1, grow, are never used again, and never mean another rule. Class 0 is that of
patients who are under none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Span:
    """A time in which a patient is in one class: from ``start`` (ms since the epoch) until before ``end``."""

    start: int
    end: int
    number: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What is written down of one patient (logical id): version 0 with nothing else when nothing is."""

    patient: str
    version: int = 0
    spans: tuple[Span, ...] = ()
    note: bytes = b""


class Policies(Protocol):
    """The policy classes of a store. ``Store.commit`` changes them. Faults: UNAVAILABLE."""

    async def standing(self, patients: Iterable[str]) -> list[Standing]:
        """Return how each of ``patients`` (logical ids) stands, in that order."""

    async def classes(self, patients: Iterable[str]) -> Mapping[str, int]:
        """Return the class that each of ``patients`` is in now."""

    async def rules(self, after: int = 0) -> list[tuple[int, bytes]]:
        """Return the numbers and rules of the classes with greater numbers than ``after``, in order."""

    async def used(self) -> frozenset[int]:
        """Return the numbers of the classes that some patient is in now or will be in later.

        A class that is left may be entered again, with the number that it had. Whoever remembers what was
        returned asks again once ``Stamps.governing`` has changed: every commit that reclasses changes it.
        """
