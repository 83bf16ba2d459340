"""Write a Bundle as native messages: the way back of a map.

What the map has no place for is not lost in silence: the messages are read again, and what does not come back
is listed (``losses``).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from mappings.engine import ids
from mappings.engine.bundle import Resources, identifiers
from mappings.engine.compile_write import GroupWriter, LinkWriter, PairWriter, Writer, certain, compile_map
from mappings.engine.converters import Warned
from mappings.engine.gather import Gathering, elements_of
from mappings.engine.losses import losses
from mappings.engine.model import Condition, Context, Issue, Map, Message, Tree, Written
from mappings.engine.path import find
from mappings.engine.rows import Row
from mappings.engine.support import text
from mappings.engine.systems import common


@lru_cache(maxsize=512)
def _writers(map_: Map, source: str, zone: str) -> tuple[Writer, ...]:
    return compile_map(map_, source, zone)


def write(map_: Map, bundle: Tree, context: Context) -> Written:
    """Write a Bundle (or one resource) as the messages that a map describes; Refused when it is neither."""
    resources = Resources(bundle)
    writers = _writers(map_, context.source, context.zone)
    gathering = Gathering(map_, writers, resources)
    rows = gathering.rows()
    writing = _Writing(writers, context)
    for row in rows:
        writing.row(row)
    for row in rows:
        writing.conditional(row)
    messages = [
        Message(map_.kind, row.finished(), direction=map_.direction, parameters=row.parameters)
        for row in rows
    ]
    issues = [*gathering.issues, *writing.issues]
    if not messages:
        issues.append(
            Issue("error", "not-found", "Bundle", f"Nothing in the Bundle is what {map_.name} writes.")
        )
        return Written([], issues)
    return Written(messages, issues + losses(map_, resources, gathering.candidates, messages, context))


class _Writing:
    """Fills rows: first what holds anyway, then what depends on conditions."""

    def __init__(self, writers: Sequence[Writer], context: Context) -> None:
        self.writers = writers
        self.context = context
        self.issues: list[Issue] = []
        self.later: list[tuple[Row, PairWriter, Any]] = []

    def row(self, row: Row) -> None:
        """Write what needs no condition of a row and its inner rows."""
        for writer in self.writers:
            found = row.found.get(writer.target.id)
            if found is not None and writer.target.each == row.block:
                self._target(row, writer, found)
        for rows in row.children.values():
            for inner in rows:
                self.row(inner)

    def _target(self, row: Row, writer: Writer, resource: Tree) -> None:
        self._tell_certain(row, writer.target.when)
        self._identity(row, writer, resource)
        self._fields(row, writer.fields, resource)

    def _identity(self, row: Row, writer: Writer, resource: Tree) -> None:
        for system, value in identifiers(resource):
            for identity, own in zip(writer.target.identities, writer.systems, strict=True):
                parts = ids.split(value, len(identity.values)) if own == system else None
                if parts is None:
                    continue
                for source, part in zip(identity.values, parts, strict=True):
                    if row.get(source) is None:
                        row.put(source, part)
                self._tell_certain(row, identity.when)
                # The same address may stand for other fields in another identity: the first counts.
                break

    def _fields(self, row: Row, fields: Sequence[Any], tree: Tree) -> None:
        for item in fields:
            if isinstance(item, PairWriter):
                self._pair(row, item, tree)
            elif isinstance(item, GroupWriter):
                for inner, element in elements_of(item, tree, row):
                    self._tell_certain(inner, item.group.when)
                    self._fields(inner, item.fields, element)
            elif isinstance(item, LinkWriter) and find(tree, item.to) is not None:
                self._tell_certain(row, item.link.when)

    def _pair(self, row: Row, item: PairWriter, tree: Tree) -> None:
        pair = item.pair
        if pair.one_way == "read" or pair.sources[0] == "$row":
            return
        value = find(tree, item.to, common().aliases)
        if value is None:
            return
        if pair.when:
            self.later.append((row, item, value))
        else:
            self._convert(row, item, value)

    def conditional(self, row: Row) -> None:
        """Write what depends on conditions, which all other fields are there for now."""
        own = [each for each in self.later if each[0]._top() is row]  # noqa: SLF001 - rows of one message
        for inner, item, value in own:
            told = dict(certain(item.pair.when))
            if all(
                inner.holds(test) or (test.path in told and inner.get(test.path) is None)
                for test in item.pair.when
            ):
                self._tell_certain(inner, item.pair.when)
                self._convert(inner, item, value)

    def _tell_certain(self, row: Row, condition: Condition) -> None:
        for source, value in certain(condition):
            if row.get(source) is None:
                row.put(source, value)

    def _convert(self, row: Row, item: PairWriter, value: Any) -> None:
        pair, converter = item.pair, item.converter
        try:
            native = converter.write(value) if converter is not None else _plain(value)
        except ValueError as error:
            self._tell("error", pair.to, f"{error} ({pair.to} → {pair.sources[0]})")
            return
        for source, own in zip(
            pair.sources, native if converter and converter.many else (native,), strict=True
        ):
            if own is None:
                continue
            earlier = row.get(source)
            if earlier is None:
                row.put(source, own)
            elif earlier != own and not _says(item, earlier, value):
                self._tell(
                    "warning",
                    pair.to,
                    f"{pair.to} says otherwise than what {source} was written from; left out.",
                )

    def _tell(self, severity: Any, where: str, sentence: str) -> None:
        self.issues.append(Issue(severity, "value", where, sentence))


def _plain(value: Any) -> Any:
    if isinstance(value, dict | list):
        raise ValueError("A single value is expected here, not a list or an object.")  # noqa: TRY004
    return text(value)


def _says(item: PairWriter, native: Any, value: Any) -> bool:
    """Tell whether the pair reads ``native`` as ``value``: then the two do not contradict each other."""
    if item.converter is None or item.converter.many:
        return False
    try:
        read = item.converter.read(native)
    except ValueError:
        return False
    return bool((read.value if isinstance(read, Warned) else read) == value)
