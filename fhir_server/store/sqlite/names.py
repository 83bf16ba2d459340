"""Numbers of resource types, search parameters and strings: allotted on first use, for good; cached here."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

from fhir_server.store.sqlite.schema import SEQUENCE_BITS


class Unallotted(LookupError):
    """A search parameter has no number yet; the writer will give it one."""


class _Numbers(dict[str, int]):
    """Parameter numbers of one type, by code."""

    def __missing__(self, param: str) -> int:
        raise Unallotted(param)


Text = tuple[int, bytes, int]
"""A string of a parameter: p, the key of its beginning, the digest of the whole."""

_MOST_TEXTS: Final = 32_768


class Lookup(Protocol):
    """Where a compiled search finds the numbers of types and parameters."""

    def type_number(self, connection: sqlite3.Connection, type_: str) -> int | None:
        """Return a type's number; None when no resource of it was ever stored."""

    def param_number(self, connection: sqlite3.Connection, type_: str, param: str) -> int | None:
        """Return a parameter's number; None when no resource ever had a value for it."""


class Names:
    """What is committed of the tables, as far as this process has met it."""

    def __init__(self) -> None:
        self._types: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._params: dict[str, _Numbers] = {}
        self._texts: dict[Text, int] = {}

    def load(self, connection: sqlite3.Connection) -> None:
        """Read all that is committed."""
        for number, name in connection.execute("SELECT t, name FROM type"):
            self._learn_type(name, number)
        for number, name in connection.execute("SELECT p, name FROM param"):
            self._learn_param(name, number)

    def params(self, type_: str) -> _Numbers:
        """Return the parameter numbers of a type; looking up an unknown one raises :class:`Unallotted`."""
        return self._params.setdefault(type_, _Numbers())

    def known_type(self, type_: str) -> int | None:
        """Return a type's number if this process has met it."""
        return self._types.get(type_)

    def text_number(self, connection: sqlite3.Connection, text: Text) -> int | None:
        """Return a string's number; None when no resource ever had it."""
        number = self.known_text(text)
        if number is None:
            found = connection.execute("SELECT t FROM text WHERE p=? AND k=? AND e=?", text).fetchone()
            number = None if found is None else int(found[0])
        return number

    def known_text(self, text: Text) -> int | None:
        """Return a string's number if this process has met it lately."""
        return self._texts.get(text)

    def learn(
        self,
        types: Mapping[str, int],
        params: Mapping[str, Mapping[str, int]],
        texts: Mapping[Text, int],
    ) -> None:
        """Take over committed numbers; of strings the last few thousand, since most are names."""
        if len(self._texts) > _MOST_TEXTS:
            self._texts.clear()
        self._texts.update(texts)
        for name, number in types.items():
            self._learn_type(name, number)
        for name, numbers in params.items():
            self.params(name).update(numbers)

    def type_number(self, connection: sqlite3.Connection, type_: str) -> int | None:
        """Return a type's number; None when no resource of it was ever stored."""
        number = self._types.get(type_)
        if number is None:
            found = connection.execute("SELECT t FROM type WHERE name=?", (type_,)).fetchone()
            if found is None:
                return None
            number = found[0]
            self._learn_type(type_, number)
        return number

    def types(self) -> list[str]:
        """Return the types that this process has met, in the order in which they got their numbers."""
        return [self._names[number] for number in sorted(self._names)]

    def type_name(self, connection: sqlite3.Connection, sk: int) -> str:
        """Return the type of a resource by its stable number."""
        number = sk >> SEQUENCE_BITS
        if number not in self._names:
            self.load(connection)
        return self._names[number]

    def param_number(self, connection: sqlite3.Connection, type_: str, param: str) -> int | None:
        """Return a parameter's number; None when no resource ever had a value for it."""
        number = self.params(type_).get(param)
        if number is None:
            key = (f"{type_}.{param}",)
            found = connection.execute("SELECT p FROM param WHERE name=?", key).fetchone()
            if found is None:
                return None
            number = found[0]
            self.params(type_)[param] = number
        return number

    def _learn_type(self, name: str, number: int) -> None:
        self._types[name] = number
        self._names[number] = name

    def _learn_param(self, name: str, number: int) -> None:
        type_, _, param = name.partition(".")
        self.params(type_)[param] = number


