"""YAML that remembers where everything stands, so that a report can say line and column."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import yaml

from mappings.engine.model import Issue, Position, Refused

_MOST_NODES = 200_000
"""Aliases can make a small file mean billions of nodes."""

_MOST_DEPTH = 50
"""An alias may even hold itself."""

_INTEGER = re.compile(r"-?(0|[1-9]\d*)")
_DECIMAL = re.compile(r"-?(0|[1-9]\d*)\.\d+")
_WORDS = {"null": None, "~": None, "": None, "true": True, "false": False}


@dataclass(slots=True)
class Spot:
    """A value and its place. ``value``: text, {key: Spot} or [Spot]; ``keys``: where each key stands.

    ``plain``: a scalar without quotes, which may mean a number, a boolean or nothing.
    """

    value: str | dict[str, Spot] | list[Spot]
    at: Position
    plain: bool = False
    keys: dict[str, Position] = field(default_factory=dict)

    @property
    def data(self) -> Any:
        """The value as JSON data: ``01`` stays text, ``1`` is an int, ``true`` a bool, ``1.50`` a Decimal."""
        if isinstance(self.value, dict):
            return {key: spot.data for key, spot in self.value.items()}
        if isinstance(self.value, list):
            return [spot.data for spot in self.value]
        if not self.plain:
            return self.value
        if self.value in _WORDS:
            return _WORDS[self.value]
        if _INTEGER.fullmatch(self.value):
            return int(self.value)
        return Decimal(self.value) if _DECIMAL.fullmatch(self.value) else self.value

    @property
    def texts(self) -> Any:
        """The value with each scalar as the text that stands there: codes are text, whatever the look."""
        if isinstance(self.value, dict):
            return {key: spot.texts for key, spot in self.value.items()}
        if isinstance(self.value, list):
            return [spot.texts for spot in self.value]
        return self.value


def read(text: str, file: str) -> Spot:
    """Read YAML text; Refused with the place when it is no YAML, has a key twice, or is too big."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        at = Position(file, mark.line + 1, mark.column + 1) if mark else Position(file)
        raise refusal(at, f"This is no YAML: {error.problem or error.context}.") from error
    except yaml.YAMLError as error:
        raise refusal(Position(file, 1, 1), "This is no YAML text.") from error
    if node is None:
        raise refusal(Position(file, 1, 1), "The file is empty.")
    return _spot(node, file, iter(range(_MOST_NODES)), 0)


def refusal(at: Position, sentence: str) -> Refused:
    """Make the refusal of something in a map file."""
    return Refused(Issue("error", "structure", str(at), sentence))


def _spot(node: yaml.Node, file: str, budget: Iterator[int], depth: int) -> Spot:
    at = Position(file, node.start_mark.line + 1, node.start_mark.column + 1)
    if next(budget, None) is None:
        raise refusal(at, f"The file means more than {_MOST_NODES} values.")
    if depth > _MOST_DEPTH:
        raise refusal(at, f"The file is more than {_MOST_DEPTH} levels deep.")
    if isinstance(node, yaml.ScalarNode):
        return Spot(node.value, at, plain=node.style is None)
    if isinstance(node, yaml.SequenceNode):
        return Spot([_spot(item, file, budget, depth + 1) for item in node.value], at)
    spots: dict[str, Spot] = {}
    keys: dict[str, Position] = {}
    for key, value in node.value:
        where = Position(file, key.start_mark.line + 1, key.start_mark.column + 1)
        if not isinstance(key, yaml.ScalarNode):
            raise refusal(where, "A key must be a text.")
        if key.value in spots:
            raise refusal(where, f"The key '{key.value}' is there twice.")
        spots[key.value] = _spot(value, file, budget, depth + 1)
        keys[key.value] = where
    return Spot(spots, at, keys=keys)
