"""What is measured: figures, aims, and the statistics that make one of many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any


def percentile(sorted_values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile: the least value that ``share`` (0 to 1) of all do not exceed.

    It is always a value that was measured, never one in between. Raises ValueError when there is none.
    """
    if not sorted_values:
        raise ValueError("a percentile needs at least one value")
    if not 0 <= share <= 1:
        raise ValueError("a share lies between 0 and 1")
    return sorted_values[max(0, ceil(share * len(sorted_values)) - 1)]


def median(values: Sequence[float]) -> float:
    """Return the lower median: with an even number of values the lesser of the two in the middle."""
    return percentile(sorted(values), 0.5)


@dataclass(frozen=True, slots=True)
class Aim:
    """What a figure should reach. Every part that is given must hold; ``times_peer`` is value / peer."""

    at_least: float | None = None
    at_most: float | None = None
    times_peer: float | None = None

    def __str__(self) -> str:
        parts = []
        if self.at_least is not None:
            parts.append(f"≥ {self.at_least:,g}")
        if self.at_most is not None:
            parts.append(f"≤ {self.at_most:,g}")
        if self.times_peer is not None:
            parts.append(f"≥ {self.times_peer:g}× peer")
        return ", ".join(parts)

    def met(self, value: float, ratio: float | None) -> bool | None:
        """Tell whether the aim is met; None when only the missing peer could tell."""
        if self.at_least is not None and value < self.at_least:
            return False
        if self.at_most is not None and value > self.at_most:
            return False
        if self.times_peer is None:
            return True
        return None if ratio is None else ratio >= self.times_peer


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table: what, how much, of what unit, how much the peer does, what is aimed at."""

    name: str
    value: float
    unit: str
    peer: float | None = None
    aim: Aim | None = None

    @property
    def ratio(self) -> float | None:
        """Value / peer. Above 1 is better for rates and worse for times and sizes; None without a peer."""
        return self.value / self.peer if self.peer else None

    @property
    def met(self) -> bool | None:
        """Whether the aim is met; None without an aim, or when the peer that it needs was not measured."""
        return None if self.aim is None else self.aim.met(self.value, self.ratio)

    def as_json(self) -> dict[str, Any]:
        """Return the row as ``bench-results.json`` holds it."""
        return {
            "figure": self.name,
            "value": significant(self.value),
            "unit": self.unit,
            "peer": None if self.peer is None else significant(self.peer),
            "ratio": None if self.ratio is None else significant(self.ratio),
            "aim": None if self.aim is None else str(self.aim),
            "met": self.met,
        }


def significant(value: float) -> float:
    """Round to four significant digits: the noise of a shared machine is far above the fifth."""
    return float(f"{value:.4g}")
