"""``fhir-server check``: look for damage and for doors left open."""

import asyncio
import stat
from pathlib import Path

import typer

from fhir_server.cli import parts
from fhir_server.cli.options import DataOption, KeysOption, err, out, read_settings
from fhir_server.config import Settings


def check(data: DataOption = None, keys: KeysOption = None) -> None:
    """Look for damage in the store and for files that others may read; exit code 1 if any are found."""
    settings = read_settings(data=data, keys=keys)
    ring = parts.key_ring(settings)
    with err.status("Opening every record"):
        own = [] if settings.store else permissions(settings.data)
        findings = [*ring.findings(), *own, *asyncio.run(_damage(settings))]
    for finding in findings:
        out.print(f"- {finding}", markup=False, soft_wrap=True)
    out.print(
        f"{len(findings)} findings." if findings else "Sound: every record opens, nothing is left open."
    )
    if findings:
        raise typer.Exit(1)


def permissions(folder: Path) -> list[str]:
    """Say which of the data folder's own files others may reach, a sentence each; [] = none.

    The payloads are sealed, but sizes and times tell something too. Keys are looked at by the key ring.
    """
    if not _open_to_others(folder):
        # Whoever cannot enter the folder reaches no file in it.
        return []
    return [
        "The data folder can be entered by others: set its mode to 0700.",
        *(
            f"{path.name} in the data folder can be read by others: set its mode to 0600."
            for path in sorted(folder.iterdir())
            if path.is_file() and _open_to_others(path)
        ),
    ]


def _open_to_others(path: Path) -> bool:
    return bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


async def _damage(settings: Settings) -> list[str]:
    async with parts.opened(settings) as service:
        return await service.store.check()
