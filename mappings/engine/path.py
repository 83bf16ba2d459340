"""FHIR paths as maps write them: parse, read from a resource, and say what a selector asks for.

``name[0].text``, ``identifier[system=cn-id].value``, ``class[type=coverage-class#plan].value``,
``extension('gender-gb').valueCoding``: element names, each list element told apart by number or by content.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from mappings.engine.systems import Systems, for_source

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_EXTENSION = re.compile(r"(extension|modifierExtension)\(\s*(['\"])(.+?)\2\s*\)")
_SYSTEM_KEYS = frozenset({"system", "url"})
CONTACT_SYSTEMS = frozenset({"phone", "fax", "email", "pager", "url", "sms", "other"})
"""What ContactPoint.system says: codes, not names of systems."""


@dataclass(frozen=True, slots=True)
class Step:
    """One element of a path. Of a list: its ``index``, or what it must hold (``fixed``, a FHIR tree).

    ``text``: as the path writes it, which tells steps apart.
    """

    name: str
    text: str
    index: int | None = None
    fixed: Mapping[str, Any] | None = None

    @property
    def repeats(self) -> bool:
        """True when the element is a list."""
        return self.index is not None or self.fixed is not None


Path = tuple[Step, ...]


def parse(text: str, systems: Systems, source: str = "{source}") -> Path:
    """Read a path; ValueError with a sentence when it cannot be read or names an unknown system."""
    steps: list[Step] = []
    at = 0
    while at < len(text) or not steps:
        step, at = _step(text, at, systems, source)
        steps.append(step)
        if at < len(text):
            if text[at] != ".":
                raise ValueError(f"'{text}' cannot be read at '{text[at:]}': a dot is expected there.")
            at += 1
            if at == len(text):
                raise ValueError(f"'{text}' ends with a dot.")
    return tuple(steps)


def _step(text: str, at: int, systems: Systems, source: str) -> tuple[Step, int]:
    extension = _EXTENSION.match(text, at)
    if extension:
        url = for_source(_named(systems.extension, extension[3], "extension"), source)
        return Step(extension[1], extension[0], fixed={"url": url}), extension.end()
    name = _NAME.match(text, at)
    if name is None:
        raise ValueError(f"'{text}' cannot be read at '{text[at:]}': an element's name is expected there.")
    end = name.end()
    if not text.startswith("[", end):
        return Step(name[0], name[0]), end
    close = _closing(text, end)
    inside, written = text[end + 1 : close], text[at : close + 1]
    if inside.isdecimal():
        return Step(name[0], written, index=int(inside)), close + 1
    return Step(name[0], written, fixed=_selector(inside, systems, source)), close + 1


def _closing(text: str, opening: int) -> int:
    depth = 0
    for at in range(opening, len(text)):
        depth += (text[at] == "[") - (text[at] == "]")
        if depth == 0:
            return at
    raise ValueError(f"'{text}' has a '[' that nothing closes.")


def _selector(inside: str, systems: Systems, source: str) -> dict[str, Any]:
    """Read ``system=KEY,use=home`` as the tree that the list element must hold."""
    tree: dict[str, Any] = {}
    for part in re.split(r",(?![^\[]*\])", inside):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not key or not value:
            raise ValueError(f"'[{inside}]' is neither a number nor key=value.")
        leaf: Any = value
        if "#" in value:
            system, _, code = value.rpartition("#")
            leaf = {"coding": [{"system": _system(systems, system, source), "code": code}]}
        elif key.rpartition(".")[2] in _SYSTEM_KEYS and value not in CONTACT_SYSTEMS:
            leaf = _system(systems, value, source)
        place(tree, parse(key, systems, source), leaf)
    return tree


def _system(systems: Systems, name: str, source: str) -> str:
    return for_source(_named(systems.system, name, "system"), source)


def _named(find: Any, name: str, what: str) -> str:
    try:
        return str(find(name))
    except KeyError:
        raise ValueError(
            f"'{name}' is no known {what}: name one of systems.yaml, or write its URI."
        ) from None


def place(tree: dict[str, Any], path: Path, value: Any) -> None:
    """Put ``value`` into ``tree`` at ``path``, making what is not there; objects are merged."""
    for step in path[:-1]:
        tree = _child(tree, step)
    last = path[-1]
    if last.repeats:
        holder = _child(tree, last)
        holder.update(value)
    elif isinstance(value, dict) and isinstance(tree.get(last.name), dict):
        tree[last.name] = {**tree[last.name], **value}
    else:
        tree[last.name] = value


def _child(tree: dict[str, Any], step: Step) -> dict[str, Any]:
    if not step.repeats:
        found: dict[str, Any] = tree.setdefault(step.name, {})
        return found
    items: list[dict[str, Any]] = tree.setdefault(step.name, [])
    if step.index is not None:
        while len(items) <= step.index:
            items.append({})
        return items[step.index]
    assert step.fixed is not None
    for item in items:
        if contains(item, step.fixed):
            return item
    items.append(_copy(step.fixed))
    return items[-1]


def _copy(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {key: _copy(value) for key, value in tree.items()}
    return [_copy(item) for item in tree] if isinstance(tree, list) else tree


def find(tree: Any, path: Path, aliases: Mapping[str, str] | None = None) -> Any:
    """Return what stands at ``path``; None when nothing does or the tree has another shape."""
    for step in path:
        if not isinstance(tree, dict):
            return None
        tree = tree.get(step.name)
        if step.index is not None:
            tree = tree[step.index] if isinstance(tree, list) and len(tree) > step.index else None
        elif step.fixed is not None:
            items = tree if isinstance(tree, list) else ()
            tree = next((item for item in items if contains(item, step.fixed, aliases)), None)
        if tree is None:
            return None
    return tree


def contains(tree: Any, wanted: Any, aliases: Mapping[str, str] | None = None) -> bool:
    """Tell whether ``tree`` holds all of ``wanted``; of lists, each wanted item in any place."""
    if isinstance(wanted, Mapping):
        return isinstance(tree, dict) and all(
            key in tree and contains(tree[key], value, aliases) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(tree, list) and all(
            any(contains(item, one, aliases) for item in tree) for one in wanted
        )
    if aliases and isinstance(tree, str):
        tree = aliases.get(tree, tree)
    return bool(tree == wanted) and isinstance(tree, bool) == isinstance(wanted, bool)


@lru_cache(maxsize=4096)
def source_parts(text: str, *, flat: bool) -> tuple[str, ...]:
    """Split a source path at its dots; a table's column (``flat``) is one name, dots and all."""
    return (text,) if flat or text.startswith("$") else tuple(text.split("."))
