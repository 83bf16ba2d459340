"""Which resources of a Bundle make which native row: anchors make rows, links lead to the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mappings.engine.bundle import Resources, agrees, matches, name_of
from mappings.engine.compile_write import GroupWriter, LinkWriter, Writer
from mappings.engine.model import Issue, Map, Tree
from mappings.engine.path import contains, find
from mappings.engine.rows import Row
from mappings.engine.systems import common

_MOST_ROWS = 100_000
"""A hostile element number must not make rows without end."""


class Gathering:
    """Finds the rows of one Bundle. ``issues``: what could not be told."""

    def __init__(self, map_: Map, writers: Sequence[Writer], resources: Resources) -> None:
        self.map = map_
        self.writers = writers
        self.by_id = {writer.target.id: writer for writer in writers}
        self.resources = resources
        self.issues: list[Issue] = []
        self.candidates = {writer.target.id: self._candidates(writer) for writer in writers if writer.written}
        self._back: dict[tuple[str, str, int], list[Tree]] = {}
        for writer in writers:
            for resource in self.candidates.get(writer.target.id, ()):
                for link in writer.links:
                    self._remember(writer, link, resource)

    def _candidates(self, writer: Writer) -> list[Tree]:
        """List the resources that a target may have made: by type, identifier, and constants."""
        named = [
            resource
            for resource in self.resources.of(writer.target.type)
            if matches(resource, writer.systems)
        ]
        return [resource for resource in named if agrees(resource, writer.constants)]

    def _remember(self, writer: Writer, link: LinkWriter, resource: Tree) -> None:
        to = self.by_id[link.link.target]
        meant = self.resources.follow(find(resource, link.to), to.target.type)
        if meant is not None:
            self._back.setdefault((writer.target.id, to.target.id, id(meant)), []).append(resource)

    def rows(self) -> list[Row]:
        """Return the messages (each with its inner rows) that the Bundle tells of."""
        flat = self.map.per == "row"
        if not flat:
            top = Row("", flat=False)
            self._singles(top)
            self._blocks(top)
            return [top] if top.found or top.children else []
        anchor = self._anchor("")
        if anchor is None:
            return []
        made = []
        for resource in self.candidates[anchor.target.id]:
            row = Row("", flat=True, found={anchor.target.id: resource})
            self._spread(row, "")
            made.append(row)
        return made

    def _anchor(self, block: str) -> Writer | None:
        own = [writer for writer in self.writers if writer.target.each == block and writer.written]
        return next((writer for writer in own if writer.target.anchor), own[0] if own else None)

    def _singles(self, top: Row) -> None:
        for writer in self.writers:
            target = writer.target
            found = self.candidates.get(target.id, ())
            if target.each or target.id in top.found or not found:
                continue
            if len(found) > 1:
                self._tell(target.id, f"{len(found)} resources of the Bundle match; the first is taken.")
            top.found[target.id] = found[0]
            self._spread(top, "")

    def _spread(self, row: Row, block: str) -> None:
        """Follow links from what was found for a row, forwards and backwards, until nothing new is found."""
        fresh = list(row.found)
        while fresh:
            id_ = fresh.pop()
            writer, resource = self.by_id[id_], row.found[id_]
            for link in writer.links if writer.written else ():
                fresh += self._forward(row, link, resource)
            for other in self.writers:
                if other.target.each != block or not other.written or other.target.id in row.found:
                    continue
                back = self._back.get((other.target.id, id_, id(resource)))
                if back:
                    row.found[other.target.id] = back[0]
                    fresh.append(other.target.id)

    def _forward(self, row: Row, link: LinkWriter, resource: Tree) -> list[str]:
        """Find what a link of a resource leads to; return the target's id when that was not known yet."""
        to = self.by_id[link.link.target]
        holder: Row | None = row
        while holder is not None and holder.block != to.target.each:
            holder = holder.parent
        reference = find(resource, link.to, common().aliases)
        if holder is None or reference is None or to.target.id in holder.found:
            return []
        meant = self._meant(to, reference)
        if meant is None:
            self._tell(
                link.link.to, f"What {link.link.to} refers to is not in the Bundle, and its name is not told."
            )
            return []
        holder.found[to.target.id] = meant
        return [to.target.id] if holder is row else []

    def _meant(self, to: Writer, reference: Any) -> Tree | None:
        """Return the resource that a reference means, or what the reference itself tells of it."""
        resource = self.resources.follow(reference, to.target.type)
        if resource is not None:
            return resource
        named = name_of(reference) if isinstance(reference, dict) else None
        if named is None:
            return reference if isinstance(reference, dict) and "display" in reference else None
        return {**reference, "identifier": [{"system": named[0], "value": named[1]}]}

    def _blocks(self, top: Row) -> None:
        blocks = {writer.target.each for writer in self.writers} - {""}
        for writer in self.writers:
            self._groups(top, writer, writer.fields)
        for block in sorted(blocks, key=lambda name: (name.count("."), name)):
            self._targets(top, block)

    def _groups(self, top: Row, writer: Writer, fields: Sequence[Any]) -> None:
        """Make the rows that groups of a single resource tell of, and follow their elements' links."""
        resource = top.found.get(writer.target.id)
        if writer.target.each or resource is None:
            return
        for group in fields:
            if isinstance(group, GroupWriter):
                self.elements(top, group, resource)

    def elements(self, row: Row, group: GroupWriter, resource: Tree) -> None:
        """Make the rows of one group, inner groups too."""
        for inner, element in elements_of(group, resource, row):
            for item in group.fields:
                if isinstance(item, LinkWriter):
                    self._forward(inner, item, element)
                elif isinstance(item, GroupWriter):
                    self.elements(inner, item, element)
            self._spread(inner, group.group.each)

    def _targets(self, top: Row, block: str) -> None:
        """Give each resource of a repeated target its row: by links where rows are, else one of its own."""
        anchor = self._anchor(block)
        existing = [row for row in _walk(top) if row.block == block]
        if anchor is not None and not any(anchor.target.id in row.found for row in existing):
            for position, resource in enumerate(self.candidates[anchor.target.id]):
                if position < len(existing):
                    row = existing[position]
                else:
                    parent = self._parent(top, block, anchor, resource)
                    row = parent.child(block, len(parent.children.get(block, ())))
                row.found[anchor.target.id] = resource
        for row in _walk(top):
            if row.block == block:
                self._spread(row, block)
                for writer in self.writers:
                    found = row.found.get(writer.target.id)
                    for group in writer.fields if found is not None and writer.target.each == block else ():
                        if isinstance(group, GroupWriter):
                            self.elements(row, group, found or {})

    def _parent(self, top: Row, block: str, anchor: Writer, resource: Tree) -> Row:
        """Return the row that a row of an inner block belongs to: the one that the resource links to."""
        outer = block.rpartition(".")[0]
        rows = [row for row in _walk(top) if row.block and row.block == outer]
        if not rows:
            return top
        for link in anchor.links:
            meant = self.resources.follow(find(resource, link.to), self.by_id[link.link.target].target.type)
            for row in rows:
                if meant is not None and row.found.get(link.link.target) is meant:
                    return row
        if len(rows) > 1:
            self._tell(
                anchor.target.id, f"Which row of {outer} it belongs to cannot be told; the first is taken."
            )
        return rows[0]

    def _tell(self, where: str, sentence: str) -> None:
        self.issues.append(Issue("warning", "incomplete", where, sentence))


def elements_of(group: GroupWriter, resource: Tree, row: Row) -> Iterator[tuple[Row, Tree]]:
    """Yield (row, element) for the list elements that a group of a resource has made."""
    holder = find(resource, group.into[:-1], common().aliases)
    listed = holder.get(group.into[-1].name) if isinstance(holder, dict) else None
    own = [
        element
        for element in (listed if isinstance(listed, list) else ())
        if isinstance(element, dict) and contains(element, group.constants, common().aliases)
    ]
    for position, element in enumerate(own):
        number = find(element, group.number.to) if group.number is not None else None
        yield row.child(group.group.each, _index(number, position)), element


def _index(number: Any, position: int) -> int:
    """Return which row an element is: by its number (from 1), else by its position. Gaps are kept small."""
    if isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= _MOST_ROWS:
        return number - 1
    return position


def _walk(row: Row) -> Iterator[Row]:
    yield row
    for rows in row.children.values():
        for inner in rows:
            yield from _walk(inner)
