"""``python -m tests.bench.scaling_page``: put the figures of scaling.json into docs/scaling.md."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from tests.bench.growth import CACHE_BYTES, EARLIER, READ_AGAIN, ROOT
from tests.bench.scaling import RESULTS

PAGE: Final = ROOT / "docs" / "scaling.md"
_MARK: Final = re.compile(r"<!-- figures: (\w+) -->\n.*?<!-- end of figures -->", re.DOTALL)

Results = dict[str, Any]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def size(count: float) -> str:
    """Write bytes with a unit that leaves one to three digits before the point."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} PB"


def footprint(results: Results) -> str:
    """Tell what a resource takes, by part and by index."""
    told = results["footprint"]
    rows = [["document", "1", f"{told['bytes']['document']:,.0f}"]]
    rows.append(["of it, sealed payload", "", f"{told['bytes']['payload']:,.0f}"])
    rows.append(["its place (`identity`)", "1", f"{told['identity_bytes']:,}"])
    rows += [
        [f"index `{name}`", f"{told['entries'][name]:,.1f}", f"{taken:,.0f}"]
        for name, taken in sorted(told["index_bytes"].items(), key=lambda item: -item[1])
    ]
    entries, taken = sum(told["entries"].values()), sum(told["index_bytes"].values())
    rows.append(["all indexes", f"{entries:,.1f}", f"{taken:,.0f}"])
    rows.append(["an earlier version (`history`)", "1", f"{told['bytes']['earlier version']:,.0f}"])
    said = f"Means of {told['resources']:,} resources of the demo data."
    return f"{said}\n\n{_table(['part', 'entries', 'bytes'], rows)}"


def growth(results: Results) -> str:
    """Tell what many resources take."""
    rows = [
        [
            f"{row['resources']:,}",
            *(size(row[name]) for name in ("documents", "history", "indexes", "hot")),
            f"{row['shards']}",
            size(row["per_shard"]),
        ]
        for row in results["growth"]
    ]
    said = (
        f"Assumed: {EARLIER} earlier versions for each resource, {READ_AGAIN:.0%} of the documents read or"
        f" written again within a month, members with a cache of {size(CACHE_BYTES)}. Each shard is three"
        " members, so machines and disks are three times these."
    )
    head = ["resources", "documents", "history", "indexes", "hot", "shards", "a shard holds"]
    return f"{said}\n\n{_table(head, rows)}"


def world(results: Results) -> str:
    """Tell what was simulated, in words."""
    told = results["simulation"]["world"]
    return (
        f"{told['patients']:,} patients with {results['simulation']['documents']:,} records (mean"
        f" {told['records']:.0f}, lognormal with σ = {told['sigma']}), in {told['hospitals']:,} hospitals and"
        f" {told['regions']} regions whose sizes fall off by rank (exponents {told['zipf']} and"
        f" {told['region_zipf']}), {told['unbound']:.0%} of the resources about nobody, seed"
        f" {told['seed']}. The largest hospital has {results['simulation']['largest_hospital']:.1%} of all"
        f" records, the patient with the most has {results['simulation']['patients']['largest_documents']:,}"
        f" ({size(results['simulation']['patients']['largest_bytes'])});"
        f" {results['simulation']['patients']['over_a_chunk']} patients have more than a chunk"
        f" of {told['chunk'] / 2**20:.0f} MiB."
    )


def balance(results: Results) -> str:
    """Tell how even the shards are by each key."""
    rows = [
        [f"{row['shards']}", *(f"{row[name]:.2f}" for name in ("digest", "balanced", "region", "hospital"))]
        for row in results["simulation"]["balance"]
    ]
    head = ["shards", "patient", "patient, balanced", "region and patient", "hospital"]
    return f"{world(results)}\n\n{_table(head, rows)}"


def adding(results: Results) -> str:
    """Tell what moves when a shard is added."""
    rows = [
        [f"{row['shards']} → {row['shards'] + 1}", f"{row['share']:.1%}", f"{row['uneven']:.2f}"]
        for row in results["simulation"]["adding"]
    ]
    return _table(["shards", "of all documents move", "fullest / mean afterwards"], rows)


def moving(results: Results) -> str:
    """Tell what patients who move cost where the region is in the key."""
    told, share = results["simulation"]["moving"], results["simulation"]["world"]["movers"]
    return (
        f"If {share:.0%} of the patients move to another region in a year, {told['share']:.1%} of all"
        f" documents move: {told['mean']:.0f} for a patient in the mean, {told['p99']:,} or more for one in a"
        f" hundred, {told['most']:,} at most."
    )


def asked(results: Results) -> str:
    """Tell how many shards a request asks."""
    rows = [
        [f"{row['shards']}", *(f"{row[name]}" for name in ("read", "patient", "all")), f"{row['slow']:.0%}"]
        for row in results["simulation"]["asked"]
    ]
    head = ["shards", "read", "one patient's records", "a search of all", "meets a shard's slowest 1 %"]
    return _table(head, rows)


def sqlite(results: Results) -> str:
    """Tell what was measured of the embedded store."""
    told = results["sqlite"]
    rows = [[name, figure["value"], figure["unit"]] for name, figure in told["figures"].items()]
    if large := told["large"]:
        grown = f"load while the store grows to {large['resources']:,} resources"
        rows += [
            [f"{grown}: first tenth", f"{large['first_tenth']:,.0f}", "resources/s"],
            [f"{grown}: last tenth", f"{large['last_tenth']:,.0f}", "resources/s"],
        ]
    return f"{told['said']}\n\n{_table(['figure', 'value', 'unit'], rows)}"


def mongo(results: Results) -> str:
    """Tell what was measured of MongoDB on the stand-in."""
    if not results["mongo"]:
        return "Not measured yet: `python -m tests.bench.mongo`."
    rows: dict[str, dict[str, str]] = {}
    for figure in results["mongo"]:
        operation, _, what = figure["figure"].rpartition(": ")
        told = f"{figure['value']:,}" + (" a resource" if figure["unit"] == "µs/resource" else "")
        rows.setdefault(operation, {})[what] = told
    columns = ("round trips", "sent", "received", "processor time of the server")
    head = ["operation", "round trips", "sent, KiB", "received, KiB", "server's processor time, µs"]
    cells = [[name, *(told.get(what, "") for what in columns)] for name, told in rows.items() if name]
    return _table(head, cells)


SECTIONS: Final[dict[str, Callable[[Results], str]]] = {
    part.__name__: part for part in (footprint, growth, balance, adding, moving, asked, sqlite, mongo)
}


def replaced(page: str, results: Results) -> str:
    """Return the page with every block of figures made anew. Raises KeyError for a block nobody makes."""
    return _MARK.sub(
        lambda mark: f"<!-- figures: {mark[1]} -->\n{SECTIONS[mark[1]](results)}\n<!-- end of figures -->",
        page,
    )


def main() -> None:
    """Rewrite the page."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    PAGE.write_text(replaced(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")


if __name__ == "__main__":
    main()
