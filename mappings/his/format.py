"""The two schemas as formats: extracts ⇄ rows as messages, and the maps that know their tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import as_file, files
from io import BytesIO
from typing import BinaryIO

from mappings.engine.codes import Tables, table_of
from mappings.engine.common import common_tables
from mappings.engine.model import Condition, Issue, Map, Message, Target
from mappings.engine.schema import load
from mappings.engine.yamltree import read
from mappings.his.opening import Options, open_place
from mappings.his.places import Stream
from mappings.his.rows import Source, refused
from mappings.his.tables import Table, schema
from mappings.his.writing import write_text, write_workbook


@dataclass
class TableFormat:
    """A schema of tables. ``name``: "junwei" or "hsa"."""

    name: str

    @cached_property
    def tables(self) -> Mapping[str, Table]:
        """Return the schema's tables by name, in loading order."""
        return schema(self.name)

    @cached_property
    def codes(self) -> Tables:
        """Return the schema's code tables and the common ones."""
        text = (files("mappings.his") / "codes" / f"{self.name}.yaml").read_text(encoding="utf-8")
        own = {name: table_of(name, data) for name, data in read(text, f"{self.name}.yaml").texts.items()}
        return common_tables().with_own(own)

    @cached_property
    def _maps(self) -> Mapping[str, tuple[Map, ...]]:
        """Return table → its maps; of several, the first whose rows a row is (``_is_of``) reads it."""
        found: dict[str, list[Map]] = {name: [] for name in self.tables}
        folder = files("mappings.his") / "maps" / self.name
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
            if entry.name.endswith(".yaml"):
                with as_file(entry) as path:
                    map_ = load(path, self.codes)
                found[map_.kind].append(map_)
        return {name: tuple(maps) for name, maps in found.items()}

    def maps(self, overlays: Sequence[str] = ()) -> Sequence[Map]:
        """List the maps in the loading order of their tables."""
        self._refuse(overlays)
        return [map_ for maps in self._maps.values() for map_ in maps]

    def map_for(self, message: Message, overlays: Sequence[str] = ()) -> Map | None:
        """Return the map that reads a row; None when its table has none, or none takes such a row."""
        self._refuse(overlays)
        maps = self._maps.get(message.kind, ())
        return next((map_ for map_ in maps if _is_of(message, anchor(map_))), None)

    def _refuse(self, overlays: Sequence[str]) -> None:
        if overlays:
            raise refused(self.name, "The schemas of hospital tables have no overlays.", "not-supported")

    def fields(self, map_: Map) -> Sequence[str]:
        """List the columns of a map's table."""
        return list(self.tables[map_.kind].columns)

    def split(self, source: BinaryIO | bytes, options: Mapping[str, str]) -> Iterator[Message | Issue]:
        """Yield the rows of an extract; see Format.split.

        ``options``: where (the file's name, whose ending says what it is), table, encoding, delimiter, columns
        (separated by commas), sheet, after (the position of an earlier run).
        """
        for table in self.sources(source, options):
            yield from table.rows(options.get("after"))

    def sources(self, source: BinaryIO | bytes, options: Mapping[str, str]) -> list[Source]:
        """Return the tables of an extract in loading order; ``options`` as for ``split``."""
        stream = BytesIO(source) if isinstance(source, bytes) else source
        name = options.get("where") or "-.csv"
        place = Stream(stream, name.replace("\\", "/").rpartition("/")[2])
        columns = options.get("columns")
        asked = Options(
            options.get("table"),
            options.get("encoding"),
            options.get("delimiter"),
            tuple(column.strip() for column in columns.split(",")) if columns else None,
            options.get("sheet"),
        )
        return open_place(place, self.tables, asked)

    def join(self, messages: Sequence[Message], options: Mapping[str, str]) -> bytes:
        """Write rows of one table as a file; see Format.join.

        ``options``: as (text or workbook), encoding, delimiter, titles (header with Chinese titles: "true").
        """
        kinds = sorted({message.kind for message in messages})
        if len(kinds) != 1:
            raise refused(self.name, f"One file holds one table's rows, not those of {len(kinds)}.")
        table = self.tables[kinds[0]]
        rows = [message.tree for message in messages]
        if options.get("as") == "workbook":
            return write_workbook(rows, table)
        encoding, delimiter = options.get("encoding", "utf-8-sig"), options.get("delimiter", ",")
        return b"".join(write_text(rows, table, encoding, delimiter, titles=options.get("titles") == "true"))


def anchor(map_: Map) -> Target:
    """Return the target that makes the row: the one with ``anchor``, else the first."""
    return next((target for target in map_.targets if target.anchor), map_.targets[0])


def _is_of(message: Message, target: Target) -> bool:
    return _holds(target.when, message.tree)


def _holds(condition: Condition, tree: Mapping[str, str]) -> bool:
    for test in condition:
        value = tree.get(test.path)
        if test.values is None:
            holds = value is not None
        elif test.prefix:
            holds = value is not None and value.startswith(test.values)
        else:
            holds = value in test.values
        if holds == test.negated:
            return False
    return True


JUNWEI = TableFormat("junwei")
HSA = TableFormat("hsa")
