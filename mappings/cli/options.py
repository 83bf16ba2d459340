"""What the commands share: options, consoles, and the format and context that the options mean."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mappings import formats
from mappings.engine.format import MapFormat
from mappings.engine.model import Context

err = Console(stderr=True)
out = Console(soft_wrap=True)

MapsOption = Annotated[
    Path | None,
    typer.Option("--maps", help="Folder of your own maps (format: table).", exists=True, file_okay=False),
]
OverlayOption = Annotated[
    list[str] | None,
    typer.Option("--overlay", metavar="NAME", help="A province's or vendor's deviations; repeats."),
]
SourceOption = Annotated[
    str,
    typer.Option("--source", metavar="NAME", help="The sending system; its numbers live in its namespace."),
]
ZoneOption = Annotated[str, typer.Option("--zone", metavar="+HH:MM", help="Offset of times that name none.")]
FormatOption = Annotated[
    list[str] | None,
    typer.Option(
        "--option", "-o", metavar="KEY=VALUE", help="An option of the format (encoding=gb18030); repeats."
    ),
]
SenderOption = Annotated[
    str,
    typer.Option("--organization", metavar="SYSTEM|VALUE", help="The sending organization, for Provenance."),
]


def format_of(name: str, maps: Path | None) -> MapFormat:
    """Return the format that the options name."""
    return formats.get(name, maps)


def pairs_of(words: list[str] | None) -> dict[str, str]:
    """Read ``KEY=VALUE`` words; misuse is told by Typer."""
    found = {}
    for word in words or ():
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"'{word}' is not KEY=VALUE.", param_hint="--option")
        found[key] = value
    return found


def context_of(
    source: str, zone: str, organization: str = "", *, archive: bool = True, media_type: str = ""
) -> Context:
    """Return the context that the options mean, at the present time."""
    if len(zone) != 6 or zone[0] not in "+-" or zone[3] != ":" or not (zone[1:3] + zone[4:]).isdecimal():
        raise typer.BadParameter(f"'{zone}' is not +HH:MM.", param_hint="--zone")
    system, _, value = organization.rpartition("|")
    return Context(
        source=source,
        zone=zone,
        now=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        organization=(system, value) if value else None,
        archive=archive,
        media_type=media_type or "application/octet-stream",
    )
