"""Native messages under construction: rows, and where in them a source path leads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mappings.engine import path
from mappings.engine.model import Test, Tree
from mappings.engine.support import text

_PARAMETERS = "$parameters."


@dataclass(slots=True, eq=False)
class Row:
    """A row of a block ("" is the message itself), and the resources that it comes from.

    ``found``: target id → resource (of mere references the Reference). ``elements``: of groups, the list
    elements that tell of this row, with the group's number.
    """

    block: str
    flat: bool
    tree: Tree = field(default_factory=dict)
    parent: Row | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    found: dict[str, Tree] = field(default_factory=dict)
    children: dict[str, list[Row]] = field(default_factory=dict)

    def target(self, id_: str) -> Tree | None:
        """Return what was found for a target here or in the rows around."""
        row: Row | None = self
        while row is not None:
            if id_ in row.found:
                return row.found[id_]
            row = row.parent
        return None

    def get(self, source: str) -> Any:
        """Return what has been written to a source path; None when nothing has."""
        if source.startswith(_PARAMETERS):
            return self._top().parameters.get(source[len(_PARAMETERS) :])
        row, parts = self._place(source)
        tree: Any = row.tree
        for part in parts:
            tree = tree.get(part) if isinstance(tree, dict) else None
        return tree

    def put(self, source: str, value: Any) -> None:
        """Write a value to a source path."""
        if source.startswith(_PARAMETERS):
            self._top().parameters[source[len(_PARAMETERS) :]] = value
            return
        if source.startswith("$"):
            return
        row, parts = self._place(source)
        tree = row.tree
        for part in parts[:-1]:
            tree = tree.setdefault(part, {})
        tree[parts[-1]] = value

    def _top(self) -> Row:
        row = self
        while row.parent is not None:
            row = row.parent
        return row

    def _place(self, source: str) -> tuple[Row, tuple[str, ...]]:
        row = self
        while row.block and not source.startswith(f"{row.block}."):
            assert row.parent is not None
            row = row.parent
        relative = source[len(row.block) + 1 :] if row.block else source
        return row, path.source_parts(relative, flat=self.flat)

    def holds(self, test: Test) -> bool:
        """Tell whether a condition holds of what has been written."""
        value = text(self.get(test.path))
        if test.values is None:
            return (value is None) is test.negated
        if test.prefix:
            return value is not None and value.startswith(test.values)
        return (value in test.values) is not test.negated

    def child(self, block: str, index: int) -> Row:
        """Return the row ``index`` of an inner block, made with those before it when it is not there."""
        rows = self.children.setdefault(block, [])
        while len(rows) <= index:
            rows.append(Row(block, self.flat, parent=self))
        return rows[index]

    def finished(self) -> Tree:
        """Return the native tree with all inner rows in their places."""
        for block, rows in self.children.items():
            relative = block[len(self.block) + 1 :] if self.block else block
            tree = self.tree
            *parents, last = relative.split(".")
            for part in parents:
                tree = tree.setdefault(part, {})
            tree[last] = [row.finished() for row in rows]
        return self.tree
