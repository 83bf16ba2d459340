"""Rows of a database table through SQLAlchemy, in chunks along the key: flat memory, resumable.

Each chunk asks for the rows after the last key, so a million rows are many short queries, and a run that
broke off goes on where it stood. Texts of an Oracle database in US7ASCII are put right (see text.undo).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from functools import cached_property
from hashlib import blake2b
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from mappings.his.rows import Bad, Position, Row, Source, refused, tree
from mappings.his.tables import Table
from mappings.his.text import is_twice, undo

CHUNK = 5_000
"""Rows per query: some megabytes, and well under a second for the database."""


@dataclass
class Query(Source):
    """A table of a database; ``url`` as SQLAlchemy writes it, ``database_schema`` its owner there, if any."""

    url: str
    definition: Table
    database_schema: str | None = None
    chunk: int = CHUNK

    @property
    def name(self) -> str:
        """Return the database's name and the table's; never the address, which may hold a password."""
        return f"{sa.make_url(self.url).get_backend_name()}:{self.definition.name}"

    @property
    def table(self) -> str:
        """Return the table's name."""
        return self.definition.name

    @cached_property
    def engine(self) -> sa.Engine:
        """Return the engine. Raises Refused when the address or its driver will not do."""
        try:
            return sa.create_engine(self.url)
        except (SQLAlchemyError, ModuleNotFoundError, ValueError) as error:
            raise refused(
                "database", "The address is none that SQLAlchemy knows, or its driver is missing."
            ) from error

    @cached_property
    def _found(self) -> str | None:
        """Return the table's name as the database spells it; None when it has no such table or view."""
        inspector = self._asked(lambda: sa.inspect(self.engine))
        names = self._asked(lambda: inspector.get_table_names(self.database_schema))
        names += self._asked(lambda: inspector.get_view_names(self.database_schema))
        return next((name for name in names if name.upper() == self.definition.name.upper()), None)

    @property
    def exists(self) -> bool:
        """Whether the database has the table."""
        return self._found is not None

    @cached_property
    def _table(self) -> sa.Table:
        """Return the table with the columns that the database has."""
        if self._found is None:
            raise refused(
                self.name, "The database has no such table; say its owner (--owner) or check the name."
            )
        found = self._asked(lambda: sa.inspect(self.engine).get_columns(self._found, self.database_schema))
        columns = [sa.Column(column["name"], column["type"]) for column in found]
        return sa.Table(self._found, sa.MetaData(), *columns, schema=self.database_schema)

    def _asked(self, question: Any) -> Any:
        try:
            return question()
        except SQLAlchemyError as error:
            raise refused(
                self.name, "The database does not answer; check its address, account and rights."
            ) from error

    @cached_property
    def fingerprint(self) -> str:
        """Return what tells this table from another."""
        return blake2b(self.name.encode(), digest_size=6).hexdigest()

    @property
    def key(self) -> list[sa.Column[Any]]:
        """Return the key's columns. Raises Refused when the table lacks one: then no order is certain."""
        own = {column.name.upper(): column for column in self._table.columns}
        missing = [name for name in self.definition.key if name.upper() not in own]
        if missing:
            raise refused(self.name, f"The table has no column {', '.join(missing)}, which is its key.")
        return [own[name.upper()] for name in self.definition.key]

    def rows(self, after: str | None = None) -> Iterator[Row | Bad]:
        """Yield the rows in the order of the key; see Source.rows. Rows without a key are reported once."""
        position = Position.parse(after, "sql", self.fingerprint) if after is not None else None
        names = self.definition.canonical(column.name for column in self._table.columns)
        number = 1
        if position is None and self._asked(self._has_unkeyed):
            sentence = f"Rows whose key ({', '.join(self.definition.key)}) is NULL are not read; complete it."
            yield Bad("error", "incomplete", self.name, sentence)
        try:
            while True:
                last = position.at if position else None
                found = self._asked(lambda last=last: self._fetch(last))
                for values in found:
                    position = Position(
                        "sql", self.fingerprint, tuple(_token(values[column.name]) for column in self.key)
                    )
                    texts = [text(value) for value in values.values()]
                    raw = "\t".join(texts).encode() + b"\n"
                    yield Row(
                        self.table,
                        tree(names, texts, self.definition),
                        raw,
                        f"{self.name}:{number}",
                        position=position,
                    )
                    number += 1
                if len(found) < self.chunk:
                    return
        finally:
            self.engine.dispose()

    def _fetch(self, last: Sequence[Any] | None) -> list[Any]:
        keyed = [column.is_not(None) for column in self.key]
        query = sa.select(self._table).where(*keyed).order_by(*self.key).limit(self.chunk)
        if last is not None:
            query = query.where(
                _beyond(self.key, [_value(c, v) for c, v in zip(self.key, last, strict=True)])
            )
        with self.engine.connect() as connection:
            return list(connection.execute(query).mappings())

    def _has_unkeyed(self) -> bool:
        query = sa.select(sa.literal(1)).select_from(self._table)
        missing = sa.or_(*(column.is_(None) for column in self.key))
        with self.engine.connect() as connection:
            return connection.execute(query.where(missing).limit(1)).first() is not None


def _beyond(key: Sequence[sa.Column[Any]], last: Sequence[Any]) -> sa.ColumnElement[bool]:
    """Return "comes after ``last`` in the key's order", spelled out: not every database compares tuples."""
    head, *rest = key
    beyond: sa.ColumnElement[bool] = head > last[0]
    return sa.or_(beyond, sa.and_(head == last[0], _beyond(rest, last[1:]))) if rest else beyond


def _token(value: Any) -> Any:
    return (
        value
        if isinstance(value, (int, str))
        else value.isoformat()
        if isinstance(value, (date, time))
        else str(value)
    )


def _value(column: sa.Column[Any], value: Any) -> Any:
    """Return a key's value as the column's type has it, from what the position kept."""
    if not isinstance(value, str) or isinstance(column.type, sa.types.NullType):
        return value
    kind = column.type.python_type
    if issubclass(kind, (date, time)):
        return kind.fromisoformat(value)
    return Decimal(value) if issubclass(kind, (int, float, Decimal)) else value


def text(value: Any) -> str:
    """Return a database's value as an export writes it."""
    if value is None:
        return ""
    if isinstance(value, str):
        return (undo(value) or value) if not value.isascii() and is_twice(value) else value
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, bytes):
        return value.decode("gb18030", "replace")
    return format(value, "f") if isinstance(value, Decimal) else str(value)
