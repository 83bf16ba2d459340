"""Functions that SQL calls where digests cannot answer: they open the payload and read the values again.

A test that SQL cannot express is handed over by number: its predicate stays in this process.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Final, cast

from fhir_server.crypto.blind import BlindIndex
from fhir_server.faults import Fault, Kind
from fhir_server.search.fold import fold
from fhir_server.search.joined import indexed_as
from fhir_server.search.match import matches
from fhir_server.search.predicate import Contains, Together, Where
from fhir_server.search.query import SortKey
from fhir_server.search.values import Values
from fhir_server.store.bodies import id_of
from fhir_server.store.sqlite.records import Opener
from fhir_server.store.sqlite.schema import Connection

Extractor = Callable[[str, bytes], Values]
"""Type and canonical body → searchable values."""

_MOST_TEXTS: Final = 50_000

MOST_CONTAINERS: Final = 20_000
"""Resources that one question opens to look at what they contain: about a second of one processor."""


class Texts:
    """Folded strings by the digest that the index keeps of them: what was opened once is not opened again.

    One for all connections of a process. Bounded; the strings that were asked for longest ago go first.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[int, str] = OrderedDict()

    def get(self, digest: int) -> str | None:
        """Return the folded string; None when it is not known."""
        return self._known.get(digest)

    def put(self, digest: int, folded: str) -> None:
        """Remember a folded string."""
        self._known[digest] = folded
        if len(self._known) > _MOST_TEXTS:
            self._known.popitem(last=False)


class Judge:
    """Answers for one connection what only an opened resource can tell.

    ``opened``, ``candidates``: how many payloads were opened and candidates seen since :meth:`begin`.
    ``refusal``: why it stopped the statement that asked; the engine itself reports no more than that it did.
    """

    def __init__(
        self,
        opener: Opener,
        extractor: Extractor,
        blind: BlindIndex,
        texts: Texts,
        clock: Callable[[], int],
    ) -> None:
        self._opener = opener
        self._extractor = extractor
        self._blind = blind
        self._texts = texts
        self._clock = clock
        self._now = 0
        self._tests: list[Where | Together | Contains] = []
        self.refusal: Fault | None = None
        self._last: tuple[tuple[int, int], Values] | None = None
        self.opened = 0
        self.candidates = 0

    def begin(self) -> None:
        """Begin a question: look at the clock, and forget the tests of the question before."""
        self._now = self._clock()
        self._tests.clear()
        self._last = self.refusal = None
        self.opened = self.candidates = 0

    def number(self, test: Where | Together | Contains) -> int:
        """Return the number by which ``holds`` knows a test."""
        self._tests.append(test)
        return len(self._tests) - 1

    def values(self, type_: str, digest: int, version: int, payload: bytes) -> Values:
        """Return the values of a stored version; of the last one asked for without opening it again."""
        key = (digest, version)
        if self._last is None or self._last[0] != key:
            body = self._opener.body(type_, digest, version, payload)
            self._last = key, self._extractor(type_, body)
            self.opened += 1
        return self._last[1]

    def moment(self) -> int:
        """Tell SQL when the question was begun (ms since the epoch), the same for all its statements."""
        return self._now

    def seen(self, _candidate: int) -> bool:
        """Count a candidate that SQL is about to test."""
        self.candidates += 1
        return True

    def holds(self, type_: str, digest: int, version: int, payload: bytes, number: int) -> bool:
        """Tell SQL whether a resource passes test ``number``, by the plain words of ``search.match``."""
        values, test = self.values(type_, digest, version, payload), self._tests[number]
        if isinstance(test, Contains) and self.opened > MOST_CONTAINERS:
            self.refusal = Fault(
                Kind.TOO_COSTLY,
                f"More than {MOST_CONTAINERS} resources would be opened to look at what they contain. Search "
                "for the resources that contain them, by patient or period.",
            )
            raise self.refusal
        return matches(test, type_, "", values, lambda *_: None, lambda *_: ())

    def known(self, text: int, part: str) -> bool | None:
        """Tell SQL whether the string with digest ``text`` contains ``part``; NULL when it is not known."""
        folded = self._texts.get(text)
        return None if folded is None else part in folded

    def contains(
        self, type_: str, digest: int, version: int, payload: bytes, param: str, text: int, part: str
    ) -> bool:
        """Tell SQL the same, opening a resource that has the string as a value of ``param``."""
        for name, string in self.values(type_, digest, version, payload).strings:
            if name == param and self._blind.text(string) == text:
                folded = fold(string)
                self._texts.put(text, folded)
                return part in folded
        return False

    def sort_key(
        self, type_: str, digest: int, version: int, payload: bytes, param: str, down: int
    ) -> SortKey:
        """Tell SQL the least value of ``param`` as it is compared, the greatest with ``down``; NULL: none."""
        if param == "_id":
            return id_of(type_, self._opener.body(type_, digest, version, payload))
        values = self.values(type_, digest, version, payload)
        keys = [key for each in indexed_as(type_, param) for key in _keys(values, each)]
        if not keys:
            return None
        return max(keys) if down else min(keys)


def register(connection: Connection, judge: Judge) -> None:
    """Give ``connection`` the functions that SQL calls: the names are those of the judge's methods."""
    connection.create_function("moment", 0, judge.moment)
    connection.create_function("seen", 1, judge.seen)
    connection.create_function("holds", 5, judge.holds)
    connection.create_function("known", 2, judge.known)
    connection.create_function("contains", 7, judge.contains)
    connection.create_function("sort_key", 6, judge.sort_key)
    connection.judge = judge


def judge_of(connection: sqlite3.Connection) -> Judge:
    """Return what was registered for a connection of the store."""
    return cast("Judge", cast("Connection", connection).judge)


def refusal(connection: sqlite3.Connection) -> Fault | None:
    """Return why the judge of a connection stopped its last statement, once; None when it did not."""
    judge: Judge | None = getattr(connection, "judge", None)
    if judge is None:
        return None
    found, judge.refusal = judge.refusal, None
    return found


def _keys(values: Values, param: str) -> Iterator[str]:
    """Yield the values of a parameter as they are compared; a parameter has values of one kind only."""
    yield from (fold(text) for name, text in values.strings if name == param)
    yield from (code for name, _, code in values.tokens if name == param)
    plain: Iterable[tuple[str, str]] = (*values.references, *values.uris)
    yield from (text for name, text in plain if name == param)
