"""Overlays: what a province or a vendor does otherwise, as a small file put over a map.

    overlay: zhejiang
    title: {en: Zhejiang, zh: 浙江}
    maps:
      nhsa-2204-request:
        codes: {…}                      # added; one of the same name is replaced
        ignore: {feedetail.note: why}
        resources:
          claim:
            drop: [priority]            # fields of the map, by their `to` or `into`
            fields: [{from: …, to: …}]  # put first; those of the same `from` and `to` are replaced
            constants: {…}
          extra: {type: …, …}           # an id that the map lacks is a further resource

What comes out is checked like any map, and reports say which file a line is in.
"""

from __future__ import annotations

from pathlib import Path

from mappings.engine.yamltree import Spot, read, refusal

_KEYS = frozenset({"overlay", "title", "maps", "note"})
_MAP_KEYS = frozenset({"codes", "systems", "extensions", "ignore", "resources", "kind", "direction", "note"})


def load(file: Path) -> Spot:
    """Read an overlay file; Refused when it is none."""
    return parse(file.read_text(encoding="utf-8"), str(file))


def parse(text: str, file: str = "overlay") -> Spot:
    """Read the text of an overlay file; Refused when it is none."""
    spot = read(text, file)
    top = _object(spot)
    _only(spot, _KEYS)
    if "overlay" not in top or "maps" not in top:
        raise refusal(spot.at, "An overlay has a name (overlay: …) and maps.")
    for own in _object(top["maps"]).values():
        _only(own, _MAP_KEYS)
    return spot


def apply(base: Spot, overlay: Spot) -> Spot:
    """Return a read map file with an overlay put over it; itself when the overlay does not speak of it."""
    name = _object(base).get("map")
    own = _object(_object(overlay)["maps"]).get(str(name.value)) if name is not None else None
    if own is None:
        return base
    merged = _merged(base, own)
    if "resources" in _object(own):
        _object(merged)["resources"] = _resources(_object(base).get("resources"), _object(own)["resources"])
    return merged


def _resources(base: Spot | None, overlay: Spot) -> Spot:
    listed = _list(base)
    places = {_id(spot): index for index, spot in enumerate(listed)}
    for name, own in _object(overlay).items():
        if name in places:
            listed[places[name]] = _resource(listed[places[name]], own)
        else:
            at = overlay.keys[name]
            listed.append(Spot({"id": Spot(name, at), **_object(own)}, own.at, keys={**own.keys, "id": at}))
    return Spot(listed, base.at if base is not None else overlay.at)


def _resource(base: Spot, overlay: Spot) -> Spot:
    """Put an overlay's resource over a map's: fields by what they carry, the rest by its key."""
    own = dict(_object(overlay))
    drop, fields = own.pop("drop", None), own.pop("fields", None)
    dropped = {str(item.value) for item in _list(drop)}
    given = _list(fields)
    replaced = {_carries(item) for item in given}
    kept = [
        item
        for item in _list(_object(base).get("fields"))
        if _target(item) not in dropped and _carries(item) not in replaced
    ]
    for name in dropped - {_target(item) for item in _list(_object(base).get("fields"))}:
        raise refusal(overlay.at, f"The map has no field '{name}' to drop.")
    merged = _merged(base, Spot(own, overlay.at, keys=overlay.keys))
    _object(merged)["fields"] = Spot([*given, *kept], overlay.at)
    return merged


def _merged(base: Spot, overlay: Spot) -> Spot:
    """Return an object with another's keys put over its own; objects one level below are joined."""
    values = dict(_object(base))
    for key, own in _object(overlay).items():
        before = values.get(key)
        if before is not None and isinstance(before.value, dict) and isinstance(own.value, dict):
            own = Spot({**before.value, **own.value}, own.at, keys={**before.keys, **own.keys})  # noqa: PLW2901
        values[key] = own
    return Spot(values, base.at, keys={**overlay.keys, **base.keys})


def _target(spot: Spot) -> str:
    value = spot.value if isinstance(spot.value, dict) else {}
    found = value.get("to") or value.get("into")
    return str(found.value) if found is not None else ""


def _carries(spot: Spot) -> tuple[str, str]:
    value = spot.value if isinstance(spot.value, dict) else {}
    found = value.get("from") or value.get("for-each") or value.get("link")
    return _target(spot), repr(found.texts) if found is not None else ""


def _id(spot: Spot) -> str:
    value = spot.value if isinstance(spot.value, dict) else {}
    return str(value["id"].value) if "id" in value else ""


def _object(spot: Spot) -> dict[str, Spot]:
    if not isinstance(spot.value, dict):
        raise refusal(spot.at, "An object (key: value) is expected here.")
    return spot.value


def _list(spot: Spot | None) -> list[Spot]:
    if spot is None:
        return []
    if not isinstance(spot.value, list):
        raise refusal(spot.at, "A list is expected here.")
    return list(spot.value)


def _only(spot: Spot, allowed: frozenset[str]) -> None:
    for key in _object(spot):
        if key not in allowed:
            raise refusal(
                spot.keys[key], f"The key '{key}' is not known here (keys: {', '.join(sorted(allowed))})."
            )
