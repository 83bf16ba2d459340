"""``fhir-server backup`` and ``restore``: the data folder copied while it is served, and put back."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from fhir_server.cli import parts
from fhir_server.cli.options import DataOption, KeysOption, err, out, read_settings
from fhir_server.clock import now_ms
from fhir_server.config import Settings
from fhir_server.faults import Fault, Kind

PlaceArgument = Annotated[
    Path,
    typer.Argument(metavar="DEST", help="Folder for backups; each becomes a folder in it.", file_okay=False),
]
BackupArgument = Annotated[
    Path, typer.Argument(metavar="SRC", help="The folder of one backup.", file_okay=False, exists=True)
]
KeepOption = Annotated[
    int | None, typer.Option("--keep", min=1, help="Remove all but so many of the newest backups in DEST.")
]
QuickOption = Annotated[
    bool,
    typer.Option(
        "--quick", help="Look at keys and structure of the copy alone; do not open every record in it."
    ),
]


def backup(
    place: PlaceArgument,
    data: DataOption = None,
    keys: KeysOption = None,
    keep: KeepOption = None,
    quick: QuickOption = False,
) -> None:
    """Copy the data folder, without keys, while a server may run; exit code 1 if the copy is not sound."""
    from fhir_server.cli.backups import making  # noqa: PLC0415 - late, as in parts.py

    settings = _embedded(read_settings(data=data, keys=keys))
    ring = parts.key_ring(settings)

    with _spoken(), _bar() as bar:
        task = bar.add_task("Copying", total=None)

        def look(copy: Path) -> list[str]:
            bar.update(task, description="Checking the copy")
            return _damage(settings, copy, quick=quick)

        folder, findings = making.make(
            settings,
            ring,
            place,
            now_ms(),
            look,
            lambda done, total: bar.update(task, completed=done, total=total),
        )
    out.print(f"Made {folder}; its keys are not in it.", markup=False, soft_wrap=True)
    if findings:
        _tell(findings, "findings in the copy, as in the data; older backups stay. Look into it.")
    for gone in making.keep_newest(place, keep) if keep else ():
        out.print(f"Removed {gone}.", markup=False, soft_wrap=True)


def restore(
    source: BackupArgument, data: DataOption = None, keys: KeysOption = None, quick: QuickOption = False
) -> None:
    """Put a backup into an empty data folder and check it; the key folder must be there already."""
    from fhir_server.cli.backups import restoring  # noqa: PLC0415 - late, as in parts.py

    settings = _embedded(read_settings(data=data, keys=keys))
    ring = parts.key_ring(settings)
    with err.status("Comparing every file with what was written down"):
        told = restoring.restore(settings, ring, source)
    with err.status("Looking at what was put back"):
        findings = _damage(settings, settings.data, quick=quick)
    if findings:
        _tell(findings, f"findings; when the backup was made there were {told.findings}.")
    looked = "the file is whole" if quick else "every record opens"
    out.print(f"Restored what was stored up to {told.made}; {looked}.")
    out.print("`fhir-server audit verify` tells what the log has lost since then.")


def _tell(findings: list[str], words: str) -> NoReturn:
    for finding in findings:
        out.print(f"- {finding}", markup=False, soft_wrap=True)
    out.print(f"{len(findings)} {words}")
    raise typer.Exit(1)


def _embedded(settings: Settings) -> Settings:
    if settings.store.get_secret_value():
        raise Fault(
            Kind.BAD_REQUEST,
            "This command copies the embedded store. A MongoDB database is copied by mongodump and put back"
            " by mongorestore; docs/docker.md tells how.",
        )
    return settings


def _damage(settings: Settings, data: Path, *, quick: bool) -> list[str]:
    """Open the store in ``data`` as a server does, which proves the keys, and look for damage."""
    from fhir_server.store.sqlite.copying import damage_of  # noqa: PLC0415 - late, as in parts.py
    from fhir_server.store.sqlite.opening import FILE  # noqa: PLC0415

    moved = settings.model_copy(update={"data": data, "keys": settings.key_folder, "audit": False})
    found = asyncio.run(_opened(moved, quick=quick))
    return [*found, *damage_of(data / FILE)] if quick else found


async def _opened(settings: Settings, *, quick: bool) -> list[str]:
    async with parts.opened(settings) as service:
        return [] if quick else await service.store.check()


@contextmanager
def _bar() -> Iterator[Progress]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, disable=not err.is_terminal) as bar:
        yield bar


@contextmanager
def _spoken() -> Iterator[None]:
    """Turn what a damaged or locked store raises into a sentence."""
    from fhir_server.store.sqlite.trouble import unavailable  # noqa: PLC0415 - late, as in parts.py

    try:
        yield
    except sqlite3.Error as error:
        raise unavailable(error) from None
