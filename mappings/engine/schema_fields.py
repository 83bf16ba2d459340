"""The fields of a resource in a map file: pairs, links, groups and constants."""

from __future__ import annotations

from typing import Any, Literal

from mappings.engine import path
from mappings.engine.codes import Tables
from mappings.engine.converters import Use
from mappings.engine.model import Group, Link, Pair
from mappings.engine.schema_words import Problems, condition, items, mapping, mixed, text, word
from mappings.engine.systems import Systems
from mappings.engine.yamltree import Spot

_PAIR_KEYS = {"from", "to", "convert", "codes", "as", "when", "default", "one-way", "note"}
_LINK_KEYS = {"to", "link", "when", "note"}
_GROUP_KEYS = {"for-each", "into", "fields", "constants", "when", "note"}
_ADDRESSES = frozenset({"system", "url"})


class FieldReader:
    """Reads fields of one map. ``flat``: source paths are a table's columns."""

    def __init__(self, problems: Problems, systems: Systems, tables: Tables, *, flat: bool) -> None:
        self.problems = problems
        self.systems = systems
        self.tables = tables
        self.flat = flat

    def fields(self, spot: Spot | None) -> tuple[Pair | Link | Group, ...]:
        """Read a list of fields."""
        return tuple(self._field(item) for item in items(spot, self.problems))

    def _field(self, spot: Spot) -> Pair | Link | Group:
        keys = spot.value if isinstance(spot.value, dict) else {}
        if "into" in keys:
            return self._group(spot)
        if "link" in keys:
            return self._link(spot)
        return self._pair(spot)

    def _group(self, spot: Spot) -> Group:
        top = mapping(spot, self.problems, _GROUP_KEYS, ("for-each", "into", "fields"))
        if self.flat:
            self.problems.add(spot.at, "A table's row has no blocks to repeat for.")
        each = text(top.get("for-each"), self.problems)
        return Group(
            each=each,
            into=self._path(top.get("into")),
            fields=self.fields(top.get("fields")),
            constants=self.constants(top.get("constants")),
            when=condition(top.get("when"), self.problems),
            at=spot.at,
        )

    def _link(self, spot: Spot) -> Link:
        top = mapping(spot, self.problems, _LINK_KEYS, ("to", "link"))
        return Link(
            to=self._path(top.get("to")),
            target=text(top.get("link"), self.problems),
            when=condition(top.get("when"), self.problems),
            at=spot.at,
        )

    def _pair(self, spot: Spot) -> Pair:
        problems = self.problems
        top = mapping(spot, problems, _PAIR_KEYS, ("from", "to"))
        sources = mixed(top.get("from"), problems)
        converters = self._converters(top, len(sources))
        if len(sources) > 1 and not (converters and converters[0].many):
            problems.add(spot.at, "Several source fields need a converter that joins them, as 'join'.")
        if converters and converters[0].many and len(sources) < 2:
            problems.add(spot.at, f"'{converters[0].name}' needs a list of source fields.")
        direction, reason = self._one_way(top.get("one-way"))
        return Pair(
            sources=sources,
            to=self._path(top.get("to")),
            converters=converters,
            when=condition(top.get("when"), problems),
            default=text(top["default"], problems) if "default" in top else None,
            one_way=direction,
            reason=reason,
            note=text(top.get("note"), problems),
            at=spot.at,
        )

    def _one_way(self, spot: Spot | None) -> tuple[Literal["", "read", "write"], str]:
        if spot is None:
            return "", ""
        top = mapping(spot, self.problems, ("read", "write"))
        if len(top) != 1:
            self.problems.add(
                spot.at, "one-way names one direction and why: {read: reason} or {write: reason}."
            )
            return "", ""
        [(direction, reason)] = top.items()
        found = text(reason, self.problems)
        if not found.strip():
            self.problems.add(reason.at, "Say why this goes one way only.")
        return ("read" if direction == "read" else "write"), found

    def _converters(self, top: dict[str, Spot], count: int) -> tuple[Use, ...]:
        made: list[Use] = []
        spot = top.get("convert")
        for item in (
            spot.value if spot is not None and isinstance(spot.value, list) else [spot] if spot else []
        ):
            made += self._converter(item, count)
        if "codes" in top:
            made += self._codes(
                top["codes"], word(top.get("as"), self.problems, ("code", "coding", "concept"), "code")
            )
        elif "as" in top:
            self.problems.add(top["as"].at, "'as' belongs to 'codes', a code table.")
        return tuple(made)

    def _converter(self, spot: Spot, count: int) -> list[Use]:
        name: Any = spot.value
        options: dict[str, Any] = {}
        if isinstance(spot.value, dict):
            if len(spot.value) != 1:
                self.problems.add(spot.at, "A converter is a name, or {name: {options}}.")
                return []
            [(name, given)] = spot.value.items()
            options = given.texts if isinstance(given.value, dict) else {}
            if not isinstance(given.value, dict):
                self.problems.add(given.at, f"The options of '{name}' are an object.")
        if name == "map" and isinstance(spot.value, dict):
            options = {"values": _values(given)}
        if name == "join":
            options = {**options, "count": count}
        return self._made(spot, Use(str(name), options))

    def _made(self, spot: Spot, use: Use) -> list[Use]:
        try:
            use.make()
        except (ValueError, TypeError) as error:
            self.problems.add(spot.at, str(error))
            return []
        return [use]

    def _codes(self, spot: Spot, form: str) -> list[Use]:
        name = text(spot, self.problems)
        if name not in self.tables:
            self.problems.add(spot.at, f"'{name}' is no code table of this map or its format.")
            return []
        return self._made(spot, Use("codes", table=self.tables[name], form=form))

    def _path(self, spot: Spot | None) -> str:
        """Read a FHIR path, and note when it cannot be read; compiling reads it again, for a source."""
        found = text(spot, self.problems)
        if spot is not None:
            try:
                path.parse(found, self.systems)
            except ValueError as error:
                self.problems.add(spot.at, str(error))
        return found

    def constants(self, spot: Spot | None) -> tuple[tuple[str, Any], ...]:
        """Read constants: FHIR path → value or tree, the addresses in it resolved."""
        if spot is None:
            return ()
        top = mapping(spot, self.problems)
        for name in top:
            self._path(Spot(name, spot.keys[name]))
        return tuple((name, self._resolved(value, name.rpartition(".")[2])) for name, value in top.items())

    def _resolved(self, spot: Spot, key: str) -> Any:
        """Return a constant's data; short names under ``system`` and ``url`` become addresses."""
        if isinstance(spot.value, dict):
            return {name: self._resolved(value, name) for name, value in spot.value.items()}
        if isinstance(spot.value, list):
            return [self._resolved(item, key) for item in spot.value]
        if key not in _ADDRESSES or spot.value in path.CONTACT_SYSTEMS:
            return spot.data
        find = self.systems.system if key == "system" else self.systems.extension
        try:
            return find(spot.value)
        except KeyError:
            self.problems.add(
                spot.at, f"'{spot.value}' is no known {key}: name one of systems.yaml, or its URI."
            )
            return spot.value


def _values(spot: Spot) -> dict[str, Any]:
    """Read the pairs of an inline table: native texts, FHIR values of whatever type they are written as."""
    values = spot.value.get("values") if isinstance(spot.value, dict) else None
    found = values.data if values is not None else {}
    return found if isinstance(found, dict) else {}
