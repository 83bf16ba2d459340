"""Source fields that nothing carried over: counted per path, so that a million rows give one short list."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from mappings.engine.model import Map, Unmapped
from mappings.engine.support import pairs

_NOTHING: frozenset[str] = frozenset()


@lru_cache(maxsize=512)
def _carried_whole(map_: Map) -> frozenset[str]:
    """Return the fields that carry a list or an object; anywhere else it would be lost without a word."""
    return frozenset(
        source
        for target in map_.targets
        for pair in pairs(target.fields)
        if pair.converters and pair.converters[0].name == "json"
        for source in pair.sources
    )


class Leftovers:
    """Walks messages beside the sets of what was carried, and counts the rest."""

    def __init__(self, map_: Map) -> None:
        self.ignored = frozenset(map_.ignored)
        self.whole = _carried_whole(map_)
        self.flat = map_.per == "row"
        self.counts: dict[str, int] = {}
        self.firsts: dict[str, Any] = {}

    def listed(self) -> list[Unmapped]:
        """Return what was left over, by path."""
        return [Unmapped(path, count, self.firsts[path]) for path, count in sorted(self.counts.items())]

    def of(self, tree: dict[str, Any], used: dict[int, set[str]]) -> None:
        """Count what is left over of a message. ``used``: id of a row → the paths in it that were carried."""
        own = used.get(id(tree), _NOTHING)
        if self.flat:
            for name in tree.keys() - own - self.ignored:
                value = tree[name]
                if value is not None and value != "" and not (value.__class__ is str and not value.strip()):
                    self._count(name, value)
            return
        self._object(tree, own, used, "", "")

    def _object(
        self, tree: dict[str, Any], own: Any, used: dict[int, set[str]], relative: str, shown: str
    ) -> None:
        for name, value in tree.items():
            path, show = f"{relative}{name}", f"{shown}{name}"
            if value is None or show in self.ignored:
                continue
            if isinstance(value, dict):
                self._nested(value, own, used, path, show)
            elif isinstance(value, list):
                self._list(value, own, used, path, show)
            elif path not in own and value != "" and not (value.__class__ is str and not value.strip()):
                self._count(show, value)

    def _nested(
        self, value: dict[str, Any], own: Any, used: dict[int, set[str]], path: str, show: str
    ) -> None:
        if show in self.whole and path in own:
            return
        if id(value) in used:
            self._object(value, used[id(value)], used, "", f"{show}.")
        else:
            self._object(value, own, used, f"{path}.", f"{show}.")

    def _list(self, values: list[Any], own: Any, used: dict[int, set[str]], path: str, show: str) -> None:
        if show in self.whole and path in own:
            return
        for position, value in enumerate(values):
            if isinstance(value, dict):
                # The first stands for the block where the map expects one; the others have no place.
                self._nested(value, own if position == 0 else _NOTHING, used, path, show)
            elif value is not None and value != "":
                self._count(show, value)

    def _count(self, path: str, value: Any) -> None:
        self.counts[path] = self.counts.get(path, 0) + 1
        self.firsts.setdefault(path, value)
