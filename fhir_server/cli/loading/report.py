"""What became of a load: how much went in, what was refused and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.text import Text

from fhir_server.faults import Issue

_SHOWN = 20
"""Refusals printed; the file that ``--report`` names holds all of them."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that was not loaded: file, place in it, HTTP status and the issues that say why."""

    file: str
    where: str
    status: int
    issues: tuple[Issue, ...]


@dataclass(slots=True)
class Report:
    """The sums of one load. ``already``: pieces that an earlier load had finished, left alone this time."""

    loaded: int = 0
    already: int = 0
    sources: int = 0
    seconds: float = 0.0
    refused: list[Refusal] = field(default_factory=list)

    def tree(self) -> dict[str, Any]:
        """Return the report as plain data for JSON."""
        return asdict(self)

    def show(self, console: Console) -> None:
        """Print the report: first what was refused, then the sums."""
        for refusal in self.refused[:_SHOWN]:
            place = f"{refusal.file}, {refusal.where}" if refusal.where else refusal.file
            console.print(Text(f"Refused: {place} ({refusal.status})"), soft_wrap=True)
            for line in _lines(refusal.issues):
                console.print(Text(f"    {line}"), soft_wrap=True)
        if len(self.refused) > _SHOWN:
            console.print(f"... and {len(self.refused) - _SHOWN:,} more; --report FILE writes all of them.")
        rate = f", {self.loaded / self.seconds:,.0f}/s" if self.loaded and self.seconds else ""
        console.print(
            f"Loaded {self.loaded:,} resources in {self.seconds:,.1f} s{rate}; "
            f"refused {len(self.refused):,}; {self.already:,} pieces were loaded before."
        )


def _lines(issues: Iterable[Issue]) -> Iterable[str]:
    for issue in issues:
        place = f" [{', '.join(issue.expression)}]" if issue.expression else ""
        yield f"{issue.code}: {issue.diagnostics}{place}"
