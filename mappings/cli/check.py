"""``fhir-map check``: do the maps hold? Schema, FHIR's elements, laws, a second opinion, coverage."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from random import Random
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from mappings.cli.options import MapsOption, OverlayOption, err, format_of, out
from mappings.engine import schema
from mappings.engine.codes import Tables
from mappings.engine.coverage import coverage
from mappings.engine.laws import broken, fields_of, some_message
from mappings.engine.model import Context, Map, Refused
from mappings.engine.run import read
from mappings.engine.yamltree import read as read_yaml

_CONTEXT = Context(source="check")


def check(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Map files (YAML).", exists=True, dir_okay=False)
    ] = None,
    format_: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="Check all maps of a format.")
    ] = "",
    maps: MapsOption = None,
    overlay: OverlayOption = None,
    examples: Annotated[int, typer.Option(help="Messages that are made up for each map.", min=0)] = 30,
    seed: Annotated[int, typer.Option(help="Of the made-up messages.")] = 0,
    table: Annotated[bool, typer.Option(help="Show which field goes where.")] = True,
) -> None:
    """Check maps: schema with line and column, FHIR's elements, laws on made-up messages, coverage."""
    if not files and not format_ and maps is None:
        raise typer.BadParameter("name map files, --format FORMAT, or --maps DIR.")
    failed = False
    for map_ in _maps(files or [], format_, maps, overlay or []):
        if isinstance(map_, Refused):
            failed = True
            for issue in map_.issues:
                err.print(f"{issue.where}: {issue.sentence}", markup=False, highlight=False, soft_wrap=True)
            continue
        needed = _needed(map_, format_, maps)
        found = list(dict.fromkeys(_problems(map_, examples, seed, needed)))
        failed = failed or bool(found)
        for sentence in found:
            err.print(
                f"{map_.file}: {sentence}" if not sentence.startswith(map_.file) else sentence,
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
        if table:
            out.print(_table(map_, format_ or map_.format, maps))
        state = "does not hold" if found else "holds"
        err.print(f"{map_.name} {state} ({examples} made-up messages).", highlight=False)
    if failed:
        raise typer.Exit(1)


def _maps(files: list[Path], format_: str, maps: Path | None, overlays: list[str]) -> Iterator[Map | Refused]:
    for file in files:
        try:
            yield schema.load(file, _tables(file))
        except Refused as refused:
            yield refused
    if format_ or maps is not None:
        try:
            yield from format_of(format_ or "table", maps).maps(overlays)
        except Refused as refused:
            yield refused


def _tables(file: Path) -> Tables | None:
    """Return the code tables that a map file may name: those of the format that it says it is of."""
    spot = read_yaml(file.read_text(encoding="utf-8"), str(file))
    name = spot.value["format"].value if isinstance(spot.value, dict) and "format" in spot.value else "table"
    return None if name == "table" else format_of(str(name), None).tables


def _needed(map_: Map, format_: str, maps: Path | None) -> Collection[str]:
    try:
        return format_of(format_ or map_.format, maps).needed(map_)
    except Refused:
        return ()


def _problems(map_: Map, examples: int, seed: int, needed: Collection[str]) -> Iterator[str]:
    # FHIR's types take half a second to import, which no other command needs.
    from mappings.engine.r4b import validate, wrong_paths  # noqa: PLC0415 - see above

    for at, sentence in wrong_paths(map_):
        yield f"{at}: {sentence}"
    random = Random(seed)  # noqa: S311 - made-up messages, no secrets
    every = fields_of(map_).samplers
    for _ in range(examples):
        for each in broken(map_, some_message(map_, random, needed=needed)):
            yield str(each)
        # What FHIR requires may come from a field that is not always there: here all of them are.
        for entry in read(map_, some_message(map_, random, needed=every), _CONTEXT).bundle["entry"]:
            yield from validate(entry["resource"])


def _table(map_: Map, format_: str, maps: Path | None) -> Table:
    try:
        fields = format_of(format_, maps).fields(map_)
    except Refused:
        fields = map_.columns or None
    table = Table(
        title=f"{map_.name}: {map_.format} {map_.kind} {map_.direction}".strip(), title_justify="left"
    )
    for head in ("Source field", "", "FHIR element"):
        table.add_column(head, overflow="fold")
    for line in coverage(map_, fields):
        style = "" if line.element else "yellow" if line.how == "not mapped" else "dim"
        table.add_row(Text(line.source), Text(line.how), Text(line.element), style=style)
    return table
