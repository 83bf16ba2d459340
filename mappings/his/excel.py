"""Rows of a sheet of an Excel workbook (.xlsx), read as a stream.

Cells come as what Excel holds: dates become text again, whole numbers lose ".0", and numbers of more than 15
digits, which Excel cannot hold, are left out with a warning (ID numbers kept as numbers).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from functools import cached_property
from hashlib import blake2b
from itertools import islice
from pathlib import PurePath
from typing import Any
from zipfile import BadZipFile

from openpyxl import load_workbook
from openpyxl.utils.exceptions import InvalidFileException
from openpyxl.workbook import Workbook

from mappings.his.places import Place
from mappings.his.rows import Bad, Position, Row, Source, refused, tree, without_rounded
from mappings.his.tables import Table

EXACT = 10**15
"""Excel keeps 15 digits of a number; a longer one has lost its last."""


@dataclass
class Sheet(Source):
    """A sheet of a workbook, the first when ``sheet`` is None; its first filled row names the columns."""

    place: Place
    definition: Table | None = None
    sheet: str | None = None

    @property
    def name(self) -> str:
        """Return the file's name, with the sheet's when one was asked for."""
        return self.place.name if self.sheet is None else f"{self.place.name}/{self.sheet}"

    @property
    def table(self) -> str:
        """Return the table's name; of an unknown table, the sheet's or the file's."""
        return self.definition.name if self.definition else self.sheet or PurePath(self.place.name).stem

    @cached_property
    def columns(self) -> list[str]:
        """Return the columns' names, as the schema writes those it knows."""
        return self._header[1]

    @cached_property
    def _header(self) -> tuple[int, list[str]]:
        """Return the row that names the columns, counted from 1, and the names."""
        with self._book() as book:
            for number, cells in enumerate(self._cells(book), 1):
                names = [text(cell) for cell in cells]
                if any(names):
                    while names and not names[-1]:
                        names.pop()
                    return number, self.definition.canonical(names) if self.definition else names
        raise refused(self.name, "The sheet is empty; there is not even a header.", "incomplete")

    @cached_property
    def fingerprint(self) -> str:
        """Return what tells this sheet from another: its name and its header."""
        return blake2b("\0".join([self.name, *self.columns]).encode(), digest_size=6).hexdigest()

    @contextmanager
    def _book(self) -> Iterator[Workbook]:
        with self.place.open() as stream:
            try:
                book = load_workbook(stream, read_only=True, data_only=True)
            except (BadZipFile, InvalidFileException, KeyError, OSError, ValueError) as error:
                sentence = "This is no .xlsx workbook, or it is damaged; save it anew as .xlsx."
                raise refused(self.name, sentence) from error
            try:
                yield book
            finally:
                book.close()

    def _cells(self, book: Workbook, first: int = 1) -> Iterator[tuple[Any, ...]]:
        if self.sheet is not None and self.sheet not in book.sheetnames:
            raise refused(self.name, f"The workbook has no such sheet; it has {', '.join(book.sheetnames)}.")
        sheet = book[self.sheet or book.sheetnames[0]]
        # A stored dimension may be wrong, and openpyxl would believe it and stop early.
        sheet.reset_dimensions()
        return iter(islice(sheet.iter_rows(min_row=1, values_only=True), first - 1, None))

    def rows(self, after: str | None = None) -> Iterator[Row | Bad]:
        """Yield the rows; see Source.rows."""
        number, columns = self._header
        first = number + 1 if after is None else Position.parse(after, "sheet", self.fingerprint).at[0]
        with self._book() as book:
            for at, cells in enumerate(self._cells(book, first), first):
                if any(cell is not None for cell in cells):
                    yield from self._row(at, columns, cells)

    def _row(self, number: int, columns: list[str], cells: tuple[Any, ...]) -> Iterator[Row | Bad]:
        where = f"{self.name}:{number}"
        position = Position("sheet", self.fingerprint, (number + 1,))
        values = [text(cell) for cell in cells]
        raw = "\t".join(values).encode() + b"\n"
        if any(values[len(columns) :]):
            sentence = f"The row has values beyond the header's {len(columns)} columns; name or remove them."
            yield Bad("error", "structure", where, sentence, raw, position)
            return
        yield from without_rounded(
            Row(self.table, tree(columns, values, self.definition), raw, where, position=position)
        )


def text(cell: Any) -> str:
    """Return a cell as a table would export it: ISO dates, no ".0"; a rounded number as 4.20106E+17."""
    if isinstance(cell, (date, time)):
        return _moment(cell)
    if isinstance(cell, (int, float)):
        return _number(cell)
    return "" if cell is None else str(cell)


def _moment(cell: date | time) -> str:
    if isinstance(cell, datetime):
        return cell.strftime("%Y-%m-%d" if cell.time() == time() else "%Y-%m-%d %H:%M:%S")
    return cell.isoformat()


def _number(cell: float) -> str:
    if abs(cell) >= EXACT:
        return f"{cell:.5E}"
    return str(int(cell)) if cell == int(cell) else format(Decimal(repr(cell)), "f")
