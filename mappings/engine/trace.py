"""Where each element of a result came from: the pair, its source field, and the line of the map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mappings.engine import compile_write
from mappings.engine.bundle import Resources, agrees, identifiers
from mappings.engine.compile_write import GroupWriter, LinkWriter, PairWriter, Writer
from mappings.engine.laws import general, leaves
from mappings.engine.model import Context, Map, Message, Result, Tree
from mappings.engine.path import contains, find
from mappings.engine.systems import common


@dataclass(frozen=True, slots=True)
class Origin:
    """One element: its path and value, the source field and its value, and the rule that carried it."""

    element: str
    value: Any
    source: str
    native: Any
    rule: str


def trace(map_: Map, message: Message, result: Result, context: Context) -> Iterator[Origin]:
    """Yield where the elements of ``result`` came from, resource by resource."""
    writers = compile_write.compile_map(map_, context.source, context.zone)
    values: dict[str, list[Any]] = {}
    for path, value in leaves(message):
        values.setdefault(general(path), []).append(value)
    for resource in Resources(result.bundle).all:
        for writer in writers:
            if writer.written and writer.target.type == resource["resourceType"] and _made(writer, resource):
                yield from _resource(writer, resource, values)


def _made(writer: Writer, resource: Tree) -> bool:
    named = {system for system, _ in identifiers(resource)}
    return bool(named & set(writer.systems)) and agrees(resource, writer.constants)


def _resource(writer: Writer, resource: Tree, values: dict[str, list[Any]]) -> Iterator[Origin]:
    name = writer.target.type
    for system, value in identifiers(resource):
        for identity, own in zip(writer.target.identities, writer.systems, strict=True):
            if own == system:
                rule = f"identity ({_line(identity.at)})"
                yield Origin(f"{name}.identifier", value, " + ".join(identity.values), value, rule)
                break
    for path, value in writer.target.constants:
        yield Origin(f"{name}.{path}", value, "", None, f"constant ({_line(writer.target.at)})")
    yield from _fields(writer.fields, resource, name, values)


def _fields(
    fields: Sequence[PairWriter | LinkWriter | GroupWriter],
    tree: Tree,
    name: str,
    values: dict[str, list[Any]],
) -> Iterator[Origin]:
    for item in fields:
        if isinstance(item, PairWriter):
            yield from _pair(item, tree, name, values)
        elif isinstance(item, LinkWriter):
            value = find(tree, item.to)
            if value is not None:
                said = value.get("reference") or value.get("display") or value.get("identifier")
                rule = f"link {item.link.target} ({_line(item.link.at)})"
                yield Origin(f"{name}.{item.link.to}", said, "", None, rule)
        else:
            holder = find(tree, item.into[:-1])
            listed = holder.get(item.into[-1].name, ()) if isinstance(holder, dict) else ()
            for index, element in enumerate(listed):
                if isinstance(element, dict) and contains(element, item.constants):
                    yield from _fields(item.fields, element, f"{name}.{item.group.into}[{index}]", values)


def _pair(item: PairWriter, tree: Tree, name: str, values: dict[str, list[Any]]) -> Iterator[Origin]:
    pair = item.pair
    value = find(tree, item.to, common().aliases)
    if value is None or pair.one_way == "write":
        return
    names = " → ".join(use.name if use.table is None else use.table.name for use in pair.converters)
    rule = f"{names} ({_line(pair.at)})" if names else f"as it is ({_line(pair.at)})"
    yield Origin(f"{name}.{pair.to}", value, " + ".join(pair.sources), _native(item, value, values), rule)


def _native(item: PairWriter, value: Any, values: dict[str, list[Any]]) -> Any:
    """Return the source value: the field's only one; of several rows what the element is written as."""
    found = values.get(item.pair.sources[0], [])
    if len(found) == 1 and len(item.pair.sources) == 1:
        return found[0]
    try:
        return item.converter.write(value) if item.converter is not None else value
    except ValueError:
        return None


def _line(at: Any) -> str:
    return f"{at.file.rpartition('/')[2]}:{at.line}"
