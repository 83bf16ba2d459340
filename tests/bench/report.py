"""Say what was measured: a table for people, ``bench-results.json`` for programs."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from tests.bench.figures import Figure

_MET = {True: "[green]yes[/]", False: "[red]no[/]", None: ""}


def table(title: str, figures: Sequence[Figure]) -> Table:
    """Return the figures as a table."""
    made = Table(title=title, title_justify="left")
    made.add_column("figure")
    for column in ("value", "peer", "ratio"):
        made.add_column(column, justify="right")
    made.add_column("unit")
    made.add_column("aim")
    made.add_column("met")
    for figure in figures:
        made.add_row(
            figure.name,
            number(figure.value),
            "" if figure.peer is None else number(figure.peer),
            "" if figure.ratio is None else f"{figure.ratio:.2f}×",
            figure.unit,
            "" if figure.aim is None else str(figure.aim),
            _MET[figure.met],
        )
    return made


def number(value: float) -> str:
    """Write a value with as many digits as it is worth."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def results(figures: Sequence[Figure], notes: Sequence[str]) -> dict[str, Any]:
    """Return what ``bench-results.json`` holds."""
    return {
        "commit": commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "figures": [figure.as_json() for figure in figures],
        "notes": list(notes),
    }


def write(path: Path, figures: Sequence[Figure], notes: Sequence[str]) -> None:
    """Write the results as JSON."""
    path.write_text(
        json.dumps(results(figures, notes), ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )


def commit() -> str | None:
    """Return the commit that is checked out, with ``-dirty`` when files differ from it; None outside git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
