"""The rows of two small hospitals, as extracts of their tables and as messages."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import yaml

from mappings.engine.batches import convert
from mappings.engine.model import Context
from mappings.formats import get
from mappings.his.format import TableFormat
from mappings.his.opening import open_place
from mappings.his.places import Stream
from mappings.his.rows import Row
from mappings.his.writing import write_text

GOLDEN = Path(__file__).parent / "golden"
_SORTED = msgspec.json.Encoder(decimal_format="number", order="sorted")
SCHEMAS = ("junwei", "hsa")
CONTEXT = Context(source="h1", now="2024-02-01T08:00:00Z", archive=False)


def format_of(name: str) -> TableFormat:
    found = get(name)
    assert isinstance(found, TableFormat)
    return found


@cache
def rows_of(name: str) -> dict[str, list[dict[str, str]]]:
    """Return table → rows."""
    text = (GOLDEN / f"{name}.rows.yaml").read_text(encoding="utf-8")
    found: dict[str, list[dict[str, Any]]] = yaml.safe_load(text)
    assert all(isinstance(value, str) for rows in found.values() for row in rows for value in row.values())
    return found


def extract(name: str, table: str, encoding: str = "gb18030") -> bytes:
    """Return a table's rows as a CSV."""
    return b"".join(write_text(rows_of(name)[table], format_of(name).schema[table], encoding))


def messages(name: str, table: str) -> list[Row]:
    """Return a table's rows as they are read from its CSV."""
    [source] = open_place(Stream(io.BytesIO(extract(name, table)), f"{table}.csv"), format_of(name).schema)
    found = list(source.rows())
    assert all(isinstance(row, Row) for row in found), found
    return [row for row in found if isinstance(row, Row)]


def entries(name: str, table: str) -> list[str]:
    """Return what a table's rows become: a line of JSON per entry, sorted, numbers with their digits."""
    found = convert(format_of(name), messages(name, table), CONTEXT)
    return [_line(entry) for each in found if each.result for entry in each.result.bundle["entry"]]


def _line(entry: dict[str, Any]) -> str:
    return _SORTED.encode(entry).decode()


def golden(name: str) -> dict[str, list[str]]:
    """Return table → the lines that its rows must become."""
    found: dict[str, list[str]] = {}
    table = ""
    for line in (GOLDEN / f"{name}.entries.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("{"):
            found[table].append(line)
        else:
            table = line
            found[table] = []
    return found


def write_golden() -> None:
    """Write what the rows become now as what they must become; to be read through before it is committed."""
    for name in SCHEMAS:
        lines = [line for table in rows_of(name) for line in (table, *entries(name, table))]
        (GOLDEN / f"{name}.entries.txt").write_text("\n".join([*lines, ""]), encoding="utf-8")


TABLES = [(name, table) for name in SCHEMAS for table in rows_of(name)]

if __name__ == "__main__":
    write_golden()
