"""The tables of the two schemas as their owners define them: columns, types, keys, titles, loading order.

``schemas/*.yaml`` hold the facts; a column reads "type title", the type one of TYPES with an optional size.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from pathlib import PurePath

import yaml

TYPES = frozenset({"code", "text", "int", "decimal", "date", "datetime", "flag"})
"""code: a key or a code-table value; flag: 0 or 1; date and datetime: YYYY-MM-DD, with HH:MM:SS."""

_COLUMN = re.compile(r"(?P<type>[a-z]+)(?:\((?P<size>\d+)(?:,(?P<scale>\d+))?\))?\s+(?P<title>.+)")


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, type, size (characters, or digits), digits after the point, and Chinese title."""

    name: str
    type: str
    size: int
    scale: int
    title: str


@dataclass(frozen=True)
class Table:
    """One table: its columns in order and the key that names a row."""

    schema: str
    name: str
    title: Mapping[str, str]
    key: tuple[str, ...]
    columns: Mapping[str, Column]

    @cached_property
    def types(self) -> Mapping[str, str]:
        """Return column → type of the columns that have one way of being written; texts have not."""
        return {name: column.type for name, column in self.columns.items() if column.type != "text"}

    @property
    def names(self) -> frozenset[str]:
        """Return every name a header may call a column by: its name and its title, in upper case."""
        return frozenset(
            {c.name.upper() for c in self.columns.values()} | {c.title for c in self.columns.values()}
        )

    def canonical(self, header: Iterable[str]) -> list[str]:
        """Return a header's names as the schema writes them; an unknown name stays as it is, trimmed."""
        known = {column.title: name for name, column in self.columns.items()}
        known |= {name.upper(): name for name in self.columns}
        trimmed = [name.strip().strip('"').strip() for name in header]
        return [known.get(name, known.get(name.upper(), name)) for name in trimmed]


@cache
def schema(name: str) -> Mapping[str, Table]:
    """Return the tables of a schema ("junwei", "hsa"), by name, in the order in which they are to be loaded.

    Raises KeyError for an unknown schema, ValueError for a definition that does not hold.
    """
    source = files(__package__) / "schemas" / f"{name}.yaml"
    if not source.is_file():
        raise KeyError(name)
    read = yaml.safe_load(source.read_text(encoding="utf-8"))
    return {table: _table(name, table, raw) for table, raw in read["tables"].items()}


def _table(schema_name: str, name: str, raw: Mapping[str, object]) -> Table:
    columns, title, key = raw["columns"], raw["title"], raw["key"]
    if not (isinstance(columns, dict) and isinstance(title, dict) and isinstance(key, list)):
        raise ValueError(f"{schema_name}.{name}: columns and title are mappings, key is a list.")  # noqa: TRY004 - it is the file that is wrong
    made = {
        column: _column(f"{schema_name}.{name}.{column}", column, spec) for column, spec in columns.items()
    }
    if missing := [column for column in key if column not in made]:
        raise ValueError(f"{schema_name}.{name}: the key names no column: {', '.join(missing)}.")
    return Table(schema_name, name, title, tuple(key), made)


def _column(where: str, name: str, spec: str) -> Column:
    match = _COLUMN.fullmatch(spec)
    if match is None or match["type"] not in TYPES:
        raise ValueError(f"{where}: a column reads 'type title', the type one of {', '.join(sorted(TYPES))}.")
    return Column(name, match["type"], int(match["size"] or 0), int(match["scale"] or 0), match["title"])


def recognise(tables: Mapping[str, Table], file: str, header: Iterable[str]) -> Table | None:
    """Return the table that a file holds: the one its name says, else the one whose columns its header has.

    ``PAT_MASTER_INDEX_20240105.csv`` and ``his.pat_master_index.csv.gz`` name a table. By header, at least
    half of the names must be the table's, and no other table may have as many.
    """
    words = re.split(r"[.\-\s/\\]|_(?=\d)", PurePath(file).name.upper())
    named = [table for name, table in tables.items() if name.upper() in words]
    if named:
        return named[0]
    names = {name.strip().strip('"').strip().upper() for name in header} - {""}
    ranked = sorted(((len(names & table.names), name) for name, table in tables.items()), reverse=True)
    if not names or 2 * ranked[0][0] < len(names) or [count for count, _ in ranked[:2]] == [ranked[0][0]] * 2:
        return None
    return tables[ranked[0][1]]
