"""Rows back out to their tables: a text in the encoding asked for, a workbook, or a database's table.

Columns stand in the order of the schema. A cell that a spreadsheet would run as a formula is written as it is
in texts (a system reads them back) and as text in workbooks.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from itertools import islice
from typing import Any

import sqlalchemy as sa
from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from sqlalchemy.exc import SQLAlchemyError

from mappings.his.rows import refused
from mappings.his.tables import Column, Table

Tree = Mapping[str, Any]

MARKS = {"utf-8-sig": b"\xef\xbb\xbf", "utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}
ROWS_AT_ONCE = 1_000


def write_text(
    rows: Iterable[Tree],
    table: Table,
    encoding: str = "utf-8-sig",
    delimiter: str = ",",
    *,
    titles: bool = False,
) -> Iterator[bytes]:
    """Yield a text extract piece by piece: header, then the rows; lines end with CR LF, as Excel writes them.

    ``titles``: the header has the Chinese titles. Raises Refused when a letter is not in the encoding.
    """
    codec = "utf-8" if encoding == "utf-8-sig" else encoding
    yield MARKS.get(encoding, b"")
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator="\r\n")
    writer.writerow([column.title if titles else name for name, column in table.columns.items()])
    for number, row in enumerate(rows, 1):
        writer.writerow([row.get(name, "") for name in table.columns])
        if number % ROWS_AT_ONCE == 0:
            yield _encoded(buffer, codec, table, number)
    yield _encoded(buffer, codec, table, 0)


def _encoded(buffer: io.StringIO, codec: str, table: Table, number: int) -> bytes:
    try:
        data = buffer.getvalue().encode(codec)
    except UnicodeEncodeError:
        place = f"{table.name}:{number}" if number else table.name
        raise refused(
            place, f"A letter of these rows is not in {codec}; write gb18030 or utf-8.", "value"
        ) from None
    buffer.seek(0)
    buffer.truncate()
    return data


def write_workbook(rows: Iterable[Tree], table: Table) -> bytes:
    """Return a workbook with one sheet; every cell is text, so that no number loses its digits or zeros."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet(table.name[:31])
    sheet.append(list(table.columns))
    for row in rows:
        sheet.append([_cell(sheet, row.get(name, "")) for name in table.columns])
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def _cell(sheet: Any, value: str) -> Any:
    cell = WriteOnlyCell(sheet, value or None)
    if value:
        cell.data_type = "s"
    return cell


def sql_table(table: Table, metadata: sa.MetaData, owner: str | None = None) -> sa.Table:
    """Return a table's definition for SQLAlchemy, to create it or to insert into it."""
    columns = [
        sa.Column(name, _sql_type(column), primary_key=name in table.key, autoincrement=False)
        for name, column in table.columns.items()
    ]
    return sa.Table(table.name, metadata, *columns, schema=owner)


def _sql_type(column: Column) -> sa.types.TypeEngine[Any]:
    if column.type in {"int", "flag"}:
        return sa.Integer()
    if column.type == "decimal":
        return sa.Numeric(column.size, column.scale)
    if column.type in {"date", "datetime"}:
        # Both schemas keep dates in columns that have a time too (Oracle DATE, MySQL datetime).
        return sa.DateTime() if column.type == "datetime" else sa.Date()
    return sa.String(column.size or 200)


def write_database(
    rows: Iterable[Tree], table: Table, url: str, owner: str | None = None, *, create: bool = False
) -> int:
    """Insert rows into a database's table, a thousand per statement, in one transaction; return their number.

    ``create``: make the table when it is missing. Refused when the database does; then none is written.
    """
    definition = sql_table(table, sa.MetaData(), owner)
    count = 0
    try:
        engine = sa.create_engine(url)
        try:
            if create:
                definition.create(engine, checkfirst=True)
            with engine.begin() as connection:
                ahead = iter(rows)
                while chunk := list(islice(ahead, ROWS_AT_ONCE)):
                    connection.execute(sa.insert(definition), [_typed(row, table) for row in chunk])
                    count += len(chunk)
        finally:
            engine.dispose()
    except (SQLAlchemyError, ModuleNotFoundError) as error:
        raise refused(
            table.name, "The database refuses these rows, and none is written; look at its log."
        ) from error
    return count


def _typed(row: Tree, table: Table) -> dict[str, Any]:
    return {name: _value(row.get(name), column, table) for name, column in table.columns.items()}


def _value(text: str | None, column: Column, table: Table) -> Any:
    if not text:
        return None
    try:
        if column.type in {"int", "flag"}:
            return int(text)
        if column.type == "decimal":
            return Decimal(text)
        if column.type == "datetime":
            return datetime.fromisoformat(text)
        return date.fromisoformat(text[:10]) if column.type == "date" else text
    except (ValueError, ArithmeticError):
        raise refused(
            f"{table.name}.{column.name}",
            f"The value is no {column.type}; none of the rows is written.",
            "value",
        ) from None
