"""``fhir-map convert``: files of a format → Bundles, or Bundles → files of a format."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import msgspec
import typer

from mappings.cli.files import Input, inputs
from mappings.cli.options import (
    FormatOption,
    MapsOption,
    OverlayOption,
    SenderOption,
    SourceOption,
    ZoneOption,
    context_of,
    err,
    format_of,
    pairs_of,
)
from mappings.engine.batches import ROWS, Converted
from mappings.engine.batches import convert as converted
from mappings.engine.format import MapFormat
from mappings.engine.model import Context, Issue, Message, Refused
from mappings.engine.report import Report
from mappings.engine.write import write
from mappings.media import media_type

if TYPE_CHECKING:
    from mappings.cli.sending import Sender

ENCODER = msgspec.json.Encoder(decimal_format="number")
_DECODER = msgspec.json.Decoder(float_hook=Decimal)

FilesArgument = Annotated[list[str], typer.Argument(help="Files or folders; - is standard input.")]
FromOption = Annotated[str, typer.Option("--from", metavar="FORMAT", help="The files' format.")]


def convert(
    files: FilesArgument,
    from_: FromOption = "",
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help="Write Bundles as this format.")] = "",
    maps: MapsOption = None,
    overlay: OverlayOption = None,
    source: SourceOption = "local",
    zone: ZoneOption = "+08:00",
    organization: SenderOption = "",
    option: FormatOption = None,
    map_name: Annotated[
        str, typer.Option("--map", metavar="NAME", help="With --to: the map to write by.")
    ] = "",
    rows: Annotated[int, typer.Option(help="Rows of a table in one Bundle.", min=1, max=10_000)] = ROWS,
    archive: Annotated[
        bool, typer.Option(help="Keep the original: Binary, DocumentReference, Provenance.")
    ] = True,
    server: Annotated[
        str, typer.Option(help="Send the Bundles to this FHIR base URL instead of printing.")
    ] = "",
    token: Annotated[str, typer.Option(envvar="FHIR_TOKEN", help="Access token for --server.")] = "",
    journal: Annotated[
        Path | None,
        typer.Option(help="With --server: remembers what was sent; the same command goes on there."),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write the report as JSON to this file.")] = None,
) -> None:
    """Convert files to FHIR transaction Bundles on standard output, one a line; or, with --to, back."""
    if bool(from_) == bool(to):
        raise typer.BadParameter("say one of --from FORMAT and --to FORMAT.")
    if journal is not None and not server:
        raise typer.BadParameter("--journal belongs to --server.")
    told = Report()
    context = context_of(source, zone, organization, archive=archive)
    if to:
        back = _Back(format_of(to, maps), overlay or [], map_name, context, told)
        back.run(files, pairs_of(option))
    else:
        format_ = format_of(from_, maps)
        sender = _sender(server, token, context, journal) if server else None
        for each in inputs(files, format_):
            if not _one(each, format_, pairs_of(option), context, overlay or [], rows, told, sender):
                break
        if sender is not None:
            sender.finish(told)
    for line in told.lines():
        err.print(line, markup=False, highlight=False, soft_wrap=True)
    if report is not None:
        report.write_bytes(msgspec.json.format(ENCODER.encode(told.tree()), indent=2))
    if told.failed:
        raise typer.Exit(1)


def _sender(server: str, token: str, context: Context, journal: Path | None) -> Sender:
    # The HTTP client takes a while to import, and only sending needs it.
    from mappings.cli.sending import Sender  # noqa: PLC0415 - see above

    return Sender(server, token, context, journal)


def _one(
    each: Input,
    format_: MapFormat,
    options: dict[str, str],
    context: Context,
    overlays: list[str],
    rows: int,
    told: Report,
    sender: Sender | None,
) -> bool:
    """Convert one file; one that cannot be read at all does not keep the others from being converted.

    False when the server takes nothing more: then the other files need not be tried.
    """
    own = replace(context, media_type=media_type(options.get("where", each.name)))
    try:
        with each.opened() as stream:
            pieces = _pieces(each, stream, format_, options, own, overlays, rows, sender)
            for piece in pieces if sender is None else sender.send(each, pieces):
                _note(told, piece)
                if sender is None and piece.result is not None and piece.result.bundle["entry"]:
                    sys.stdout.buffer.write(ENCODER.encode(piece.result.bundle) + b"\n")
    except Refused as refused:
        told.add(refused.issues)
        return not any(issue.code == "transient" for issue in refused.issues)
    sys.stdout.buffer.flush()
    return True


def _pieces(
    each: Input,
    stream: BinaryIO,
    format_: MapFormat,
    options: dict[str, str],
    context: Context,
    overlays: list[str],
    rows: int,
    sender: Sender | None,
) -> Iterator[Converted]:
    given = {**each.where, **options}
    after = sender.after(each) if sender is not None else None
    if after is not None:
        given["after"] = after
    found: Iterator[Message | Issue] = format_.split(stream, given)
    return converted(format_, found, context, overlays, rows)


def _note(told: Report, piece: Converted) -> None:
    told.add(piece.issues)
    if piece.result is not None:
        told.add(piece.result.issues, piece.result.unmapped)
        told.messages += len(piece.messages)
        told.bundles += 1
        told.resources += len(piece.result.bundle["entry"])


class _Back:
    """Writes Bundles as one file of a format."""

    def __init__(
        self, format_: MapFormat, overlays: list[str], name: str, context: Context, told: Report
    ) -> None:
        self.format = format_
        self.maps = list(format_.maps(overlays))
        if name:
            self.maps = [map_ for map_ in self.maps if map_.name == name]
            if not self.maps:
                raise Refused(Issue("fatal", "not-found", "--map", f"{format_.name} has no map '{name}'."))
        self.context = context
        self.told = told

    def run(self, files: list[str], options: dict[str, str]) -> None:
        """Write all Bundles of the files to standard output."""
        messages: list[Message] = []
        for each in inputs(files):
            with each.opened() as stream:
                for bundle in _bundles(stream.read(), each.name):
                    self.told.bundles += 1
                    messages += self._written(bundle)
        self.told.messages += len(messages)
        if messages:
            sys.stdout.buffer.write(self.format.join(messages, options))
            sys.stdout.buffer.flush()

    def _written(self, bundle: Any) -> list[Message]:
        """Write a Bundle by the map that has a place for most of it."""
        best = None
        for map_ in self.maps:
            written = write(map_, bundle, self.context)
            if written.messages and (best is None or len(written.issues) < len(best.issues)):
                best = written
        if best is None:
            names = ", ".join(map_.name for map_ in self.maps[:20])
            self.told.add(
                [Issue("error", "not-found", "Bundle", f"No map writes this Bundle (maps: {names}).")]
            )
            return []
        self.told.add(best.issues)
        return best.messages


def _bundles(data: bytes, name: str) -> Iterator[Any]:
    """Yield the Bundles of a file: one JSON document, or one a line."""
    try:
        yield _DECODER.decode(data)
    except msgspec.DecodeError:
        pass
    else:
        return
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            yield _DECODER.decode(line)
        except msgspec.DecodeError as error:
            sentence = "This line is no JSON; a Bundle, or one Bundle a line, is expected."
            raise Refused(Issue("fatal", "structure", f"{name}:{number}", sentence)) from error
