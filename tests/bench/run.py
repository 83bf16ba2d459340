"""``python -m tests.bench.run``: measure, print, write the results. ``--large`` fills a large store."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

from rich.console import Console

from tests.bench import consent, data, guarded, large, peer, report, servers
from tests.bench.checks import AnswerError
from tests.bench.job import LoadError
from tests.bench.measure import Bench
from tests.bench.plans import all_plans
from tests.bench.population import settle
from tests.bench.servers import Server, StartError

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".bench"
_POPULATION = 30


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.run", description=__doc__)
    parser.add_argument("--large", action="store_true", help="fill a large store and measure searches on it")
    parser.add_argument("--resources", type=int, default=1_000_000, help="with --large: how many resources")
    parser.add_argument("--fresh", action="store_true", help="with --large: begin anew, do not resume")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each measurement; the median counts")
    parser.add_argument("--no-peer", action="store_true", help="measure this server alone")
    parser.add_argument("--output", type=Path, help="where the results go; else bench-results.json")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    """Measure and report; 0 when everything was measured (aims met or not), 1 when something could not be."""
    chosen = arguments(words)
    console = Console(width=150 if not sys.stdout.isatty() else None)
    try:
        if chosen.large:
            output = chosen.output or FOLDER / "bench-large-results.json"
            large.measure(FOLDER / "large", chosen.resources, output, console, fresh=chosen.fresh)
        else:
            return _measure(chosen, console)
    except (StartError, LoadError, AnswerError) as error:
        console.print(f"Not measured: {error}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("Stopped. A large store goes on where it stopped when it is run again.")
        return 1
    return 0


def _measure(chosen: argparse.Namespace, console: Console) -> int:
    began = time.monotonic()
    folder = FOLDER / "run"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)

    def say(sentence: str) -> None:
        console.print(f"{time.monotonic() - began:6.1f} s  {sentence}", markup=False, highlight=False)

    bench = Bench(
        ours=servers.ours(folder / "ours"),
        two_workers=servers.ours(folder / "two-workers", workers=2),
        ceiling=servers.ceiling(folder / "ceiling"),
        peer=None,
        rounds=chosen.rounds,
        say=say,
    )
    if not chosen.no_peer:
        bench.peer = _peer(bench, folder)
    source = data.transactions()
    population = settle(source, _POPULATION)
    with bench.running():
        bench.fill(population)
        for plan in all_plans(source, population):
            bench.carry_out(plan)
        bench.weigh()
    try:
        bench.figures += guarded.measure(folder / "guarded", population, chosen.rounds, say)
    except (StartError, LoadError, AnswerError) as error:
        bench.notes.append(f"With tokens and audit, not measured: {error}")
        bench.failed = True
    bench.figures += consent.measure(folder / "consent", consent.PATIENTS, chosen.rounds, say)
    if not bench.failed:
        shutil.rmtree(folder, ignore_errors=True)  # else the logs say why
    title = f"{population.mean_bytes:,.0f} bytes of JSON per resource; {time.monotonic() - began:.0f} s"
    console.print(report.table(title, bench.figures))
    for note in bench.notes:
        console.print(f"Note: {note}", markup=False)
    output = chosen.output or ROOT / "bench-results.json"
    report.write(output, bench.figures, bench.notes)
    console.print(f"Written: {output.name}")
    return 1 if bench.failed else 0


def _peer(bench: Bench, folder: Path) -> Server | None:
    """Install the peer on first use; without it the run goes on and says so."""
    try:
        bench.say(f"installing {peer.REQUIREMENT} (first time only)")
        return peer.server(peer.install(FOLDER / "peer"), folder / "peer")
    except StartError as error:
        bench.notes.append(f"There was no peer: {error}")
        return None


if __name__ == "__main__":
    sys.exit(main())
