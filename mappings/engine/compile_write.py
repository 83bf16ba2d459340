"""Map → what writing needs of each target: parsed paths, converters, constants as one tree."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mappings.engine import path
from mappings.engine.compile_target import for_sender
from mappings.engine.converters import Converter, chain
from mappings.engine.model import Condition, Group, Link, Map, Pair, Target
from mappings.engine.path import Path
from mappings.engine.systems import Systems, common, for_source


@dataclass(frozen=True, slots=True)
class PairWriter:
    """A pair with its path and converter ready."""

    pair: Pair
    to: Path
    converter: Converter | None


@dataclass(frozen=True, slots=True)
class LinkWriter:
    """A link with its path ready."""

    link: Link
    to: Path


@dataclass(frozen=True, slots=True)
class GroupWriter:
    """A group with its paths ready; ``number`` is the pair that says which row an element is, if any."""

    group: Group
    into: Path
    fields: tuple[PairWriter | LinkWriter | GroupWriter, ...]
    number: PairWriter | None
    constants: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Writer:
    """A target ready to be found in a Bundle and written."""

    target: Target
    systems: tuple[str, ...]
    fields: tuple[PairWriter | LinkWriter | GroupWriter, ...]
    constants: dict[str, Any]
    links: tuple[LinkWriter, ...]

    @property
    def written(self) -> bool:
        """True when the target is a resource of the Bundle, not a mere reference."""
        return self.target.by in {"update", "create"}


def compile_map(map_: Map, source: str, zone: str) -> tuple[Writer, ...]:
    """Make the writers of a map for one sending system and zone."""
    systems = map_.systems or common()
    return tuple(_target(target, source, zone, systems) for target in map_.targets)


def _target(target: Target, source: str, zone: str, systems: Systems) -> Writer:
    fields = _fields(target.fields, source, zone, systems)
    return Writer(
        target=target,
        systems=tuple(for_source(identity.system, source) for identity in target.identities),
        fields=fields,
        constants=_certain_constants(target, source, systems),
        links=tuple(item for item in fields if isinstance(item, LinkWriter)),
    )


def _fields(
    fields: Sequence[Pair | Link | Group], source: str, zone: str, systems: Systems
) -> tuple[PairWriter | LinkWriter | GroupWriter, ...]:
    return tuple(_field(item, source, zone, systems) for item in fields)


def _field(
    item: Pair | Link | Group, source: str, zone: str, systems: Systems
) -> PairWriter | LinkWriter | GroupWriter:
    if isinstance(item, Link):
        return LinkWriter(item, path.parse(item.to, systems, source))
    if isinstance(item, Pair):
        converter = chain([use.make(zone) for use in item.converters]) if item.converters else None
        return PairWriter(item, path.parse(item.to, systems, source), converter)
    fields = _fields(item.fields, source, zone, systems)
    number = next(
        (one for one in fields if isinstance(one, PairWriter) and one.pair.sources == ("$row",)), None
    )
    return GroupWriter(
        item,
        path.parse(item.into, systems, source),
        fields,
        number,
        _constants(item.constants, source, systems),
    )


def _certain_constants(target: Target, source: str, systems: Systems) -> dict[str, Any]:
    """Return what every resource of the target says: constants of elements that nothing else fills."""
    filled = {_first(item.into if isinstance(item, Group) else item.to) for item in target.fields}
    own = [
        (name, value)
        for name, value in target.constants
        if _first(name) == name or _first(name) not in filled
    ]
    return _constants(own, source, systems)


def _first(text: str) -> str:
    return re.split(r"[.\[(]", text, maxsplit=1)[0]


def _constants(constants: Sequence[tuple[str, Any]], source: str, systems: Systems) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in constants:
        path.place(tree, path.parse(name, systems, source), for_sender(value, source))
    return tree


def certain(condition: Condition) -> list[tuple[str, str]]:
    """List the (field, value) that follow from a condition that holds."""
    return [
        (test.path, test.values[0])
        for test in condition
        if test.values is not None and len(test.values) == 1 and not test.negated and not test.prefix
    ]
