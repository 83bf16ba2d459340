"""``fhir-map diff``: there and back, and what is another value then."""

from __future__ import annotations

import typer
from rich.text import Text

from mappings.cli.convert import FilesArgument, FromOption
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
from mappings.engine.batches import convert as converted
from mappings.engine.laws import general, leaves
from mappings.engine.model import Message
from mappings.engine.report import Report
from mappings.engine.support import text
from mappings.engine.write import write


def diff(
    files: FilesArgument,
    from_: FromOption,
    maps: MapsOption = None,
    overlay: OverlayOption = None,
    source: SourceOption = "local",
    zone: ZoneOption = "+08:00",
    option: FormatOption = None,
    limit: int = typer.Option(20, help="Messages with differences that are shown."),
) -> None:
    """Convert to FHIR and back, and show which fields come back otherwise: lost in red, changed in yellow."""
    format_ = format_of(from_, maps)
    context = context_of(source, zone, archive=False)
    told = Report()
    differing = 0
    for each in inputs(files, format_):
        with each.opened() as stream:
            found = format_.split(stream, {**each.where, **pairs_of(option)})
            # One message at a time: rows that name the same resource would be one on the way back.
            for piece in converted(format_, found, context, overlay or [], rows=1):
                told.add(piece.issues)
                if piece.map is None or piece.result is None:
                    continue
                told.messages += 1
                told.add(piece.result.issues)
                written = write(piece.map, piece.result.bundle, context)
                back = written.messages[0] if len(written.messages) == 1 else None
                lines = list(_lines(piece.messages[0], back, {left.path for left in piece.result.unmapped}))
                if lines:
                    differing += 1
                    if differing <= limit:
                        out.print(Text(piece.messages[0].where, style="bold"))
                        for line in lines:
                            out.print(line)
    err.print(f"{told.messages} messages, {differing} come back otherwise.", highlight=False)
    for issue in told.issues:
        err.print(f"{issue.severity}: {issue.where}: {issue.sentence}", markup=False, highlight=False)
    if differing or told.failed:
        raise typer.Exit(1)


def _lines(before: Message, after: Message | None, unmapped: set[str]) -> list[Text]:
    left = dict(leaves(before))
    right = dict(leaves(after)) if after is not None else {}
    found = []
    for path in sorted(left.keys() | right.keys()):
        if path.startswith("$parameters."):
            continue
        one, other = text(left.get(path)), text(right.get(path))
        if one == other:
            continue
        if other is None:
            why = " (unmapped)" if general(path) in unmapped else ""
            found.append(Text(f"  - {path}: {one}{why}", style="red"))
        elif one is None:
            found.append(Text(f"  + {path}: {other}", style="green"))
        else:
            found.append(Text(f"  ~ {path}: {one} → {other}", style="yellow"))
    return found
