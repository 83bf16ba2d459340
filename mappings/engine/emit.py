"""Python source that builds a resource from a tree of nodes and the variables around it.

The source is made of names and literals of the map file alone, all written by ``repr``; nothing of a message
ever becomes code.
"""

from __future__ import annotations

from typing import Any

from mappings.engine.tree import Item, Node, Rows


class Lines:
    """Source lines under construction, with indentation and fresh names."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.depth = 1
        self._names = 0

    def add(self, line: str) -> None:
        """Add a line at the present depth."""
        self.lines.append("    " * self.depth + line)

    def name(self, letter: str) -> str:
        """Return a name that nothing else has."""
        self._names += 1
        return f"{letter}{self._names}"


def literal(value: Any) -> str:
    """Write constant data as Python; Decimals by the name ``Decimal``."""
    return repr(value)


def resource(lines: Lines, node: Node, start: dict[str, Any]) -> str:
    """Build the root: ``start`` and constants always, the rest where there is a value. Returns its name."""
    name = lines.name("o")
    constants = {**start, **node.constants}
    inner = _Inner(lines, node, always=True)
    lines.add(f"{name} = {_with(constants, inner.constant)}")
    inner.fill(name)
    return name


def maybe(lines: Lines, node: Node) -> str:
    """Build an object that is there only when something in it varies and has a value; else it is None."""
    constants = {**node.fixed, **node.constants}
    single = _single(node)
    if single is not None and not (constants.keys() & {single[0]}):
        key, variable = single
        entries = "".join(f"{key!r}: {literal(value)}, " for key, value in constants.items())
        return f"({{{entries}{key!r}: {variable}}} if {variable} is not None else None)"
    name = lines.name("o")
    inner = _Inner(lines, node, always=False)
    lines.add(f"{name} = {{}}")
    inner.fill(name)
    constant = _with(constants, inner.constant)
    if constant == "{}":
        lines.add(f"if not {name}: {name} = None")
    else:
        lines.add(f"{name} = merge({constant}, {name}) if {name} else None")
    return name


def _single(node: Node) -> tuple[str, str] | None:
    """Return (element, variable) when one variable is all that varies in the node, without any depth."""
    if len(node.variables) != 1 or node.children or node.lists:
        return None
    [(key, names)] = node.variables.items()
    return (key, names[0]) if len(names) == 1 else None


def _with(constants: dict[str, Any], further: dict[str, str]) -> str:
    """Write a dict of constants and of further elements given as source."""
    entries = [f"{key!r}: {literal(value)}" for key, value in constants.items() if key not in further]
    entries += [
        f"{key!r}: merge({literal(constants[key])}, {source})" if key in constants else f"{key!r}: {source}"
        for key, source in further.items()
    ]
    return "{" + ", ".join(entries) + "}"


class _Inner:
    """The parts of one object: what is constant in it as source, and lines that fill in what varies."""

    def __init__(self, lines: Lines, node: Node, *, always: bool) -> None:
        self.lines = lines
        self.node = node
        self.constant: dict[str, str] = {}
        for name, child in node.children.items():
            if not child.varies:
                self.constant[name] = _constant(child)
        for name, parts in node.lists.items():
            if not any(
                isinstance(part, Rows) or (isinstance(part, Node) and part.varies) for part in parts.values()
            ):
                self.constant[name] = "[" + ", ".join(_constant_item(part) for part in parts.values()) + "]"
        self.base = node.constants if always else {}

    def fill(self, name: str) -> None:
        """Add the lines that put into ``name`` what has a value."""
        for key, variables in self.node.variables.items():
            value = variables[0] if len(variables) == 1 else f"first({', '.join(variables)})"
            self._set(name, key, value)
        for key, child in self.node.children.items():
            if child.varies:
                value = maybe(self.lines, child)
                if key in self.base:
                    value = f"merge({literal(self.base[key])}, {value})"
                self._set(name, key, value)
        for key, parts in self.node.lists.items():
            if key not in self.constant:
                self._list(name, key, parts)

    def _set(self, name: str, key: str, value: str) -> None:
        if not value.isidentifier():
            held = self.lines.name("h")
            self.lines.add(f"{held} = {value}")
            value = held
        self.lines.add(f"if {value} is not None: {name}[{key!r}] = {value}")

    def _list(self, name: str, key: str, parts: dict[str, Node | Item | Rows]) -> None:
        ordered = sorted(parts.values(), key=_order)
        if len(ordered) == 1 and isinstance(ordered[0], Node):
            value = maybe(self.lines, ordered[0])
            held = self.lines.name("h")
            self.lines.add(f"{held} = {value}")
            self.lines.add(f"if {held} is not None: {name}[{key!r}] = [{held}]")
            return
        listed = self.lines.name("l")
        constant = [literal(part.value) for part in ordered if isinstance(part, Item)]
        self.lines.add(f"{listed} = [{', '.join(constant)}]")
        for part in ordered:
            self._part(listed, part)
        self.lines.add(f"if {listed}: {name}[{key!r}] = {listed}")

    def _part(self, listed: str, part: Node | Item | Rows) -> None:
        if isinstance(part, Rows):
            if part.whole:
                value = f"merge({literal(dict(part.fixed))}, {part.name})" if part.fixed else part.name
                self.lines.add(f"if {part.name} is not None: {listed}.append({value})")
            else:
                self.lines.add(f"{listed}.extend({part.name})")
        elif isinstance(part, Node):
            if not part.varies:
                self.lines.add(f"{listed}.append({_constant_item(part)})")
                return
            held = self.lines.name("h")
            self.lines.add(f"{held} = {maybe(self.lines, part)}")
            self.lines.add(f"if {held} is not None: {listed}.append({held})")


def _order(part: Node | Item | Rows) -> int:
    if isinstance(part, Item):
        return -1
    return part.index if isinstance(part, Node) and part.index is not None else 1_000_000


def _constant(node: Node) -> str:
    inner = {name: _constant(child) for name, child in node.children.items()}
    for name, parts in node.lists.items():
        inner[name] = "[" + ", ".join(_constant_item(part) for part in parts.values()) + "]"
    return _with({**node.fixed, **node.constants}, inner)


def _constant_item(part: Node | Item | Rows) -> str:
    if isinstance(part, Item):
        return literal(part.value)
    assert isinstance(part, Node)
    return _constant(part)
