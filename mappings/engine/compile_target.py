"""One target of a map → the source of the two functions that read it: identify and build."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from mappings.engine import path, support
from mappings.engine.converters import Warned, chain
from mappings.engine.emit import Lines, literal, maybe, resource
from mappings.engine.ids import join
from mappings.engine.model import Condition, Group, Link, Map, Pair, Target, Test
from mappings.engine.path import Path, Step
from mappings.engine.systems import Systems, for_source
from mappings.engine.tree import Node

_ONE_IDENTIFIER = frozenset({"Bundle", "Composition", "ConceptMap", "QuestionnaireResponse"})
"""Resource types whose identifier is no list."""

_PARAMETERS, _CONTEXT, _ROW = "$parameters.", "$context.", "$row"


@dataclass(slots=True)
class Generated:
    """Source of all targets of a map, and the values it refers to by name."""

    source: str
    zone: str
    systems: Systems
    flat: bool
    consumers: Counter[str]
    names: dict[str, Any] = field(
        default_factory=lambda: {
            "Decimal": Decimal,
            "Warned": Warned,
            "text": support.text,
            "anything": support.anything,
            "one": support.one,
            "rows_of": support.rows_of,
            "merge": support.merge,
            "first": support.first,
            "join": join,
        }
    )
    functions: list[str] = field(default_factory=list)

    @property
    def code(self) -> str:
        """The whole source."""
        return "\n\n".join(self.functions)

    def constant(self, value: Any) -> str:
        """Give a value a name that the source can use."""
        name = f"K{len(self.names)}"
        self.names[name] = value
        return name

    def path(self, text: str) -> Path:
        """Read a FHIR path for this sending system."""
        return path.parse(text, self.systems, self.source)


@dataclass(slots=True)
class Scope:
    """The row at hand: of which block, the names of its dict, its number and its set of carried fields."""

    block: str
    row: str
    number: str
    used: str
    values: dict[tuple[str, bool], str] = field(default_factory=dict)
    blocks: dict[str, str] = field(default_factory=dict)

    def relative(self, source: str) -> str | None:
        """Return a source path as seen from the row; None when it is not in the row."""
        if not self.block:
            return source
        return source[len(self.block) + 1 :] if source.startswith(f"{self.block}.") else None


class TargetSource:
    """Writes the functions of one target."""

    def __init__(self, generated: Generated, target: Target, map_: Map) -> None:
        self.generated = generated
        self.target = target
        self.map = map_
        self.systems = tuple(for_source(each.system, generated.source) for each in target.identities)
        self.lines = Lines()
        self.scopes: list[Scope] = []

    def write(self, number: int) -> None:
        """Add both functions to the source."""
        self.generated.functions += [self._identify(number), self._build(number)]

    def carried(self) -> tuple[frozenset[str], frozenset[str]]:
        """Return the (root, row) fields that the target carries whenever it is made."""
        found = [
            source
            for item in self.target.fields
            if isinstance(item, Pair) and not item.when
            for source in support.read_sources(item)
        ]
        return self._parted([*found, *support.told(self.target.when)])

    def keys(self) -> tuple[tuple[frozenset[str], frozenset[str]], ...]:
        """Return the (root, row) fields of each identity."""
        return tuple(
            self._parted([*identity.values, *support.told(identity.when)])
            for identity in self.target.identities
        )

    def _parted(self, sources: Sequence[str]) -> tuple[frozenset[str], frozenset[str]]:
        row = Scope(self.target.each, "", "", "")
        in_row = {source: row.relative(source) for source in sources} if self.target.each else {}
        return (
            frozenset(source for source in sources if in_row.get(source) is None),
            frozenset(relative for relative in in_row.values() if relative is not None),
        )

    def _start(self) -> None:
        self.lines = Lines()
        self.scopes = [Scope("", "T", "N", "U")]
        if self.target.each:
            self.scopes.append(Scope(self.target.each, "R", "N", "UR"))

    def _identify(self, number: int) -> str:
        self._start()
        if self.target.when:
            self.lines.add(f"if not ({self._holds(self.target.when)}): return None")
        for index, identity in enumerate(self.target.identities):
            values = [self._value(source) for source in identity.values]
            tests = [f"{value} is not None" for value in values]
            if identity.when:
                tests.append(self._holds(identity.when))
            self.lines.add(f"if {' and '.join(tests)}: return {index}, {_joined(values)}")
        self.lines.add("return False")
        return "\n".join([f"def identify_{number}(T, R, N, P, V):", *self.lines.lines])

    def _build(self, number: int) -> str:
        self._start()
        self.lines.add("U = use(T)")
        if self.target.each:
            self.lines.add("UR = use(R)")
        node = Node()
        start = self._name(node)
        self._fields(node, self.target.fields)
        for name, value in self.target.constants:
            node.constant(self.generated.path(name), for_sender(value, self.generated.source))
        self.lines.add(f"return {resource(self.lines, node, start)}")
        head = f"def build_{number}(T, R, N, P, V, L, use, fail, warn, chosen, value):"
        return "\n".join([head, *self.lines.lines])

    def _name(self, node: Node) -> dict[str, Any]:
        """Put the identity into the resource; return what the resource (or Reference) begins with."""
        if self.target.by == "refer":
            self.lines.add("I = value")
            node.variable((Step("reference", "reference"),), "I")
            return {}
        for index, system in enumerate(self.systems):
            self.lines.add(f"I{index} = value if chosen == {index} else None")
            if self.target.by == "logical" or self.target.type in _ONE_IDENTIFIER:
                step = Step("identifier", "identifier")
                child = node.at((step,))
                child.variable((Step("value", "value"),), f"I{index}")
                self.lines.add(f"S{index} = {system!r} if chosen == {index} else None")
                child.variable((Step("system", "system"),), f"S{index}")
            else:
                step = Step("identifier", f"identifier[{index}]", fixed={"system": system})
                node.at((step,)).variable((Step("value", "value"),), f"I{index}")
        return {"type" if self.target.by == "logical" else "resourceType": self.target.type}

    def _fields(self, node: Node, fields: Sequence[Pair | Link | Group]) -> None:
        filled: dict[str, list[tuple[str, Pair]]] = {}
        for item in fields:
            if isinstance(item, Link):
                self._link(node, item)
            elif isinstance(item, Group):
                self._group(node, item)
            elif item.one_way != "write":
                name = self._pair(item)
                node.variable(self.generated.path(item.to), name)
                for earlier, _ in filled.get(item.to, ()):
                    self._give_back(item, f"{earlier} is not None and {earlier} != {name}")
                filled.setdefault(item.to, []).append((name, item))

    def _give_back(self, pair: Pair, test: str) -> None:
        """Where ``test`` holds, the pair did not carry its fields: another one filled the element."""
        lost = [source for source in pair.sources if self.generated.consumers[source] == 1]
        for source in lost:
            used, relative = self._place(source)
            self.lines.add(f"if {test}: {used}.discard({relative!r})")

    def _pair(self, pair: Pair) -> str:
        name = self.lines.name("v")
        converter = (
            chain([use.make(self.generated.zone) for use in pair.converters]) if pair.converters else None
        )
        raw = bool(pair.converters) and pair.converters[0].name == "json"
        values = [self._value(source, raw=raw) for source in pair.sources]
        if pair.default is not None:
            held = self.lines.name("d")
            self.lines.add(f"{held} = {values[0]} if {values[0]} is not None else {pair.default!r}")
            values = [held]
        present = " or ".join(f"{value} is not None" for value in values)
        holds = self._holds(pair.when) if pair.when else ""
        if converter is None and not holds:
            self.lines.add(f"{name} = {values[0]}")
            return name
        self.lines.add(f"{name} = None")
        self.lines.add(f"if ({present}) and {holds}:" if holds else f"if {present}:")
        self.lines.depth += 1
        if holds:
            self._carry(pair)
        if converter is None:
            self.lines.add(f"{name} = {values[0]}")
        else:
            function = self.generated.constant(converter.read)
            argument = f"({', '.join(values)})" if converter.many else values[0]
            self._convert(pair, name, f"{function}({argument})", warns=converter.warns)
        self.lines.depth -= 1
        return name

    def _convert(self, pair: Pair, name: str, call: str, *, warns: bool) -> None:
        used, relative = self._place(pair.sources[0])
        alone = self.generated.consumers[pair.sources[0]] == 1
        self.lines.add(f"try: {name} = {call}")
        failed = f"fail({used}, {relative!r}, {pair.sources[0]!r}, {pair.to!r}, E, {alone})"
        self.lines.add(f"except ValueError as E: {failed}")
        if warns:
            self.lines.add(f"if {name}.__class__ is Warned: {name} = warn({pair.sources[0]!r}, {name})")

    def _carry(self, item: Pair) -> None:
        for source in (*item.sources, *support.told(item.when)):
            if not source.startswith("$"):
                used, relative = self._place(source)
                self.lines.add(f"{used}.add({relative!r})")

    def _link(self, node: Node, link: Link) -> None:
        to = next(target for target in self.map.targets if target.id == link.target)
        name = self.lines.name("r")
        here = next((scope.row for scope in reversed(self.scopes) if scope.block == to.each), "T")
        key = f"L[{link.target!r}]"
        self.lines.add(f"{name} = {key}.get(id({here}))" if to.each else f"{name} = {key}")
        if link.when:
            self.lines.add(f"if not ({self._holds(link.when)}): {name} = None")
        self.lines.add(f"if {name} is not None: {name} = {name}.copy()")
        node.variable(self.generated.path(link.to), name)

    def _group(self, node: Node, group: Group) -> None:
        for source in _sources(group):
            if not source.startswith(f"{group.each}."):
                self._value(source)
        listed, row, number, used = (self.lines.name(letter) for letter in "gqnu")
        outer = next(scope for scope in reversed(self.scopes) if scope.relative(group.each) is not None)
        relative = outer.relative(group.each) or ""
        *parents, last = path.source_parts(relative, flat=False)
        holder = self._block(outer, tuple(parents))
        self.lines.add(f"{listed} = []")
        self.lines.add(f"for {number}, {row} in enumerate(rows_of({holder}.get({last!r})), 1):")
        self.lines.depth += 1
        scope = Scope(group.each, row, number, used)
        self.scopes.append(scope)
        self.lines.add(f"{used} = use({row})")
        if group.when:
            self.lines.add(f"if not ({self._holds(group.when)}): continue")
        self.lines.add(f"{used}.update({self.generated.constant(self._carried_by(group, scope))})")
        inner = Node()
        self._fields(inner, group.fields)
        for name, value in group.constants:
            inner.constant(self.generated.path(name), for_sender(value, self.generated.source))
        element = self.lines.name("e")
        self.lines.add(f"{element} = {maybe(self.lines, inner)}")
        self.lines.add(f"if {element} is not None: {listed}.append({element})")
        self.scopes.pop()
        self.lines.depth -= 1
        node.rows(self.generated.path(group.into), listed)

    def _carried_by(self, group: Group, scope: Scope) -> frozenset[str]:
        found = [
            scope.relative(source)
            for item in group.fields
            if isinstance(item, Pair) and not item.when
            for source in support.read_sources(item)
        ]
        found += [scope.relative(source) for source in support.told(group.when)]
        return frozenset(relative for relative in found if relative is not None)

    def _place(self, source: str) -> tuple[str, str]:
        """Return the name of the set that a source field's carrying is noted in, and its path in there."""
        scope, relative = self._scope(source)
        return scope.used, relative

    def _scope(self, source: str) -> tuple[Scope, str]:
        for scope in reversed(self.scopes):
            relative = scope.relative(source)
            if relative is not None:
                return scope, relative
        raise AssertionError  # the root has every path

    def _value(self, source: str, *, raw: bool = False) -> str:
        """Return the name of the variable that holds a source field's value (text or None)."""
        scope, relative = self._scope(source)
        if source == _ROW:
            scope = self.scopes[-1]
        key = (source, raw)
        if key in scope.values:
            return scope.values[key]
        name = self.lines.name("s")
        if source == _ROW:
            self.lines.add(f"{name} = str({scope.number})")
        elif source.startswith(_CONTEXT):
            self.lines.add(f"{name} = V.get({source[len(_CONTEXT) :]!r}) or None")
        else:
            self._read(name, self._expression(scope, source, relative), raw=raw)
        # Read inside a loop, a value of the row around it is not known where no row came.
        if not raw or scope is self.scopes[-1]:
            scope.values[key] = name
        return name

    def _expression(self, scope: Scope, source: str, relative: str) -> str:
        if source.startswith(_PARAMETERS):
            return f"P.get({source[len(_PARAMETERS) :]!r})"
        *parents, last = path.source_parts(relative, flat=self.generated.flat)
        return f"{self._block(scope, tuple(parents))}.get({last!r})"

    def _read(self, name: str, expression: str, *, raw: bool) -> None:
        if raw:
            self.lines.add(f"{name} = anything({expression})")
            return
        # Nearly all values are strings: those are stripped without a call.
        self.lines.add(f"x = {expression}")
        self.lines.add(
            f"{name} = (x.strip() or None) if x.__class__ is str else None if x is None else text(x)"
        )

    def _block(self, scope: Scope, parents: tuple[str, ...]) -> str:
        """Return the name of the variable that holds a nested block of a row."""
        name = scope.row
        for depth in range(1, len(parents) + 1):
            key = ".".join(parents[:depth])
            if key not in scope.blocks:
                scope.blocks[key] = self.lines.name("b")
                self.lines.add(f"{scope.blocks[key]} = one({name}.get({parents[depth - 1]!r}))")
            name = scope.blocks[key]
        return name

    def _holds(self, condition: Condition) -> str:
        return " and ".join(self._test(test) for test in condition)

    def _test(self, test: Test) -> str:
        value = self._value(test.path)
        if test.values is None:
            return f"{value} is None" if test.negated else f"{value} is not None"
        if test.prefix:
            return f"({value} is not None and {value}.startswith({test.values!r}))"
        inside = "not in" if test.negated else "in"
        return f"{value} {inside} {self.generated.constant(frozenset(test.values))}"


def _joined(values: Sequence[str]) -> str:
    return values[0] if len(values) == 1 else f"join(({', '.join(values)}))"


def _sources(group: Group) -> list[str]:
    """List every source path that a group names, conditions and inner groups too."""
    found = [test.path for test in group.when]
    for item in group.fields:
        found += [test.path for test in item.when]
        if isinstance(item, Pair):
            found += support.read_sources(item)
        elif isinstance(item, Group):
            found += _sources(item)
    return [source for source in found if source != _ROW]


def for_sender(value: Any, source: str) -> Any:
    """Put the sending system's name into the addresses of a constant."""
    if isinstance(value, dict):
        return {key: for_sender(item, source) for key, item in value.items()}
    if isinstance(value, list):
        return [for_sender(item, source) for item in value]
    return for_source(value, source) if isinstance(value, str) else value


__all__ = ["Generated", "TargetSource", "literal"]
