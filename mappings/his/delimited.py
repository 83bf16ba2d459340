"""Rows of a text extract (CSV, TSV and kin), in flat memory; what is damaged is reported and passed over.

A record with an open quote is joined with the lines that follow until the quote closes. When that does not
give a row of the header's width, the quote was a slip: its line is bad, and reading goes on after it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import PurePath
from typing import BinaryIO, NamedTuple

from mappings.his import dialect as dialects
from mappings.his.lines import Block, blocks, head, opened, skip
from mappings.his.places import Place
from mappings.his.rows import Bad, Position, Row, Source, refused, tree, without_rounded
from mappings.his.tables import Table
from mappings.his.text import MARKS, Encoding, decode, detect

MOST_LINES = 200
"""A column may hold that many line ends; beyond, an open quote is taken for a slip."""


class _Record(NamedTuple):
    """A record's bytes, where it begins, and where the next one does."""

    raw: bytes
    offset: int
    line: int
    after: int
    lines: int


@dataclass
class Delimited(Source):
    """A text extract of one table. What is None is found out from the first bytes.

    ``header``: the column names when the first row does not hold them.
    """

    place: Place
    definition: Table | None = None
    member: str | None = None
    encoding: Encoding | None = None
    dialect: dialects.Dialect | None = None
    header: tuple[str, ...] | None = None

    @cached_property
    def name(self) -> str:
        """Return the file's name, with the archive's before it."""
        return self.place.name if self.member is None else f"{self.place.name}/{self.member}"

    @cached_property
    def table(self) -> str:
        """Return the table's name; of an unknown table, the file's."""
        return (
            self.definition.name
            if self.definition
            else PurePath(self.member or self.place.name).name.split(".")[0]
        )

    @cached_property
    def columns(self) -> list[str]:
        """Return the columns' names, as the schema writes those it knows."""
        return self._layout[2]

    @cached_property
    def sample(self) -> bytes:
        """Return the first bytes of the file."""
        return head(self.place, self.member, self.name)

    @cached_property
    def found(self) -> tuple[Encoding, dialects.Dialect, list[str]]:
        """Return encoding, dialect and the cells of the first row, told or found out."""
        if not self.sample.strip():
            raise refused(self.name, "The file is empty; there is not even a header.", "incomplete")
        encoding = self.encoding or detect(self.sample)
        for mark, codec in MARKS:
            if encoding.codec == codec and self.sample.startswith(mark):
                encoding = Encoding(codec, len(mark), encoding.is_twice)
        lines = self._first_lines(encoding)
        dialect = self.dialect or dialects.detect(lines)
        written = (line for line in lines if line.strip())
        try:
            return encoding, dialect, next(csv.reader(written, delimiter=dialect.delimiter), [])
        except csv.Error:
            sentence = "The first line is no row of columns: a line end or a quote stands where none may."
            raise refused(self.name, sentence) from None

    @cached_property
    def _layout(self) -> tuple[Encoding, dialects.Dialect, list[str], int]:
        """Find encoding, dialect and columns out; the last is the number of rows before the first of data."""
        encoding, dialect, names = self.found
        known = self.definition.names if self.definition else frozenset[str]()
        rows_before = 0
        if self.header is None:
            if not dialects.has_header(names, known):
                raise refused(self.name, "The first row names no columns; say their names (--columns).")
            rows_before = 1
        header = list(self.header or names)
        columns = self.definition.canonical(header) if self.definition else [name.strip() for name in header]
        if twice := sorted({name for name in columns if columns.count(name) > 1}):
            raise refused(
                self.name, f"The header names {', '.join(twice)} twice; say which is which (--columns)."
            )
        return encoding, dialect, columns, rows_before

    def _first_lines(self, encoding: Encoding) -> list[str]:
        lines = (
            self.sample[encoding.mark :].decode(encoding.codec, "replace").split("\n")
            if encoding.is_wide
            else [decode(line, encoding) or "" for line in self.sample[encoding.mark :].split(b"\n")[:400]]
        )
        return [line.rstrip("\r") for line in lines[:-1] or lines]

    @cached_property
    def fingerprint(self) -> str:
        """Return what tells this extract from another: its name and its header."""
        text = "\0".join([self.name, *self.columns])
        return blake2b(text.encode(), digest_size=6).hexdigest()

    def rows(self, after: str | None = None) -> Iterator[Row | Bad]:
        """Yield the rows; see Source.rows."""
        encoding, dialect, columns, before = self._layout
        # Lines of UTF-16 come as UTF-8 (see ``lines.blocks``).
        codec = Encoding("utf-8", is_twice=encoding.is_twice) if encoding.is_wide else encoding
        start, line = encoding.mark, 1
        if after is not None:
            start, line = Position.parse(after, "text", self.fingerprint).at
            before = 0
        with self._from(start) as stream:
            for record in self._records(blocks(stream, encoding, start, self.name), codec, dialect, line):
                if not record.raw or record.raw.isspace():
                    continue
                if before:
                    before -= 1
                    continue
                row = self._row(record, codec, dialect, columns)
                if (b"E+" in record.raw or b"e+" in record.raw) and isinstance(row, Row):
                    yield from without_rounded(row)
                else:
                    yield row

    @contextmanager
    def _from(self, offset: int) -> Iterator[BinaryIO]:
        with opened(self.place, self.member) as stream:
            skip(stream, offset, self.name)
            yield stream

    def _records(
        self, read: Iterator[Block], codec: Encoding, dialect: dialects.Dialect, line: int
    ) -> Iterator[_Record]:
        """Join lines to records; an open quote that never closes gives its line back alone."""
        held: list[tuple[bytes, int]] = []
        offset = 0
        for block in read:
            ends = [*block.offsets[1:], block.end]
            for data, begin, end in zip(block.lines, block.offsets, ends, strict=True):
                if not held and (not data.count(b'"') & 1 or self._is_whole(data, codec, dialect)):
                    yield _Record(data, begin, line, end, 1)
                    line += 1
                    continue
                held.append((data, begin))
                if (len(held) > 1 and data.count(b'"') & 1) or len(held) >= MOST_LINES:
                    for record in self._joined(held, end, line, codec, dialect):
                        yield record
                        line += record.lines
                    held = []
            offset = block.end
        if held:
            yield from self._joined(held, offset, line, codec, dialect)

    def _is_whole(self, data: bytes, encoding: Encoding, dialect: dialects.Dialect) -> bool:
        text = decode(data, encoding)
        return text is None or len(_split(text, dialect) or ()) == len(self.columns)

    def _joined(
        self,
        held: list[tuple[bytes, int]],
        end: int,
        line: int,
        encoding: Encoding,
        dialect: dialects.Dialect,
    ) -> Iterator[_Record]:
        joined = b"\n".join(data for data, _ in held)
        text = decode(joined, encoding)
        if text is not None and len(_split(text, dialect) or ()) == len(self.columns):
            yield _Record(joined, held[0][1], line, end, len(held))
            return
        ends = [begin for _, begin in held[1:]] + [end]
        for at, ((data, begin), after) in enumerate(zip(held, ends, strict=True)):
            yield _Record(data, begin, line + at, after, 1)

    def _row(
        self, record: _Record, encoding: Encoding, dialect: dialects.Dialect, columns: list[str]
    ) -> Row | Bad:
        where = f"{self.name}:{record.line}"
        position = Position("text", self.fingerprint, (record.after, record.line + record.lines))
        text = decode(record.raw, encoding)
        values = _split(text, dialect) if text is not None and "\0" not in text else None
        if values is not None and len(values) == len(columns):
            made = tree(columns, values, self.definition)
            return Row(self.table, made, record.raw + b"\n", where, position=position)
        sentence = _complaint(text, values, len(columns), encoding)
        place = f"{where} (byte {record.offset})"
        return Bad("error", "structure", place, sentence, record.raw, position)


def _split(text: str, dialect: dialects.Dialect) -> list[str] | None:
    """Return a record's columns; None when its quotes do not add up."""
    if not dialect.is_quoted or '"' not in text:
        return text.split(dialect.delimiter)
    try:
        return next(csv.reader([text], delimiter=dialect.delimiter, strict=True))
    except csv.Error:
        return None


def _complaint(text: str | None, values: list[str] | None, width: int, encoding: Encoding) -> str:
    if text is None:
        return f"The record is not {encoding.name} and no other known encoding; export it anew."
    if "\0" in text:
        return "The record holds zero bytes; the file was damaged on its way."
    if values is None:
        return "A quote in the record is not closed, or stands in the middle of a column; export it anew."
    less = "fewer" if len(values) < width else "more"
    return f"The record has {len(values)} columns, {less} than the header's {width}."
