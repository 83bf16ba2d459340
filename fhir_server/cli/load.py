"""``fhir-server load``: take files in, through the one door, and say what was refused and why."""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from fhir_server.cli import parts
from fhir_server.cli.loading.journal import Journal
from fhir_server.cli.loading.loader import Loader
from fhir_server.cli.loading.sources import STANDARD_INPUT, Source, demo_source, find
from fhir_server.cli.options import DataOption, KeysOption, err, out, read_settings
from fhir_server.config import Settings
from fhir_server.demo import SEED

PathsArgument = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="PATH...",
        help="Files (Bundle, resource, NDJSON; .gz too), folders of them, - for standard input.",
    ),
]
DemoOption = Annotated[bool, typer.Option("--demo", help="Load the demo data.")]
AgainOption = Annotated[
    bool, typer.Option("--again", help="Forget what was loaded before and load everything anew.")
]
ReportOption = Annotated[
    Path | None, typer.Option("--report", metavar="FILE", help="Write the report as JSON.", dir_okay=False)
]


def load(
    paths: PathsArgument = None,
    data: DataOption = None,
    keys: KeysOption = None,
    demo: DemoOption = False,
    again: AgainOption = False,
    report: ReportOption = None,
) -> None:
    """Load resources; an interrupted load goes on where it stopped. Exit code 1 if any were refused."""
    if not paths and not demo:
        raise typer.BadParameter(
            "name a file or a folder, - for standard input, or --demo", param_hint="PATH..."
        )
    # Typer's own check (exists, allow_dash) takes "-" for a file that is missing.
    for path in paths or ():
        if path != STANDARD_INPUT and not path.exists():
            raise typer.BadParameter(f"{path} does not exist", param_hint="PATH...")
    settings = read_settings(data=data, keys=keys)
    # Keys first: a folder without them is no data folder, and no journal belongs there.
    parts.key_ring(settings)
    sources = find(paths or (), typer.get_binary_stream("stdin"))
    if demo:
        sources.append(demo_source(SEED))
    loader = asyncio.run(_load(settings, sources, again=again))
    if report is not None:
        report.write_text(
            json.dumps(loader.report.tree(), ensure_ascii=False, indent=2) + "\n", encoding="utf-8"
        )
    loader.report.show(out)
    if loader.stopped:
        raise loader.stopped
    if loader.report.refused:
        raise typer.Exit(1)


async def _load(settings: Settings, sources: list[Source], *, again: bool) -> Loader:
    decode = parts.decoder(settings)
    if settings.store:
        # The records are elsewhere; what this machine has loaded of its own files is noted here all the same.
        settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    with Journal(settings.data, again=again) as journal, _progress() as progress:
        async with parts.opened(settings) as service:
            total = sum(source.size for source in sources)
            task = progress.add_task("Loading", total=total or None, loaded=0)
            passed = 0

            def hear(reached: int, loaded: int) -> None:
                # Requests end in any order; the bar only goes forward.
                completed = max(progress.tasks[0].completed, passed + reached)
                progress.update(task, completed=completed, loaded=loaded)

            loader = Loader(service.run, decode, journal, hear)
            for source in sources:
                await loader.load(source)
                if loader.stopped:
                    break
                passed += source.size
            return loader


class _RateColumn(ProgressColumn):
    """Resources loaded in a second, since the start."""

    def render(self, task: Task) -> Text:
        """Draw the rate."""
        rate = task.fields["loaded"] / task.elapsed if task.elapsed else 0.0
        return Text(f"{rate:,.0f}/s")


def _progress() -> Progress:
    """Make a bar with how much, how fast and how long still; nothing is drawn when nobody looks."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(show_speed=False),
        TextColumn("{task.fields[loaded]:,} resources"),
        _RateColumn(),
        TimeRemainingColumn(),
        console=err,
        disable=not err.is_terminal,
    )
