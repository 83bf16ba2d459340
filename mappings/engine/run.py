"""Run a map: messages → transaction Bundle, what was not carried over, and what to know about it.

https://hl7.org/fhir/R4/http.html#transaction
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from mappings.engine import ids
from mappings.engine.archive import archive
from mappings.engine.compile_read import Reader, compile_map
from mappings.engine.converters import Warned
from mappings.engine.leftovers import Leftovers
from mappings.engine.model import Context, Issue, Map, Message, Result, Tree
from mappings.engine.support import EMPTY, rows_of

_WRITTEN = frozenset({"update", "create"})


@lru_cache(maxsize=512)
def _readers(map_: Map, source: str, zone: str) -> tuple[Reader, ...]:
    return compile_map(map_, source, zone)


def read(map_: Map, message: Message, context: Context) -> Result:
    """Read one message (or one row) into a transaction Bundle."""
    return read_all(map_, (message,), context)


def read_all(map_: Map, messages: Sequence[Message], context: Context) -> Result:
    """Read messages of one kind into one transaction Bundle; what several name is in it once.

    A message of which something cannot be converted still gives all the rest; the issues say what and where.
    """
    reading = _Reading(map_, _readers(map_, context.source, context.zone), context)
    for message in messages:
        reading.message(message)
    entries = list(reading.entries.values())
    if context.archive and map_.archive and entries:
        entries += archive(map_, messages, entries, context)
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    return Result(bundle, reading.leftovers.listed(), reading.issues)


@dataclass(slots=True)
class _Frame:
    """One message under way: its rows, the references to what it names, what has been carried."""

    message: Message
    links: dict[str, Any] = field(default_factory=dict)
    used: dict[int, set[str]] = field(default_factory=dict)

    def use(self, row: Any) -> set[str]:
        """Return the set of fields that were carried of a row."""
        found = self.used.get(id(row))
        if found is None:
            found = self.used[id(row)] = set()
        return found


class _Reading:
    """Reads messages one after the other into one set of entries."""

    def __init__(self, map_: Map, readers: Sequence[Reader], context: Context) -> None:
        self.map = map_
        self.readers = readers
        self.entries: dict[str, Tree] = {}
        self.issues: list[Issue] = []
        # References to what a map tells by its identity alone: rows of one patient name him over and over.
        self.told: dict[tuple[int, int, str] | None, Tree] = {}
        self.urls: dict[tuple[int, int, str], str] = {}
        self.leftovers = Leftovers(map_)
        own = {"source": context.source, "zone": context.zone, "now": context.now}
        self.values: Mapping[str, Any] = {**context.values, **own}
        self.frame = _Frame(Message("", {}))

    def message(self, message: Message) -> None:
        """Read one message."""
        frame = self.frame = _Frame(message)
        tree = message.tree
        frame.used[id(tree)] = set()
        made: list[tuple[Reader, Any, int, int, str, str]] = []
        for reader in self.readers:
            each = reader.target.each
            if not each:
                frame.links[reader.target.id] = self._identify(reader, tree, EMPTY, 1, made)
                continue
            links = frame.links[reader.target.id] = {}
            for number, row in enumerate(_rows(tree, each), 1):
                frame.used.setdefault(id(row), set())
                link = self._identify(reader, tree, row, number, made)
                if link is not None:
                    links[id(row)] = link
        for reader, row, number, chosen, value, url in made:
            self._build(reader, row, number, chosen, value, url)
        self.leftovers.of(tree, frame.used)

    def _identify(
        self, reader: Reader, tree: Tree, row: Any, number: int, made: list[Any]
    ) -> dict[str, Any] | None:
        """Find out who a target is; note what is to be built; return the reference to it."""
        message, target = self.frame.message, reader.target
        found = reader.identify(tree, row, number, message.parameters, self.values)
        if not found:
            if found is False and target.by in _WRITTEN:
                self._nameless(reader, number)
            return None
        chosen, value = found
        self._carry(reader.keys[chosen], tree, row)
        self._carry(reader.fields, tree, row)
        bare = (id(reader), chosen, value) if target.by != "update" and not target.fields else None
        if bare in self.told:
            return self.told[bare]
        link = self._linked(reader, row, number, chosen, value, made)
        if bare is not None:
            self.told[bare] = link
        return link

    def _linked(
        self, reader: Reader, row: Any, number: int, chosen: int, value: str, made: list[Any]
    ) -> dict[str, Any]:
        """Note what is to be built of a target that is identified; return the reference to it."""
        target = reader.target
        if target.by in _WRITTEN:
            key = (id(reader), chosen, value)
            url = self.urls.get(key)
            if url is None:
                url = self.urls[key] = ids.full_url(target.type, reader.systems[chosen], value)
            made.append((reader, row, number, chosen, value, url))
            return {"reference": url}
        if target.by == "refer":
            search = target.identities[chosen].search
            value = ids.condition(target.type, reader.systems[chosen], value, search)
        return self._made(reader, row, number, chosen, value)

    def _carry(self, fields: tuple[frozenset[str], frozenset[str]], tree: Tree, row: Any) -> None:
        root, own = fields
        if root:
            self.frame.used[id(tree)].update(root)
        if own:
            self.frame.use(row).update(own)

    def _made(self, reader: Reader, row: Any, number: int, chosen: int, value: str) -> Tree:
        frame = self.frame
        message = frame.message
        return reader.build(
            message.tree, row, number, message.parameters, self.values, frame.links, frame.use,
            self._fail, self._warn, chosen, value,
        )  # fmt: skip

    def _build(self, reader: Reader, row: Any, number: int, chosen: int, value: str, url: str) -> None:
        target = reader.target
        earlier = self.entries.get(url)
        if earlier is not None and target.by == "create" and not target.fields:
            return  # it says nothing but its identity, which what is there says too
        resource = self._made(reader, row, number, chosen, value)
        if earlier is not None:
            if earlier["resource"] == resource:
                return
            puts = "ifNoneExist" not in earlier["request"]
            if target.by == "create" and puts:
                return
            if puts or target.by == "create":
                kept = "last" if target.by == "update" else "first"
                self._tell(
                    "information",
                    "duplicate",
                    target.id,
                    f"{target.type} comes more than once; the {kept} is taken.",
                )
            if target.by == "create":
                return
        self.entries[url] = {
            "fullUrl": url,
            "resource": resource,
            "request": _request(target.by, target.type, reader.systems[chosen], value),
        }

    def _fail(
        self, used: set[str], relative: str, source: str, to: str, error: Exception, alone: bool
    ) -> None:
        if alone:
            used.discard(relative)
        self._tell("error", "value", source, f"{error} ({source} → {to})")

    def _warn(self, source: str, warned: Warned) -> Any:
        self._tell("warning", "value", source, warned.sentence)
        return warned.value

    def _nameless(self, reader: Reader, number: int) -> None:
        target = reader.target
        wanted = " or ".join(" + ".join(identity.values) for identity in target.identities)
        which = f" of row {number} of {target.each}" if target.each else ""
        self._tell(
            "warning",
            "required",
            target.id,
            f"{target.type}{which} is left out: it has no identity ({wanted}).",
        )

    def _tell(self, severity: Any, code: str, where: str, sentence: str) -> None:
        at = self.frame.message.where
        self.issues.append(Issue(severity, code, f"{at} {where}".strip(), sentence))


def _rows(tree: Any, each: str) -> Iterable[dict[str, Any]]:
    """Return the rows of a block, which may be inside the rows of another."""
    holders = [tree]
    *parents, last = each.split(".")
    for name in parents:
        holders = [row for holder in holders for row in rows_of(holder.get(name))]
    return [row for holder in holders for row in rows_of(holder.get(last))]


def _request(by: str, type_: str, system: str, value: str) -> dict[str, str]:
    if by == "create":
        return {"method": "POST", "url": type_, "ifNoneExist": f"identifier={ids.token(system, value)}"}
    return {"method": "PUT", "url": ids.condition(type_, system, value)}