class Draft:
    """Numbers allotted inside a write transaction; :meth:`adopt` them when it is committed, or forget them.

    What it reads from its own uncommitted transaction it keeps to itself: after a rollback no other thread
    must have seen it.
    """

    def __init__(self, names: Names, connection: sqlite3.Connection) -> None:
        self._names = names
        self._connection = connection
        self._types: dict[str, int] = {}
        self._params: dict[str, _Numbers] = {}
        self._texts: dict[Text, int] = {}

    def type_number(self, connection: sqlite3.Connection, type_: str) -> int | None:
        """Return a type's number as this transaction sees it."""
        number = self._types.get(type_) or self._names.known_type(type_)
        if number is None:
            found = connection.execute("SELECT t FROM type WHERE name=?", (type_,)).fetchone()
            if found is None:
                return None
            number = self._types[type_] = found[0]
        return number

    def param_number(self, connection: sqlite3.Connection, type_: str, param: str) -> int | None:
        """Return a parameter's number as this transaction sees it."""
        numbers = self._of(type_)
        if param not in numbers:
            key = (f"{type_}.{param}",)
            found = connection.execute("SELECT p FROM param WHERE name=?", key).fetchone()
            if found is None:
                return None
            numbers[param] = found[0]
        return numbers[param]

    def allot_type(self, type_: str) -> int:
        """Return a type's number, allotting it when it is new."""
        number = self.type_number(self._connection, type_)
        if number is None:
            number = 1 + self._connection.execute("SELECT coalesce(max(t), 0) FROM type").fetchone()[0]
            self._connection.execute("INSERT INTO type VALUES(?, ?)", (number, type_))
            self._types[type_] = number
        return number

    def allot_params(self, type_: str, wanted: set[str]) -> Mapping[str, int]:
        """Return the numbers of at least ``wanted`` parameters of a type, allotting the new ones."""
        for param in sorted(wanted - self._of(type_).keys()):
            if self.param_number(self._connection, type_, param) is None:
                number = self._connection.execute("SELECT 2 + coalesce(max(p), 0) FROM param").fetchone()[0]
                self._connection.execute("INSERT INTO param VALUES(?, ?)", (number, f"{type_}.{param}"))
                self._of(type_)[param] = number
        return self._of(type_)

    def allot_texts(self, wanted: Iterable[Text]) -> Mapping[Text, int]:
        """Return the number of each string, allotting the new ones. A number is never taken back."""
        numbers: dict[Text, int] = {}
        new: list[Text] = []
        for text in wanted:
            number = self._texts.get(text) or self._names.text_number(self._connection, text)
            if number is None:
                new.append(text)
            else:
                numbers[text] = number
        if new:
            numbers.update(self._new_texts(sorted(new)))
        self._texts.update(numbers)
        return numbers

    def _new_texts(self, texts: Sequence[Text]) -> dict[Text, int]:
        read, write = "SELECT value FROM meta WHERE key='texts'", "UPDATE meta SET value=? WHERE key='texts'"
        first = 1 + self._connection.execute(read).fetchone()[0]
        numbers = {text: number for number, text in enumerate(texts, first)}
        self._connection.executemany(
            "INSERT INTO text VALUES(?, ?, ?, ?)", ((*text, number) for text, number in numbers.items())
        )
        self._connection.execute(write, (first + len(texts) - 1,))
        return numbers

    def adopt(self) -> None:
        """Make the numbers known to the process: their transaction is committed."""
        self._names.learn(self._types, self._params, self._texts)

    def _of(self, type_: str) -> _Numbers:
        numbers = self._params.get(type_)
        if numbers is None:
            numbers = self._params[type_] = _Numbers(self._names.params(type_))
        return numbers
