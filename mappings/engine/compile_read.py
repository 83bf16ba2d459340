"""Map → Python functions that read a message: for each target one that identifies it and one that builds it.

The functions are generated as source, straight-line code without any path left to interpret: a message is
read in microseconds. ``source_of`` shows the code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mappings.engine.compile_target import Generated, TargetSource
from mappings.engine.model import Map, Target
from mappings.engine.support import consumers
from mappings.engine.systems import common


@dataclass(frozen=True, slots=True)
class Reader:
    """What was generated for one target.

    ``identify(tree, row, number, parameters, values)`` → (identity's number, value), None when a condition
    does not hold, or False when no identity has all its fields.
    ``build(tree, row, number, parameters, values, links, use, fail, warn, chosen, value)`` → resource.
    ``fields``: (root fields, row fields) that it carries unconditionally; ``keys``: the same per identity.
    """

    target: Target
    systems: tuple[str, ...]
    identify: Callable[..., Any]
    build: Callable[..., dict[str, Any]]
    fields: tuple[frozenset[str], frozenset[str]]
    keys: tuple[tuple[frozenset[str], frozenset[str]], ...]


def compile_map(map_: Map, source: str, zone: str) -> tuple[Reader, ...]:
    """Make the readers of a map for one sending system and zone."""
    generated, made = _generate(map_, source, zone)
    # The code is made of a map file's names by repr (emit.py), never of anything in a message.
    exec(compile(generated.code, f"<{map_.name}>", "exec"), generated.names)  # noqa: S102
    return tuple(
        Reader(
            target=each.target,
            systems=each.systems,
            identify=generated.names[f"identify_{number}"],
            build=generated.names[f"build_{number}"],
            fields=each.carried(),
            keys=each.keys(),
        )
        for number, each in enumerate(made)
    )


def source_of(map_: Map, source: str = "local", zone: str = "+08:00") -> str:
    """Return the generated code of a map, to look at."""
    return _generate(map_, source, zone)[0].code


def _generate(map_: Map, source: str, zone: str) -> tuple[Generated, list[TargetSource]]:
    generated = Generated(
        source, zone, map_.systems or common(), flat=map_.per == "row", consumers=consumers(map_)
    )
    made = [TargetSource(generated, target, map_) for target in map_.targets]
    for number, each in enumerate(made):
        each.write(number)
    return generated, made
