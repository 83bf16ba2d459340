"""From what one resource takes to what many take; what was measured of the embedded store and of MongoDB."""

from __future__ import annotations

import json
import re
from math import ceil
from pathlib import Path
from statistics import fmean
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
MONGO: Final = ROOT / "bench-mongo-results.json"
SIZES: Final = (10**6, 10**7, 10**8, 10**9)
EARLIER: Final = 0.3
"""Earlier versions for each resource: assumed. Results and invoices seldom change, stays and plans do."""
READ_AGAIN: Final = 0.05
"""Share of the documents that are read or written within a month: assumed, patients who come."""
CACHE_BYTES: Final = 64 * 10**9
"""WiredTiger's cache of a member: half of a machine of 128 GB."""

_DIGEST_ENTRY = 16
"""Bytes of an index entry whose key is one digest (:func:`footprint.entry_bytes`)."""
_FIGURES: Final = (
    "reads, 32 connections",
    "reads, 32 connections, --workers 2",
    "patient + _sort=-date, 20 entries, 32 connections, --workers 2",
    "single creates, 16 clients",
    "transactions of 100, 16 clients, --workers 2",
    "reads while ingesting, p99",
    "memory after the load, --workers 2",
    "disk per resource",
)


def growth(footprint: dict[str, Any]) -> list[dict[str, float]]:
    """Return, for each of :data:`SIZES`, bytes of documents, history and indexes, what is hot, shards.

    ``hot``: all index entries, since a new digest falls anywhere among the old ones, and the documents that
    are read again. ``shards``: so many that their caches hold what is hot.
    """
    per_document = footprint["bytes"]["document"] + footprint["identity_bytes"]
    per_index = sum(footprint["index_bytes"].values()) + 2 * _DIGEST_ENTRY
    per_earlier = footprint["bytes"]["earlier version"] + footprint["history_index_bytes"]
    rows = []
    for resources in SIZES:
        hot = resources * (per_index + READ_AGAIN * per_document)
        shards = max(1, ceil(hot / CACHE_BYTES))
        total = resources * (per_document + per_index + EARLIER * per_earlier)
        rows.append(
            {
                "resources": resources,
                "documents": resources * per_document,
                "history": resources * EARLIER * per_earlier,
                "indexes": resources * per_index,
                "hot": hot,
                "shards": shards,
                "per_shard": total / shards,
            }
        )
    return rows


def leaving() -> dict[str, Any]:
    """Return what was measured of the embedded store: docs/benchmarks.md, and a large one if there is.

    ``large``: how the rate of a load fell while a store grew to so many resources (`make bench-large`).
    """
    page = (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")
    told = re.search(r"^Measured on .*$", page, re.MULTILINE)
    rows = {
        cells[0]: {"value": cells[1], "unit": cells[4]}
        for line in page.splitlines()
        if line.startswith("| ") and len(cells := [cell.strip() for cell in line.strip("|").split("|")]) == 7
    }
    return {
        "said": told[0] if told else "",
        "figures": {name: rows[name] for name in _FIGURES if name in rows},
        "large": _large(ROOT / ".bench/large/state.json"),
    }


def _large(path: Path) -> dict[str, float] | None:
    if not path.exists():
        return None
    state = json.loads(path.read_text(encoding="utf-8"))
    rates = [rate for _, rate in state["curve"]]
    tenth = max(1, len(rates) // 10)
    return {
        "resources": state["resources"],
        "rate": state["resources"] / state["seconds"],
        "first_tenth": fmean(rates[:tenth]),
        "last_tenth": fmean(rates[-tenth:]),
    }


def mongo() -> list[dict[str, Any]]:
    """Return the figures that `python -m tests.bench.mongo` has left; none when it has not run."""
    if not MONGO.exists():
        return []
    figures: list[dict[str, Any]] = json.loads(MONGO.read_text(encoding="utf-8"))["figures"]
    return [{name: figure[name] for name in ("figure", "value", "unit")} for figure in figures]
