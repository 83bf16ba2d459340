"""A map file → a checked Map; every mistake is reported with its line and column, all of them at once.

docs/mappings.md, "The map file", describes what is read here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from mappings.engine import path
from mappings.engine.codes import CodeTable, Tables, table_of
from mappings.engine.common import common_tables
from mappings.engine.model import By, Group, Identity, Link, Map, Pair, Position, Refused, Target
from mappings.engine.schema_fields import FieldReader
from mappings.engine.schema_words import Problems, condition, flag, items, mapping, mixed, text, word
from mappings.engine.systems import Systems, common
from mappings.engine.yamltree import Spot, read

_MAP_KEYS = {
    "map", "format", "kind", "direction", "title", "version", "per", "systems", "extensions", "codes",
    "resources", "ignore", "archive", "columns", "note",
}  # fmt: skip
_TARGET_KEYS = {"id", "type", "by", "for-each", "anchor", "when", "identity", "constants", "fields", "note"}
_BY: tuple[By, ...] = ("update", "create", "refer", "logical")
_PER: tuple[Literal["message", "row"], ...] = ("message", "row")
_IDENTITY_KEYS = {"system", "from", "search", "when", "note"}


def load(file: Path, tables: Tables | None = None, overlays: Sequence[Spot] = ()) -> Map:
    """Read a map file; Refused with every mistake in it. ``tables``: the format's code tables."""
    return parse(file.read_text(encoding="utf-8"), str(file), tables, overlays)


def parse(source: str, file: str = "map", tables: Tables | None = None, overlays: Sequence[Spot] = ()) -> Map:
    """Read the text of a map file; ``file`` is what reports call it. ``overlays``: see ``overlay.apply``."""
    from mappings.engine.overlay import apply  # noqa: PLC0415 - overlay works on what this module reads

    spot = read(source, file)
    for overlay in overlays:
        spot = apply(spot, overlay)
    return build(spot, tables)


def build(spot: Spot, tables: Tables | None = None) -> Map:
    """Make a Map of a read file; Refused with every mistake."""
    problems = Problems()
    made = _Builder(problems, tables or common_tables()).map(spot)
    if problems.issues:
        raise Refused(*problems.issues)
    return made


