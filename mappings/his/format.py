"""The two schemas as formats: extracts ⇄ rows as messages, and the maps that know their tables."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from mappings.engine.codes import Tables, table_of
from mappings.engine.common import common_tables
from mappings.engine.format import MapFormat
from mappings.engine.model import Condition, Issue, Map, Message, Refused, Target
from mappings.engine.yamltree import read
from mappings.his.opening import Options, open_database, open_place
from mappings.his.places import File, Stream
from mappings.his.rows import Position, Source, refused
from mappings.his.tables import Table, schema
from mappings.his.writing import write_text, write_workbook
from mappings.media import MEDIA_TYPES


class TableFormat(MapFormat):
    """A schema of tables: "junwei" or "hsa"."""

    options = frozenset({"kind", "table", "encoding", "delimiter", "columns", "sheet", "as", "titles"})

    def __init__(self, name: str) -> None:
        folder = Path(__file__).parent
        super().__init__(name, folder / "maps" / name, _codes(folder / "codes" / f"{name}.yaml"))
        self.schema: Mapping[str, Table] = schema(name)

    def media_type(self, messages: Sequence[Message] = (), options: Mapping[str, str] | None = None) -> str:
        """Return that of a workbook when one is asked for, else of CSV in its encoding."""
        given = options or {}
        if given.get("as") == "workbook":
            return MEDIA_TYPES[".xlsx"]
        encoding = given.get("encoding", "utf-8").removesuffix("-sig")
        return f"{MEDIA_TYPES['.csv']}; charset={encoding}" if messages else MEDIA_TYPES[".csv"]

    def map_for(self, message: Message, overlays: Sequence[str] = ()) -> Map | None:
        """Return the map that reads a row; None when its table has none.

        A table with several kinds of rows has a map for each, told apart by its anchor's condition; a row
        that fits none of them goes to the last, which then says what it lacks.
        """
        maps = self._by_table(tuple(overlays)).get(message.kind, ())
        for map_ in maps[:-1]:
            if holds(anchor(map_).when, message.tree):
                return map_
        return maps[-1] if maps else None

    @lru_cache(maxsize=16)  # noqa: B019 - a format lives as long as the program
    def _by_table(self, overlays: tuple[str, ...]) -> Mapping[str, tuple[Map, ...]]:
        found: dict[str, list[Map]] = {}
        for map_ in self.maps(overlays):
            found.setdefault(map_.kind, []).append(map_)
        return {name: tuple(maps) for name, maps in found.items()}

    def fields(self, map_: Map) -> Sequence[str]:
        """List the columns of a map's table."""
        return list(self.schema[map_.kind].columns)

    def split(self, source: BinaryIO | bytes, options: Mapping[str, str]) -> Iterator[Message | Issue]:
        """Yield the rows of an extract; see Format.split.

        ``options``: where (the file's name, whose ending says what it is), table, encoding, delimiter, sheet,
        columns (separated by commas), after (the position of an earlier run). database: read that instead
        (its URL, or the name of an environment variable that holds it), table and owner there.
        """
        after = options.get("after")
        for table in self.sources(source, options):
            if after is not None and not Position.is_of(after, table.fingerprint):
                continue  # of several tables, those before the position have been read
            yield from table.rows(after)
            after = None
        if after is not None:
            raise refused("position", "The position belongs to another extract; start from the beginning.")

    def ordered(self, files: Sequence[Path]) -> Sequence[Path]:
        """Return files in the loading order of their tables; what is no extract of one comes last."""
        rank = {name: at for at, name in enumerate(self.schema)}

        def place(file: Path) -> tuple[int, str]:
            try:
                tables = open_place(File(file), self.schema)
            except Refused:
                return len(rank), str(file)
            return min((rank[table.table] for table in tables), default=len(rank)), str(file)

        return sorted(files, key=place)

    def sources(self, source: BinaryIO | bytes, options: Mapping[str, str]) -> list[Source]:
        """Return the tables of an extract in loading order; ``options`` as for ``split``."""
        columns = options.get("columns")
        asked = Options(
            options.get("table"),
            options.get("encoding"),
            options.get("delimiter"),
            tuple(column.strip() for column in columns.split(",")) if columns else None,
            options.get("sheet"),
            options.get("owner"),
        )
        if (database := options.get("database")) is not None:
            return open_database(_address(database), self.schema, asked)
        stream = BytesIO(source) if isinstance(source, bytes) else source
        name = options.get("where") or "-.csv"
        place = Stream(stream, name.replace("\\", "/").rpartition("/")[2])
        return open_place(place, self.schema, asked)

    def join(self, messages: Sequence[Message], options: Mapping[str, str]) -> bytes:
        """Write rows of one table as a file; see Format.join.

        ``options``: as (text or workbook), encoding, delimiter, titles (header with Chinese titles: "true").
        """
        kinds = sorted({message.kind for message in messages})
        if len(kinds) != 1:
            raise refused(self.name, f"One file holds one table's rows, not those of {len(kinds)}.")
        table = self.schema[kinds[0]]
        rows = [message.tree for message in messages]
        if options.get("as") == "workbook":
            return write_workbook(rows, table)
        encoding, delimiter = options.get("encoding", "utf-8-sig"), options.get("delimiter", ",")
        return b"".join(write_text(rows, table, encoding, delimiter, titles=options.get("titles") == "true"))


def anchor(map_: Map) -> Target:
    """Return the target that makes the row: the one with ``anchor``, else the first."""
    return next((target for target in map_.targets if target.anchor), map_.targets[0])


def holds(condition: Condition, tree: Mapping[str, str]) -> bool:
    """Tell whether a condition of a map holds for a row."""
    for test in condition:
        value = tree.get(test.path)
        if test.values is None:
            is_met = value is not None
        elif test.prefix:
            is_met = value is not None and value.startswith(test.values)
        else:
            is_met = value in test.values
        if is_met == test.negated:
            return False
    return True


def _address(database: str) -> str:
    """Return a database's URL, from the environment when a name is given: every user sees arguments."""
    return database if "://" in database else os.environ.get(database, database)


def _codes(file: Path) -> Tables:
    """Return a schema's code tables and the common ones."""
    own = read(file.read_text(encoding="utf-8"), file.name).texts
    return common_tables().with_own({name: table_of(name, data) for name, data in own.items()})


@cache
def make(name: str) -> TableFormat:
    """Return the format of a schema."""
    return TableFormat(name)
