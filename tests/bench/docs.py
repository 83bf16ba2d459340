"""``python -m tests.bench.docs``: put the figures of ``bench-results.json`` into ``docs/benchmarks.md``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.bench.report import number

ROOT = Path(__file__).resolve().parents[2]
BEGIN = "<!-- figures: begin -->"
END = "<!-- figures: end -->"
_MET = {True: "yes", False: "**no**", None: ""}


def markdown(results: dict[str, Any]) -> str:
    """Return the results as a table with a sentence that says where they come from."""
    commit = (results["commit"] or "unknown")[:12]
    machine = f"with Python {results['python']} on {results['cpus']} cores ({results['system']})"
    lines = [
        f"Measured on {results['date'][:10]} at commit `{commit}` {machine}.",
        "",
        "| figure | value | peer | ratio | unit | aim | met |",
        "|---|--:|--:|--:|---|---|---|",
    ]
    for row in results["figures"]:
        peer = "" if row["peer"] is None else number(row["peer"])
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}×"
        cells = [
            row["figure"],
            number(row["value"]),
            peer,
            ratio,
            row["unit"],
            row["aim"] or "",
            _MET[row["met"]],
        ]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [f"\nNote: {note}" for note in results["notes"]]
    return "\n".join(lines)


def replaced(page: str, results: dict[str, Any]) -> str:
    """Return the page with the results between its two marks. Raises ValueError when a mark is missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page needs the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{markdown(results)}\n{END}{after}"


def main() -> None:
    """Rewrite the page."""
    page = ROOT / "docs" / "benchmarks.md"
    source = ROOT / "bench-results.json"
    if not source.exists():
        sys.exit("There is no bench-results.json: run `make bench` first.")
    results = json.loads(source.read_text(encoding="utf-8"))
    page.write_text(replaced(page.read_text(encoding="utf-8"), results), encoding="utf-8")


if __name__ == "__main__":
    main()
