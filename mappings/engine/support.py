"""What generated readers call, and what is known of a map's source paths."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from mappings.engine.model import Condition, Group, Link, Map, Pair, Target

EMPTY: Mapping[str, Any] = {}


_is_code = re.compile(r"[A-Za-z0-9._\-]{1,8}").fullmatch


def quoted(value: str) -> str:
    """Quote a value that should be a code; one that does not look like a code may be somebody's name."""
    return f"'{value}'" if _is_code(value) else f"of {len(value)} characters"


def text(value: Any) -> Any:
    """Return a native value that is no str as text: None and blanks are None; so are lists and objects.

    (Those are reported as unmapped, since a field that expects one value cannot carry them.)
    """
    if value.__class__ is str:
        return value.strip() or None
    if value is None or isinstance(value, dict | list):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:f}" if hasattr(value, "as_tuple") else str(value)


def anything(value: Any) -> Any:
    """Return a native value of whatever shape; empty ones are None."""
    if isinstance(value, str):
        return value.strip() or None
    return value if value not in ([], {}) else None


def one(value: Any) -> Mapping[str, Any]:
    """Return a block as an object: a list's first; an empty one when it is neither."""
    if isinstance(value, dict):
        return value
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return value[0]
    return EMPTY


def rows_of(value: Any) -> list[dict[str, Any]]:
    """Return a block as rows: an object stands for a list of one."""
    if isinstance(value, list):
        return [row for row in value if isinstance(row, dict)]
    return [value] if isinstance(value, dict) and value else []


def first(*values: Any) -> Any:
    """Return the first value that is there."""
    return next((value for value in values if value is not None), None)


def merge(base: Any, over: Any) -> Any:
    """Return ``over`` with what ``base`` has besides; objects are merged, lists joined."""
    if over is None:
        return base
    if isinstance(base, dict) and isinstance(over, dict):
        merged = dict(base)
        for key, value in over.items():
            merged[key] = merge(base[key], value) if key in base else value
        return merged
    if isinstance(base, list) and isinstance(over, list):
        return [*base, *over]
    return over


def pairs(fields: tuple[Pair | Link | Group, ...]) -> Iterator[Pair]:
    """Yield the pairs among fields, those in groups too."""
    for item in fields:
        if isinstance(item, Pair):
            yield item
        elif isinstance(item, Group):
            yield from pairs(item.fields)


def conditions(target: Target) -> Iterator[Condition]:
    """Yield every condition of a target."""
    yield target.when
    yield from (identity.when for identity in target.identities)
    stack = list(target.fields)
    while stack:
        item = stack.pop()
        yield item.when
        if isinstance(item, Group):
            stack += item.fields


def read_sources(pair: Pair) -> tuple[str, ...]:
    """Return the source fields that a pair carries over when reading."""
    return () if pair.one_way == "write" else pair.sources


def told(condition: Condition) -> tuple[str, ...]:
    """Return the fields whose value follows from the condition: those that must have one certain value."""
    return tuple(
        test.path
        for test in condition
        if test.values is not None and len(test.values) == 1 and not test.negated and not test.prefix
    )


def consumers(map_: Map) -> Counter[str]:
    """Count what carries each source field over: pairs, identities, conditions that tell its value."""
    counted: Counter[str] = Counter()
    for target in map_.targets:
        counted.update(path for pair in pairs(target.fields) for path in read_sources(pair))
        counted.update(path for identity in target.identities for path in identity.values)
        counted.update(path for condition in conditions(target) for path in told(condition))
    return counted


def blocks(map_: Map) -> tuple[str, ...]:
    """List the blocks that repeat, outer ones first: those of targets and of groups."""
    found: set[str] = set()
    stack: list[Any] = list(map_.targets)
    while stack:
        item = stack.pop()
        if isinstance(item, Target | Group):
            found.add(item.each)
            stack += [field for field in item.fields if isinstance(field, Group)]
    return tuple(sorted(found - {""}, key=lambda block: (block.count("."), block)))
