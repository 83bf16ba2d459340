"""``fhir-server keys``: list, rotate and retire the keys that seal the records."""

import asyncio

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fhir_server.cli import parts
from fhir_server.cli.init import SuiteOption
from fhir_server.cli.options import DataOption, KeysOption, err, out, read_settings
from fhir_server.config import Settings

keys = typer.Typer(help="List, rotate and retire the keys that seal the records.", no_args_is_help=True)


@keys.command()
def make(data: DataOption = None, keys: KeysOption = None, suite: SuiteOption = None) -> None:
    """Make the keys of records and audit, and no store: for servers that may only read their keys."""
    settings = read_settings(data=data, keys=keys, suite=suite)
    parts.new_key_ring(settings)
    parts.new_audit_keys(settings)
    out.print(f"Made keys in {settings.key_folder} ({settings.suite} suite). Keep a copy in a safe place.")


@keys.command(name="list")
def list_keys(data: DataOption = None, keys: KeysOption = None) -> None:
    """List the data keys by number, never by value."""
    ring = parts.key_ring(read_settings(data=data, keys=keys))
    out.print(f"Suite {ring.suite.name}")
    for number in ring.numbers:
        out.print(f"{number:>5}  {'seals and opens' if number == ring.active else 'opens only'}")


@keys.command()
def rotate(data: DataOption = None, keys: KeysOption = None) -> None:
    """Add a data key and seal every record under it; a server may run meanwhile."""
    settings = read_settings(data=data, keys=keys)
    number = parts.key_ring(settings).rotate()
    resealed = asyncio.run(_reseal(settings))
    out.print(f"Key {number} seals now; {resealed:,} payloads were sealed anew.")
    out.print("`fhir-server keys retire` removes the keys that seal nothing any more.")


@keys.command()
def retire(data: DataOption = None, keys: KeysOption = None) -> None:
    """Remove the data keys that seal nothing any more; backups sealed under them can then not be opened."""
    settings = read_settings(data=data, keys=keys)
    gone = asyncio.run(_retire(settings))
    if gone:
        out.print(f"Retired: {', '.join(str(number) for number in gone)}.")
    else:
        out.print("No key could be retired: every one of them still seals something.")


async def _reseal(settings: Settings) -> int:
    columns = (TextColumn("Sealing anew"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    async with parts.opened(settings) as service:
        with Progress(*columns, console=err, disable=not err.is_terminal) as progress:
            task = progress.add_task("", total=None)
            return await service.store.reseal(
                lambda done, total: progress.update(task, completed=done, total=total)
            )


async def _retire(settings: Settings) -> tuple[int, ...]:
    async with parts.opened(settings) as service:
        return await service.store.retire()
