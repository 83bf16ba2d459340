"""``fhir-map explain``: this element came from that field, by this rule."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from mappings.cli.convert import ENCODER, FilesArgument, FromOption
from mappings.cli.files import inputs
from mappings.cli.options import (
    FormatOption,
    MapsOption,
    OverlayOption,
    SourceOption,
    ZoneOption,
    context_of,
    err,
    format_of,
    out,
    pairs_of,
)
from mappings.engine.batches import Converted
from mappings.engine.batches import convert as converted
from mappings.engine.model import Context
from mappings.engine.trace import Origin, trace


def explain(
    files: FilesArgument,
    from_: FromOption,
    element: Annotated[
        str, typer.Option(metavar="PATH", help="Only elements that begin so: Patient.gender, Claim.item.")
    ] = "",
    maps: MapsOption = None,
    overlay: OverlayOption = None,
    source: SourceOption = "local",
    zone: ZoneOption = "+08:00",
    option: FormatOption = None,
    limit: Annotated[int, typer.Option(help="Messages that are explained.")] = 1,
) -> None:
    """Show for each FHIR element the source field that it came from and the line of the map that says so."""
    format_ = format_of(from_, maps)
    context = context_of(source, zone, archive=False)
    shown = 0
    for each in inputs(files, format_):
        with each.opened() as stream:
            found = format_.split(stream, {**each.where, **pairs_of(option)})
            for piece in converted(format_, found, context, overlay or [], rows=1):
                if piece.result is None:
                    for issue in piece.issues:
                        err.print(f"{issue.severity}: {issue.where}: {issue.sentence}", markup=False)
                    continue
                if shown == limit:
                    return
                shown += 1
                out.print(_table(piece, context, element))
    if not shown:
        raise typer.Exit(1)


def _table(piece: Converted, context: Context, element: str) -> Table:
    assert piece.map is not None
    assert piece.result is not None
    table = Table(title=piece.messages[0].where, title_justify="left")
    for head in ("FHIR element", "Value", "Source field", "Source value", "Rule"):
        table.add_column(head, overflow="fold")
    for origin in trace(piece.map, piece.messages[0], piece.result, context):
        if origin.element.startswith(element):
            table.add_row(*map(Text, _cells(origin)))
    for left in piece.result.unmapped:
        if not element:
            cells = ("", "", left.path, _said(left.value), "unmapped: kept in the archive")
            table.add_row(*map(Text, cells), style="yellow")
    return table


def _cells(origin: Origin) -> tuple[str, str, str, str, str]:
    return origin.element, _said(origin.value), origin.source, _said(origin.native), origin.rule


def _said(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return ENCODER.encode(value).decode()
