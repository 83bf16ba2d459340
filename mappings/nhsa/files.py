"""Files of the interface: downloaded catalogues, reconciliation lists (TXT in a ZIP), enrolment tables.

Catalogues come tab-separated, UTF-8, without a header, ``null`` for what is empty; the columns are those of
the field table, in its order. Enrolment tables of the core platform come as CSV or TSV with a header.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mappings.engine.model import Issue, Message, Tree
from mappings.nhsa.fields import Block, Transaction, transaction
from mappings.nhsa.parse import MAX_BYTES, decode_text

CODED = frozenset({"1307", "1308", "1309", "1310", "1311", "1313", "1314", "1315"})
"""Catalogues that are one code system: their rows stay together, whatever their number."""

CHUNK = 200
"""Rows of other catalogues in one message, and so in one transaction."""

_CAMEL = re.compile(r"(?<=[a-z0-9])([A-Z])")


def split_file(raw: bytes, kind: str, options: Mapping[str, str]) -> Iterator[Message | Issue]:
    """Yield the messages of a catalogue, a reconciliation list or a table; options as for ``codec.split``.

    ``block`` chooses among the lists of a kind that has several (3202: upload, download).
    """
    where = options.get("where", "")
    described = transaction(kind)
    if described is None or not described.side(""):
        yield Issue(
            "error", "not-supported", where, f"No file or table of the kind {kind[:20]} is described."
        )
        return
    for name, content in _members(raw, where):
        if isinstance(content, Issue):
            yield content
            continue
        text, doubt = decode_text(content, name)
        if doubt is not None:
            yield doubt
        if doubt is None or doubt.severity != "fatal":
            yield from _of_text(text, described, name, options)


def _members(raw: bytes, where: str) -> Iterator[tuple[str, bytes | Issue]]:
    """Yield the texts of a ZIP, or the bytes themselves. What a member unpacks to is bounded."""
    if not raw.startswith(b"PK\x03\x04"):
        yield where, raw
        return
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            for info in archive.infolist():
                place = f"{where}/{info.filename}"
                if info.is_dir():
                    continue
                with archive.open(info) as member:
                    content = member.read(MAX_BYTES + 1)
                if len(content) > MAX_BYTES:
                    yield (
                        place,
                        Issue(
                            "error", "too-long", place, f"The file unpacks to more than {MAX_BYTES} bytes."
                        ),
                    )
                else:
                    yield place, content
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError):
        yield (
            where,
            Issue(
                "error", "structure", where, "The ZIP cannot be unpacked: damaged, or locked by a password."
            ),
        )


def _of_text(
    text: str, described: Transaction, where: str, options: Mapping[str, str]
) -> Iterator[Message | Issue]:
    kind = described.number
    if kind[0].isdigit():
        block = _block(described, options.get("block"))
        rows = _columns(text, block, where)
        size = 0 if kind in CODED else CHUNK
        parameters = {"infno": kind, **({"ver": options["ver"]} if options.get("ver") else {})}
        yield from _chunks(rows, kind, block, size, where, parameters)
    else:
        yield from _table(text, described, where)


def _block(described: Transaction, name: str | None) -> Block:
    blocks = described.side("")
    return next((block for block in blocks if block.dotted == name), blocks[0])


def _columns(text: str, block: Block, where: str) -> Iterator[tuple[str, Tree] | Issue]:
    names = list(block.fields)
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        cells = line.split("\t")
        if len(cells) > len(names):
            sentence = f"The line has {len(cells)} columns; the catalogue has {len(names)}."
            yield Issue("error", "structure", f"{where}:{number}", sentence)
            continue
        row = {name: cell for name, cell in zip(names, cells, strict=False) if cell not in {"", "null"}}
        missing = [name for name in names if block.fields[name].required and name not in row]
        if missing:
            sentence = f"The line has no {', '.join(missing)}; it is left out."
            yield Issue("error", "required", f"{where}:{number}", sentence)
            continue
        yield line, row


def _chunks(
    rows: Iterator[tuple[str, Tree] | Issue],
    kind: str,
    block: Block,
    size: int,
    where: str,
    parameters: Mapping[str, Any],
) -> Iterator[Message | Issue]:
    waiting: list[tuple[str, Tree]] = []
    for row in rows:
        if isinstance(row, Issue):
            yield row
            continue
        waiting.append(row)
        if len(waiting) == size:
            yield _chunk(waiting, kind, block, where, parameters)
            waiting = []
    if waiting:
        yield _chunk(waiting, kind, block, where, parameters)


def _chunk(
    rows: list[tuple[str, Tree]], kind: str, block: Block, where: str, parameters: Mapping[str, Any]
) -> Message:
    raw = "\n".join(line for line, _ in rows).encode() + b"\n"
    return Message(kind, {block.dotted: [row for _, row in rows]}, raw, where, "", dict(parameters))


def _table(text: str, described: Transaction, where: str) -> Iterator[Message | Issue]:
    lines = text.splitlines(keepends=True)
    if not lines:
        yield Issue("error", "structure", where, "The table is empty; its first line names the columns.")
        return
    delimiter = max("\t,|", key=lines[0].count)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    header = [_CAMEL.sub(r"_\1", name.strip()).lower() for name in next(reader)]
    while True:
        start = reader.line_num
        place = f"{where}:{start + 1}"
        try:
            cells = next(reader, None)
        except csv.Error as fault:
            yield Issue("error", "structure", place, f"The line cannot be read: {fault}.")
            continue
        if cells is None:
            return
        if len(cells) > len(header):
            sentence = f"The line has {len(cells)} columns; the header names {len(header)}."
            yield Issue("error", "structure", place, sentence)
        elif any(cell.strip() for cell in cells):
            row = {name: cell for name, cell in zip(header, cells, strict=False) if cell not in {"", "null"}}
            yield Message(described.number, row, "".join(lines[start : reader.line_num]).encode(), place)


def join_files(messages: Sequence[Message]) -> bytes:
    """Write rows back as the file that they came in: a catalogue without, a table with a header."""
    kind = messages[0].kind
    described = transaction(kind)
    assert described is not None
    out = io.StringIO()
    if kind[0].isdigit():
        for message in messages:
            for block in described.side(""):
                for row in message.tree.get(block.dotted, ()):
                    cells = [_one_line(row.get(name)) for name in block.fields]
                    out.write("\t".join(cells) + "\n")
        return out.getvalue().encode()
    names = list(described.side("")[0].fields)
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([message.tree.get(name, "") for name in names] for message in messages)
    return out.getvalue().encode()


def _one_line(value: Any) -> str:
    """Write a cell of a file that has no quotes: what would break its line becomes a blank."""
    return "null" if value is None else re.sub(r"[\t\r\n]+", " ", str(value))
