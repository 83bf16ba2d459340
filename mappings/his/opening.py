"""Extracts by their place: a file of any kind that is read, an archive of several, a folder, a database.

Sources come in loading order (departments and staff, patients, visits, what refers to visits), so that a
conditional reference finds what an earlier table made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from mappings.his.delimited import Delimited
from mappings.his.dialect import DELIMITERS, Dialect
from mappings.his.excel import Sheet
from mappings.his.lines import members
from mappings.his.places import File, Place
from mappings.his.rows import Source, refused
from mappings.his.sql import Query
from mappings.his.tables import Table, recognise
from mappings.his.text import named

TEXTS = (".csv", ".tsv", ".txt", ".dat", ".unl")
BOOKS = (".xlsx", ".xlsm")


@dataclass(frozen=True, slots=True)
class Options:
    """What a user may say of an extract; None is found out. ``columns``: names that the file lacks."""

    table: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    columns: tuple[str, ...] | None = None
    sheet: str | None = None
    owner: str | None = None


def open_place(place: Place, tables: Mapping[str, Table], options: Options | None = None) -> list[Source]:
    """Return the tables of one file, in loading order: one for a text or a sheet, several for an archive.

    Raises Refused for a kind of file that is not read, or a table that is neither named nor recognised.
    """
    asked = options or Options()
    stem = place.name.lower().removesuffix(".gz")
    suffix = PurePath(stem).suffix
    if suffix in BOOKS:
        sheet = Sheet(place, sheet=asked.sheet)
        sheet.definition = _table(asked, tables, f"{place.name}", sheet.columns)
        return [Sheet(place, sheet.definition, asked.sheet)]
    if suffix == ".xls":
        raise refused(
            place.name,
            "Workbooks of Excel 97-2003 (.xls) are not read; save this one as .xlsx.",
            "not-supported",
        )
    if suffix not in {*TEXTS, ".zip"}:
        raise refused(
            place.name,
            f"Files that are read: {', '.join((*TEXTS, *BOOKS))}, .gz and .zip of texts.",
            "not-supported",
        )
    found = [_text(place, member, tables, asked) for member in members(place)]
    return ordered(found, tables)


def open_folder(path: Path, tables: Mapping[str, Table], options: Options | None = None) -> list[Source]:
    """Return the tables of every file in a folder that can be read, in loading order."""
    kinds = {*TEXTS, *BOOKS, ".gz", ".zip"}
    files = sorted(file for file in path.iterdir() if file.is_file() and file.suffix.lower() in kinds)
    if not files:
        raise refused(path.name, f"The folder holds no extract ({', '.join(sorted(kinds))}).", "not-found")
    return ordered([source for file in files for source in open_place(File(file), tables, options)], tables)


def open_database(url: str, tables: Mapping[str, Table], options: Options | None = None) -> list[Source]:
    """Return the tables of a schema that a database has, in loading order, or the one asked for."""
    asked = options or Options()
    if asked.table is not None:
        return [Query(url, _named(asked.table, tables), asked.owner)]
    queries: list[Source] = [
        query for table in tables.values() if (query := Query(url, table, asked.owner)).exists
    ]
    if not queries:
        raise refused(
            "database",
            "The database has none of the schema's tables; say their owner (--owner).",
            "not-found",
        )
    return queries


def ordered(sources: Sequence[Source], tables: Mapping[str, Table]) -> list[Source]:
    """Return the sources in loading order; those of one table keep theirs."""
    rank = {name: at for at, name in enumerate(tables)}
    return sorted(sources, key=lambda source: rank.get(source.table, len(rank)))


def _text(place: Place, member: str | None, tables: Mapping[str, Table], asked: Options) -> Delimited:
    if asked.delimiter is not None and asked.delimiter not in DELIMITERS:
        raise refused(
            place.name,
            "The delimiter is a comma, tab, bar, semicolon, circumflex or byte 01.",
            "not-supported",
        )
    try:
        encoding = named(asked.encoding) if asked.encoding else None
    except LookupError:
        raise refused(
            place.name, "No encoding has this name; gb18030 and utf-8 are usual.", "not-supported"
        ) from None
    text = Delimited(
        place, None, member, encoding, Dialect(asked.delimiter) if asked.delimiter else None, asked.columns
    )
    names = list(asked.columns or text.found[2])
    definition = _table(asked, tables, member or place.name, names)
    return Delimited(place, definition, member, encoding, text.dialect, asked.columns)


def _table(asked: Options, tables: Mapping[str, Table], file: str, header: Sequence[str]) -> Table:
    table = _named(asked.table, tables) if asked.table else recognise(tables, file, header)
    if table is None:
        raise refused(file, f"Which table is this? Say --table: {', '.join(tables)}.", "not-found")
    return table


def _named(name: str, tables: Mapping[str, Table]) -> Table:
    found = next((table for key, table in tables.items() if key.upper() == name.upper()), None)
    if found is None:
        raise refused(name, f"No table of the schema has this name; it has {', '.join(tables)}.", "not-found")
    return found
