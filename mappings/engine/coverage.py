"""Which source fields and FHIR elements a map carries: the coverage table of ``fhir-map check``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mappings.engine.model import Group, Link, Map, Pair
from mappings.engine.support import conditions, told


@dataclass(frozen=True, slots=True)
class Line:
    """A source field and an element it goes to. ``how``: "⇄", "→" (read), "←" (write), or why not."""

    source: str
    element: str
    how: str


def coverage(map_: Map, fields: Sequence[str] | None = None) -> list[Line]:
    """List every source field of a map, and those of ``fields`` (the format's) that it does not carry."""
    lines = list(_mapped(map_))
    lines += [Line(path, "", f"ignored: {reason}") for path, reason in map_.ignored.items()]
    known = {line.source for line in lines}
    lines += [Line(path, "", "not mapped") for path in fields or () if path not in known]
    return lines


def _mapped(map_: Map) -> Iterator[Line]:
    seen: set[str] = set()
    for target in map_.targets:
        for identity in target.identities:
            for source in identity.values:
                yield Line(source, f"{target.id}: {target.type}.identifier", "⇄")
        for line in _fields(target.fields, f"{target.id}: {target.type}"):
            seen.add(line.source)
            yield line
        for condition in conditions(target):
            for source in told(condition):
                if source not in seen:
                    seen.add(source)
                    yield Line(source, f"{target.id}: {target.type}", "⇄ (condition)")


def _fields(fields: tuple[Pair | Link | Group, ...], prefix: str) -> Iterator[Line]:
    for item in fields:
        if isinstance(item, Group):
            yield from _fields(item.fields, f"{prefix}.{item.into}[]")
        elif isinstance(item, Pair):
            arrow = {"": "⇄", "read": "→", "write": "←"}[item.one_way]
            reason = f" {item.reason}" if item.reason else ""
            for source in item.sources:
                yield Line(source, f"{prefix}.{item.to}", f"{arrow}{reason}")
