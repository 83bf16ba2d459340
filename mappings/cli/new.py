"""``fhir-map new``: a first map, from a sample of a table."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec
import typer

from mappings.cli.files import Input
from mappings.cli.options import FormatOption, err, pairs_of
from mappings.engine.model import Issue, Message, Refused
from mappings.engine.scaffold import scaffold
from mappings.engine.support import text


def new(
    sample: Annotated[
        Path, typer.Argument(help="A CSV, TSV, Excel or JSON file.", exists=True, dir_okay=False)
    ],
    option: FormatOption = None,
    rows: Annotated[int, typer.Option(help="Rows that are looked at.", min=1)] = 500,
) -> None:
    """Write a first map of a table: types, key and code tables guessed, with comments that say why."""
    with Input(sample, sample.name).opened() as stream:
        names, found = _sample(stream, sample, pairs_of(option))
        trees = list(islice(found, rows))
    names = list(dict.fromkeys([*names, *(name for tree in trees for name in tree)]))
    columns = {name: [tree.get(name, "") for tree in trees] for name in names}
    if not columns or not trees:
        raise Refused(Issue("fatal", "incomplete", sample.name, "The sample has no rows to guess from."))
    sys.stdout.write(scaffold(sample.name.split(".")[0], columns, len(trees)))
    sys.stdout.flush()
    err.print(
        f"{len(columns)} columns of {len(trees)} rows. Look at every line, then run 'fhir-map check'.",
        highlight=False,
    )


def _sample(
    stream: BinaryIO, sample: Path, options: Mapping[str, str]
) -> tuple[Sequence[str], Iterator[dict[str, str]]]:
    """Return the columns that a sample names, and its rows."""
    if sample.suffix.lower() in {".json", ".ndjson", ".jsonl"}:
        return (), _objects(stream.read(), sample.name)
    from mappings.table import undefined  # noqa: PLC0415 - reading Excel takes a while to import

    table = undefined(stream, sample.name, options)
    return table.columns, _rows(table.rows())


def _rows(found: Iterator[Message | Issue]) -> Iterator[dict[str, str]]:
    for item in found:
        if isinstance(item, Message):
            yield {name: text(value) or "" for name, value in item.tree.items()}
        else:
            err.print(f"{item.severity}: {item.where}: {item.sentence}", markup=False, highlight=False)


def _objects(data: bytes, name: str) -> Iterator[dict[str, str]]:
    """Yield the objects of a JSON list, or of a JSON object a line."""
    try:
        tree = msgspec.json.decode(data)
    except msgspec.DecodeError:
        try:
            tree = [msgspec.json.decode(line) for line in data.splitlines() if line.strip()]
        except msgspec.DecodeError as error:
            raise Refused(
                Issue("fatal", "structure", name, "This is neither JSON nor JSON lines.")
            ) from error
    for one in tree if isinstance(tree, list) else [tree]:
        if isinstance(one, dict):
            yield {key: text(value) or "" for key, value in one.items() if not isinstance(value, dict | list)}
