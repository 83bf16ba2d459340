"""What a map builds, as a tree known before any message comes: constants, variables, lists, groups.

``compile_read`` makes of it the Python that builds the resource.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mappings.engine.path import Path, Step


@dataclass(slots=True)
class Node:
    """An object to be built. ``variables``: element → names of the variables that may fill it, in order.

    ``constants``: element → value. ``children``: element → Node. ``lists``: element → its parts in order:
    a constant item, a Node (with what its selector says in ``fixed``) or a group's variable (a list).
    """

    fixed: Mapping[str, Any] = field(default_factory=dict)
    index: int | None = None
    variables: dict[str, list[str]] = field(default_factory=dict)
    constants: dict[str, Any] = field(default_factory=dict)
    children: dict[str, Node] = field(default_factory=dict)
    lists: dict[str, dict[str, Node | Item | Rows]] = field(default_factory=dict)

    @property
    def varies(self) -> bool:
        """True when something in it depends on the message."""
        return bool(
            self.variables
            or any(child.varies for child in self.children.values())
            or any(
                isinstance(part, Rows) or (isinstance(part, Node) and part.varies)
                for parts in self.lists.values()
                for part in parts.values()
            )
        )

    def at(self, path: Path) -> Node:
        """Return the node at ``path``, made when it is not there."""
        node = self
        for step in path:
            node = node._step(step)
        return node

    def _step(self, step: Step) -> Node:
        if not step.repeats:
            return self.children.setdefault(step.name, Node())
        parts = self.lists.setdefault(step.name, {})
        key = f"[{step.index}]" if step.fixed is None else repr(step.fixed)
        part = parts.setdefault(key, Node(fixed=step.fixed or {}, index=step.index))
        assert isinstance(part, Node)
        return part

    def variable(self, path: Path, name: str) -> None:
        """Let a variable fill the element at ``path``."""
        last = path[-1]
        node = self.at(path[:-1])
        if last.repeats:
            # A whole list element is the value (a Coding, Money): it is taken as it is.
            node.lists.setdefault(last.name, {})[f"{last.text}={name}"] = Rows(
                name, whole=True, fixed=last.fixed
            )
        else:
            node.variables.setdefault(last.name, []).append(name)

    def rows(self, path: Path, name: str) -> None:
        """Let a variable that holds a list fill (more of) the list at ``path``."""
        self.at(path[:-1]).lists.setdefault(path[-1].name, {})[name] = Rows(name)

    def constant(self, path: Path, value: Any) -> None:
        """Set the element at ``path``. A list's items come before what else the list holds."""
        last = path[-1]
        if last.repeats:
            node = self.at(path)
            node.constants.update(value)
            return
        node = self.at(path[:-1])
        if isinstance(value, list):
            own = {f"#{position}": Item(item) for position, item in enumerate(value)}
            node.lists[last.name] = {**own, **node.lists.get(last.name, {})}
        else:
            node.constants[last.name] = value


@dataclass(frozen=True, slots=True)
class Item:
    """A constant item of a list."""

    value: Any


@dataclass(frozen=True, slots=True)
class Rows:
    """A variable that holds a list's items; with ``whole`` one item (``fixed``: what it must say)."""

    name: str
    whole: bool = False
    fixed: Mapping[str, Any] | None = None