class _Builder:
    """Reads one map; mistakes go to ``problems`` and reading goes on."""

    def __init__(self, problems: Problems, tables: Tables) -> None:
        self.problems = problems
        self.tables = tables
        self.systems: Systems = common()

    def map(self, spot: Spot) -> Map:
        problems = self.problems
        top = mapping(spot, problems, _MAP_KEYS, ("map", "format", "kind", "resources"))
        self._own_names(top)
        per = word(top.get("per"), problems, _PER, "message")
        fields = FieldReader(problems, self.systems, self.tables, flat=per == "row")
        targets = tuple(self._target(item, fields) for item in items(top.get("resources"), problems))
        self._check(targets, spot.at, per)
        return Map(
            name=text(top.get("map"), problems),
            format=text(top.get("format"), problems),
            kind=text(top.get("kind"), problems),
            targets=targets,
            direction=word(top.get("direction"), problems, ("", "request", "response"), ""),
            title=_plain(top.get("title")),
            version=text(top.get("version"), problems) if "version" in top else "",
            per=per,
            ignored=self._reasons(top.get("ignore")),
            columns=mixed(top.get("columns"), problems),
            tables=self.tables,
            systems=self.systems,
            archive=flag(top.get("archive"), problems, default=True),
            file=spot.at.file,
        )

    def _own_names(self, top: dict[str, Spot]) -> None:
        """Learn the map's own systems, extensions and code tables, which its paths may name."""
        own = {
            key: {
                name: str(uri).replace("{base}", self.systems.base)
                for name, uri in _plain(top.get(key)).items()
            }
            for key in ("systems", "extensions")
        }
        self.systems = self.systems.with_own(own["systems"], own["extensions"])
        tables: dict[str, CodeTable] = {}
        codes = mapping(top["codes"], self.problems) if "codes" in top else {}
        for name, spot in codes.items():
            try:
                tables[name] = table_of(
                    name, spot.texts if isinstance(spot.value, dict) else {}, self.systems
                )
            except ValueError as error:
                self.problems.add(spot.at, f"Code table {name}: {error}")
        self.tables = self.tables.with_own(tables)

    def _reasons(self, spot: Spot | None) -> dict[str, str]:
        if spot is None:
            return {}
        reasons = {}
        for name, reason in mapping(spot, self.problems).items():
            reasons[name] = text(reason, self.problems)
            if not reasons[name].strip():
                self.problems.add(reason.at, f"Say why '{name}' is left out.")
        return reasons

    def _target(self, spot: Spot, fields: FieldReader) -> Target:
        problems = self.problems
        top = mapping(spot, problems, _TARGET_KEYS, ("id", "type"))
        each = text(top["for-each"], problems) if "for-each" in top else ""
        if each and fields.flat:
            problems.add(top["for-each"].at, "A table's row has no blocks to repeat for.")
        return Target(
            id=text(top.get("id"), problems),
            type=text(top.get("type"), problems),
            fields=fields.fields(top.get("fields")),
            identities=tuple(
                self._identity(item) for item in items(top.get("identity"), problems, optional=True)
            ),
            by=word(top.get("by"), problems, _BY, "update"),
            each=each,
            when=condition(top.get("when"), problems),
            constants=fields.constants(top.get("constants")),
            anchor=flag(top.get("anchor"), problems, default=False),
            at=spot.at,
        )

    def _identity(self, spot: Spot) -> Identity:
        problems = self.problems
        top = mapping(spot, problems, _IDENTITY_KEYS, ("system", "from"))
        name, system = text(top.get("system"), problems), ""
        try:
            system = self.systems.system(name)
        except KeyError:
            if "system" in top:
                problems.add(top["system"].at, f"'{name}' is no known system.")
        return Identity(
            system,
            mixed(top.get("from"), problems),
            condition(top.get("when"), problems),
            spot.at,
            text(top["search"], problems) if "search" in top else "identifier",
        )

    def _check(self, targets: tuple[Target, ...], at: Position, per: str) -> None:
        """Check what only shows when all resources are known: names, links, identities, anchors."""
        by_id = {target.id: target for target in targets}
        if len(by_id) < len(targets):
            twice = next(
                target for index, target in enumerate(targets) if target.id in {t.id for t in targets[:index]}
            )
            self.problems.add(twice.at, f"The resource id '{twice.id}' is there twice.")
        if not any(target.by in {"update", "create"} for target in targets):
            self.problems.add(at, "No resource is written: at least one must be by update or create.")
        for target in targets:
            if not target.identities:
                self.problems.add(target.at, f"{target.id} needs an identity: how is it known again?")
            if target.by != "refer" and any(each.search != "identifier" for each in target.identities):
                self.problems.add(
                    target.at, f"Only what is referred to is found by a search: {target.id} is not."
                )
            for link in links(target.fields):
                self._check_link(target, link, by_id)
        for each in {target.each for target in targets}:
            anchors = [target for target in targets if target.anchor and target.each == each]
            for surplus in anchors[1:]:
                self.problems.add(
                    surplus.at, f"Rows of '{each or per}' have an anchor already, {anchors[0].id}."
                )

    def _check_link(self, target: Target, link: Link, by_id: dict[str, Target]) -> None:
        to = by_id.get(link.target)
        if to is None:
            self.problems.add(link.at, f"No resource of this map is called '{link.target}'.")
        elif to.each and to.each != target.each and not _within_group(target, link, to.each):
            self.problems.add(
                link.at,
                f"'{link.target}' is made once per {to.each}; which one is meant cannot be told from here.",
            )


def _within_group(target: Target, link: Link, each: str) -> bool:
    return any(
        isinstance(item, Group) and item.each == each and link in tuple(links(item.fields))
        for item in target.fields
    )


def links(fields: tuple[Pair | Link | Group, ...]) -> list[Link]:
    """List the links among fields, those in groups too."""
    found: list[Link] = []
    for item in fields:
        if isinstance(item, Link):
            found.append(item)
        elif isinstance(item, Group):
            found += links(item.fields)
    return found


def _plain(spot: Spot | None) -> dict[str, Any]:
    data = spot.texts if spot is not None else {}
    return data if isinstance(data, dict) else {"en": data}


__all__ = ["build", "links", "load", "parse", "path"]
