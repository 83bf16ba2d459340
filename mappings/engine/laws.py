"""The laws of a map, checked on made-up messages: what was read is written back, and reads the same again.

    write(read(m)) == m   on the fields that pairs carry both ways, in canonical form
    read(write(r)) == r   on the elements that the map makes

A made-up message draws each field from its converter's samples. Any object with the methods of
``random.Random`` draws: the command line's from a seed, the tests' from Hypothesis, which shrinks what fails.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from mappings.engine.converters import Converter, chain
from mappings.engine.converters.texts import some_text
from mappings.engine.model import Condition, Context, Group, Map, Message, Pair, Result, Target, Test, Tree
from mappings.engine.rows import Row
from mappings.engine.run import read_all
from mappings.engine.support import blocks, conditions, pairs
from mappings.engine.support import text as as_text
from mappings.engine.write import write

Sampler = Callable[[Random], Any]

_CONTEXT = Context(source="laws", archive=False)


@dataclass(frozen=True, slots=True)
class Broken:
    """A law that does not hold: which, where, and what came out instead."""

    law: str
    path: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.law}: {self.path} was {self.before!r} and comes back as {self.after!r}"


@dataclass(slots=True)
class Fields:
    """The source fields of a map with what draws a value for each. ``joined``: those drawn together.

    ``fallbacks``: converters of pairs that only read, for fields that no pair carries both ways.
    """

    samplers: dict[str, list[Sampler]] = field(default_factory=dict)
    joined: list[tuple[tuple[str, ...], Sampler]] = field(default_factory=list)
    named: set[str] = field(default_factory=set)
    fallbacks: dict[str, Sampler] = field(default_factory=dict)


def fields_of(map_: Map, zone: str = "+08:00") -> Fields:
    """Find what draws each source field's values: its pairs' converters, conditions, identities."""
    found = Fields()
    for target in map_.targets:
        for pair in pairs(target.fields):
            if pair.one_way == "write" or pair.sources == ("$row",):
                continue
            _of_pair(found, pair, zone)
        for condition in conditions(target):
            for test in condition:
                if test.values and not test.negated and not test.prefix:
                    _add(found, test.path, _one_of(test.values))
        for identity in target.identities:
            for source in identity.values:
                found.named.add(source)
    _fall_back(found)
    return found


def _fall_back(found: Fields) -> None:
    """Give each field that nothing draws what only reads it, or else plain text."""
    for source in {*found.named, *found.samplers}:
        if not found.samplers.setdefault(source, []):
            found.samplers[source].append(found.fallbacks.get(source, some_text))


def _of_pair(found: Fields, pair: Pair, zone: str) -> None:
    converter = chain([use.make(zone) for use in pair.converters]) if pair.converters else None
    if len(pair.sources) > 1 and converter is not None:
        found.joined.append((pair.sources, converter.sample))
        return
    source = pair.sources[0]
    if converter is not None and pair.one_way != "read":
        # What has a two-way converter is drawn from it alone: plain text would not convert.
        _add(found, source, _fitting(converter))
    else:
        found.samplers.setdefault(source, [])
        if converter is not None:
            found.fallbacks.setdefault(source, converter.sample)


def _add(found: Fields, source: str, sampler: Sampler) -> None:
    found.samplers.setdefault(source, []).append(sampler)


def _one_of(values: tuple[str, ...]) -> Sampler:
    return lambda random: random.choice(values)


def _fitting(converter: Converter) -> Sampler:
    return converter.sample


def some_message(
    map_: Map, random: Random, own: Mapping[str, Sampler] | None = None, needed: Collection[str] = ()
) -> Message:
    """Make a message up; any field but those that name resources, and those ``needed``, may lack.

    ``own``: what draws certain fields, where a format knows better.
    """
    known = fields_of(map_)
    known.named |= known.samplers.keys() & set(needed)
    top = Row("", flat=map_.per == "row")
    for block in blocks(map_):
        for parent in [row for row in _walk(top) if row.block == _outer(block, map_)]:
            for index in range(random.randint(1, 3)):
                parent.child(block, index)
    for row in _walk(top):
        _fill(row, known, random, own or {})
    # Without what makes the message, there would be nothing to write back.
    _satisfy(top, _anchor(map_).when, known, random)
    for row in list(_walk(top)):
        _keep_distinct(row, map_)
    return Message(map_.kind, top.finished(), direction=map_.direction, parameters=top.parameters)


def _anchor(map_: Map) -> Target:
    """Return the target that makes a message: the one that says so, else the first that is written."""
    own = [target for target in map_.targets if not target.each and target.by in {"update", "create"}]
    return next((target for target in own if target.anchor), own[0] if own else map_.targets[0])


def _satisfy(row: Row, condition: Condition, known: Fields, random: Random) -> None:
    """Draw the fields of a condition again until it holds."""
    for test in condition:
        if test.values is None and test.negated:
            row.put(test.path, None)
        for _ in range(100):
            if row.holds(test):
                break
            wanted = test.values if test.values and not test.negated else None
            row.put(test.path, random.choice(wanted) if wanted else _drawn(test.path, known, random, {}))


def _keep_distinct(row: Row, map_: Map) -> None:
    """Drop rows that name the same resource as an earlier one: they would be one on the way back."""
    for block, inner in row.children.items():
        targets = [target for target in map_.targets if target.each == block and target.by == "update"]
        seen: set[tuple[str, Any]] = set()
        kept = []
        for each in inner:
            names = {(target.id, _name(target, each)) for target in targets}
            if not names & seen:
                kept.append(each)
                seen |= names
        inner[:] = kept


def _name(target: Target, row: Row) -> tuple[Any, ...] | None:
    """Return what names a target's resource in a row; None when nothing does."""
    for identity in target.identities:
        values = tuple(row.get(source) for source in identity.values)
        if None not in values:
            return values
    return None


