"""Tables that no format defines: a user's own maps for CSV, TSV and Excel files, without any Python.

A map of ``format: table`` names a file by its ``kind`` (the file's name without its ending) or, when the
folder holds one map alone, takes any file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from mappings.engine.common import common_tables
from mappings.engine.format import MapFormat
from mappings.engine.model import Issue, Map, Refused
from mappings.engine.support import consumers, pairs
from mappings.his.delimited import Delimited
from mappings.his.excel import Sheet
from mappings.his.format import TableFormat
from mappings.his.opening import BOOKS
from mappings.his.places import Stream
from mappings.his.rows import Source, refused
from mappings.his.tables import Column, Table
from mappings.his.text import named


class UserTables(TableFormat):
    """The tables that the maps of a folder describe."""

    def __init__(self, folder: Path) -> None:
        MapFormat.__init__(self, "table", folder, common_tables(), folder / "overlays")
        self.schema: Mapping[str, Table] = {map_.kind: _table(map_) for map_ in self.maps()}
        if not self.schema:
            sentence = "The folder holds no map (*.yaml); 'fhir-map new FILE' makes one of a sample."
            raise Refused(Issue("fatal", "not-found", folder.name, sentence))

    def sources(self, source: BinaryIO | bytes, options: Mapping[str, str]) -> list[Source]:
        """Return the tables of a file; a folder's only map takes a file of any name."""
        if "table" not in options and len(self.schema) == 1:
            options = {**options, "table": next(iter(self.schema))}
        return super().sources(source, options)


def columns_of(map_: Map) -> tuple[str, ...]:
    """List a map's columns: those that it lists, else those that it carries or ignores, in its order."""
    keys = (source for target in map_.targets for each in target.identities for source in each.values)
    carried = (source for target in map_.targets for pair in pairs(target.fields) for source in pair.sources)
    named = dict.fromkeys((*keys, *carried, *consumers(map_), *map_.ignored))
    return map_.columns or tuple(name for name in named if not name.startswith("$"))


def _table(map_: Map) -> Table:
    if map_.per != "row":
        raise Refused(Issue("fatal", "invalid", map_.file, "A map of format: table says 'per: row'."))
    columns = {name: Column(name, "text", 0, 0, name) for name in columns_of(map_)}
    key: Sequence[str] = map_.targets[0].identities[0].values
    return Table("table", map_.kind, map_.title, tuple(key), columns)


def undefined(stream: BinaryIO, name: str, options: Mapping[str, str]) -> Delimited | Sheet:
    """Return a file as a table of which nothing is known but its own header; for making a map of it.

    ``options``: encoding, sheet. Refused when the file names no columns.
    """
    place = Stream(stream, name)
    if name.lower().endswith(BOOKS):
        return Sheet(place, sheet=options.get("sheet"))
    try:
        encoding = named(options["encoding"]) if "encoding" in options else None
    except LookupError:
        raise refused(
            name, "No encoding has this name; gb18030 and utf-8 are usual.", "not-supported"
        ) from None
    return Delimited(place, encoding=encoding)


def make(folder: Path) -> UserTables:
    """Return the format of a folder of maps."""
    return UserTables(folder)
