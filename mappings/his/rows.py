"""What a table extract gives: rows with their place, and the records that could not be read, with the reason.

A row's tree is column → text without padding; a column that is empty or NULL is absent. So CSV, Excel and SQL
say the same thing of the same table, and a map needs no case for each.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from mappings.engine.model import Issue, Message, Refused
from mappings.his.normal import normal
from mappings.his.tables import Table

NULLS = frozenset({"\\N", "NULL", "null", "(null)", "(NULL)"})
"""What exports write for NULL besides nothing: MySQL dumps, SQL*Plus, PL/SQL Developer."""


def refused(where: str, sentence: str, code: str = "structure") -> Refused:
    """Return the refusal of a whole source."""
    return Refused(Issue("fatal", code, where, sentence))


@dataclass(frozen=True, slots=True)
class Position:
    """How far a source was read; ``text`` is what a later run hands back.

    ``kind`` is that of the source, ``print`` its fingerprint (a token of another extract is refused), ``at``
    where the next record begins: byte offset and line of a text, row of a sheet, key values of a query.
    """

    kind: str
    print: str
    at: tuple[Any, ...]

    @property
    def text(self) -> str:
        """Return the token: JSON in one line."""
        return json.dumps([self.kind, self.print, *self.at], ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def parse(cls, text: str, kind: str, fingerprint: str) -> Position:
        """Return the position of a token. Raises Refused when it is none, or that of another source."""
        try:
            found, printed, *at = json.loads(text)
        except (ValueError, TypeError):
            raise refused(
                "position", "This position is none that a run gave; start from the beginning."
            ) from None
        if (found, printed) != (kind, fingerprint):
            raise refused("position", "The position belongs to another extract; start from the beginning.")
        return cls(kind, fingerprint, tuple(at))

    @staticmethod
    def is_of(text: str, fingerprint: str) -> bool:
        """Tell whether a token is one of the source with this fingerprint."""
        try:
            return bool(json.loads(text)[1] == fingerprint)
        except (ValueError, TypeError, LookupError):
            return False


# eq=False: rows are told apart by where they stand; comparing their positions would compare whole sources.
@dataclass(slots=True, eq=False)
class Row(Message):
    """One row of a table: a message of kind TABLE whose ``position`` lets a later run go on after it."""

    position: Position = Position("", "", ())


@dataclass(frozen=True, slots=True)
class Bad(Issue):
    """A record that could not be read; the rest of the source goes on. ``raw`` is kept for the report."""

    raw: bytes = b""
    position: Position = Position("", "", ())


class Source(Protocol):
    """A table extract that can be read from the beginning or from a position, any number of times."""

    @property
    def name(self) -> str:
        """The extract's name, for reports."""

    @property
    def table(self) -> str:
        """The table whose rows it holds."""

    @property
    def fingerprint(self) -> str:
        """What tells this extract from another; positions carry it."""

    def rows(self, after: str | None = None) -> Iterator[Row | Bad]:
        """Yield the rows in order, from the beginning or after the row of a position's token.

        Raises Refused when the source cannot be read at all, or no further.
        """


def tree(columns: Iterable[str], values: Iterable[str], table: Table | None = None) -> dict[str, str]:
    """Return a row's tree: the columns that say something, without padding, written as ``normal`` does."""
    made = {
        column: text
        for column, value in zip(columns, values, strict=False)
        if value and (text := value.rstrip()) and text not in NULLS
    }
    if table is not None:
        normal(made, table)
    return made


_ROUNDED = re.compile(r"\d(?:[.,]\d+)?E\+\d\d", re.IGNORECASE)


def without_rounded(row: Row) -> Iterator[Row | Bad]:
    """Yield the row without the numbers that a spreadsheet rounded, after a warning that names their columns.

    4.20106E+17 was an identity number of 18 digits; as it stands it names nobody, or the wrong person.
    """
    rounded = [column for column, value in row.tree.items() if _ROUNDED.fullmatch(value)]
    if rounded:
        for column in rounded:
            del row.tree[column]
        names = ", ".join(rounded)
        sentence = f"A spreadsheet rounded the number in {names}; left out. Export such columns as text."
        yield Bad("warning", "value", row.where, sentence, row.raw, row.position)
    yield row