def _outer(block: str, map_: Map) -> str:
    """Return the innermost repeated block that holds ``block``."""
    holders = [other for other in blocks(map_) if block.startswith(f"{other}.")]
    return max(holders, key=len, default="")


def _walk(row: Row) -> Iterator[Row]:
    yield row
    for rows in row.children.values():
        for inner in rows:
            yield from _walk(inner)


def _fill(row: Row, known: Fields, random: Random, own: Mapping[str, Sampler]) -> None:
    every = {source for sources, _ in known.joined for source in sources} | known.samplers.keys()
    inner = set(row.children)
    for sources, sampler in known.joined:
        if _belongs(sources[0], row, inner):
            for source, value in zip(sources, sampler(random), strict=True):
                if value is not None and row.get(source) is None:
                    row.put(source, value)
    own_fields = [
        source
        for source in sorted(every)
        if _belongs(source, row, inner) and row.get(source) is None and not source.startswith("$context")
    ]
    for source in own_fields:
        if source in known.named or random.random() >= 0.1:
            row.put(source, _drawn(source, known, random, own))
    if row.block and not row.tree and own_fields:
        # A row that says nothing makes no element, and the rows after it would count otherwise.
        row.put(own_fields[0], _drawn(own_fields[0], known, random, own))


def _drawn(source: str, known: Fields, random: Random, own: Mapping[str, Sampler]) -> Any:
    samplers = [own[source]] if source in own else known.samplers.get(source) or [some_text]
    return random.choice(samplers)(random)


def _belongs(source: str, row: Row, inner: set[str]) -> bool:
    """Tell whether a field is one of the row's own, not of a row inside it or around it."""
    if any(source.startswith(f"{block}.") for block in inner):
        return False
    return not row.block or source.startswith(f"{row.block}.")


def broken(map_: Map, message: Message, context: Context = _CONTEXT) -> list[Broken]:
    """Check both laws on a message; an empty list when they hold."""
    first = read_all(map_, (message,), context)
    written = write(map_, first.bundle, context)
    if len(written.messages) != 1:
        return [Broken("write(read(m)) = m", map_.kind, "one message", f"{len(written.messages)} messages")]
    native = written.messages[0]
    found = [
        Broken("write(read(m)) = m", path, before, after)
        for path, before, after in _differences(map_, message, native, first)
    ]
    second = read_all(map_, (replace(message, tree=native.tree, parameters=native.parameters),), context)
    before, after = _resources(first), _resources(second)
    found += [
        Broken("read(write(r)) = r", f"{key}", before.get(key), after.get(key))
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]
    return found


def _resources(result: Result) -> dict[str, Tree]:
    return {entry["fullUrl"]: entry["resource"] for entry in result.bundle["entry"]}


def _differences(
    map_: Map, before: Message, after: Message, result: Result
) -> Iterator[tuple[str, Any, Any]]:
    """Yield the carried fields whose canonical value is another one after the round trip."""
    lost = {left.path for left in result.unmapped} | set(map_.ignored)
    one_way = {
        source
        for target in map_.targets
        for pair in pairs(target.fields)
        if pair.one_way == "read"
        for source in pair.sources
    } - two_way(map_)
    defaults = _defaults(map_)
    left, right = dict(leaves(before)), dict(leaves(after))
    for path in sorted(left.keys() | right.keys()):
        plain = general(path)
        if plain in lost or plain in one_way or plain.startswith("$context"):
            continue
        one, other = left.get(path), right.get(path)
        if as_text(one) != as_text(other) and not (one is None and other == defaults.get(plain)):
            yield path, one, other


def two_way(map_: Map) -> set[str]:
    """Return the source fields that some pair or identity carries both ways."""
    found = {
        source for target in map_.targets for identity in target.identities for source in identity.values
    }
    for target in map_.targets:
        found |= {source for pair in pairs(target.fields) if not pair.one_way for source in pair.sources}
    return found


def _defaults(map_: Map) -> dict[str, str]:
    return {
        pair.sources[0]: pair.default
        for target in map_.targets
        for pair in pairs(target.fields)
        if pair.default is not None
    }


def leaves(message: Message) -> Iterator[tuple[str, Any]]:
    """Yield (path with row numbers, value) of every field that has a value, parameters too."""
    yield from _leaves(message.tree, "")
    for name, value in message.parameters.items():
        yield f"$parameters.{name}", value


def _leaves(tree: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict):
        for name, value in tree.items():
            yield from _leaves(value, f"{path}.{name}" if path else name)
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from _leaves(value, f"{path}[{index}]")
    elif as_text(tree) is not None:
        yield path, tree


def general(path: str) -> str:
    """Return a path without its row numbers."""
    return "".join(part.partition("]")[2] if index else part for index, part in enumerate(path.split("[")))


__all__ = ["Broken", "Condition", "Group", "Test", "broken", "fields_of", "leaves", "some_message", "two_way"]
