"""``fhir-server check``: look for damage and for doors left open."""

from __future__ import annotations

import asyncio
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from fhir_server.cli import parts
from fhir_server.cli.options import DataOption, KeysOption, err, out, read_settings
from fhir_server.config import Settings
from fhir_server.faults import Fault

if TYPE_CHECKING:
    from fhir_server.store.api import Store

_MOST: Final = 100
"""References that lead to nobody that are told one by one."""


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
        return [*await service.store.check(), *await _misspelt(service.store, settings.base_url)]


async def _misspelt(store: Store, base: str) -> list[str]:
    """Say which records were stored with a subject that leads to nobody, so that no consent protects them."""
    # Late, as in parts.py.
    from fhir_server.resources.codec import decode  # noqa: PLC0415
    from fhir_server.search.misspelt import misspelt  # noqa: PLC0415
    from fhir_server.search.visibility import Visibility  # noqa: PLC0415

    found: list[str] = []
    # What cannot be opened the store's own check has told of.
    with suppress(Fault):
        async for stored in store.scan(Visibility.everything("check: whom records are about")):
            found += (f"{stored.type}/{stored.id}: {path}" for path in misspelt(decode(stored.body), base))
    words = "leads to nobody, so that no patient's consent protects the record: write Patient/[id] there."
    told = [f"{each} {words}" for each in found[:_MOST]]
    return told if len(found) <= _MOST else [*told, f"{len(found) - _MOST} more references lead to nobody."]
