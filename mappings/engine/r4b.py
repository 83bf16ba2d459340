"""A second opinion on what maps make: fhir.resources.R4B knows each element, its type and what is required.

It takes about a millisecond a resource, which is far too slow for every message; maps are checked with it
(``fhir-map check``, tests), messages by the server at its door.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from fhir.resources.R4B import get_fhir_model_class
from pydantic import ValidationError

from mappings.engine.model import Group, Link, Map, Pair, Target
from mappings.engine.path import Path, parse
from mappings.engine.systems import common

_TYPE = re.compile(r"\b([A-Z][A-Za-z]+)Type\b")


def validate(resource: dict[str, Any]) -> list[str]:
    """Return what fhir.resources.R4B has against a resource, one sentence each; [] when nothing."""
    try:
        model = get_fhir_model_class(resource["resourceType"])
    except (KeyError, LookupError, ValueError):
        return [f"{resource.get('resourceType')} is no resource type."]
    try:
        model.model_validate(_plain(resource))
    except ValidationError as error:
        name = resource["resourceType"]
        return [
            f"{name}.{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()
        ]
    return []


def _plain(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _plain(value) for key, value in tree.items()}
    return [_plain(item) for item in tree] if isinstance(tree, list) else tree


@cache
def _elements(name: str) -> dict[str, tuple[bool, str | None]]:
    """Return element → (is a list, name of its type when that is a complex one) of a FHIR type."""
    found = {}
    for field, about in get_fhir_model_class(name).model_fields.items():
        written = str(about.annotation)
        complex_type = _TYPE.search(written)
        element = about.alias or field
        found[element] = ("List[" in written, complex_type[1] if complex_type else None)
    return found


def unknown(type_: str, path: Path) -> str | None:
    """Return what is wrong with a path in a FHIR type; None when every element of it exists."""
    name: str | None = type_
    for step in path:
        if name is None:
            return f"{step.name} is inside a value that has no elements."
        elements = _elements(name)
        if step.name not in elements:
            return f"{name} has no element {step.name}."
        is_list, inner = elements[step.name]
        if step.repeats and not is_list:
            return f"{name}.{step.name} is no list: leave the brackets out."
        if is_list and not step.repeats and step is not path[-1]:
            return f"{name}.{step.name} is a list: say which one, as {step.name}[0]."
        name = inner
    return None


def wrong_paths(map_: Map) -> Iterator[tuple[Any, str]]:
    """Yield (position, sentence) for each path of a map that FHIR does not have."""
    for target in map_.targets:
        try:
            get_fhir_model_class(target.type)
        except (KeyError, LookupError, ValueError):
            yield target.at, f"{target.type} is no resource type of FHIR R4."
            continue
        own = "Reference" if target.by in {"refer", "logical"} else target.type
        yield from _wrong(map_, target, own, target.fields)


def _wrong(
    map_: Map, target: Target, type_: str, fields: tuple[Pair | Link | Group, ...]
) -> Iterator[tuple[Any, str]]:
    for item in fields:
        path = parse(item.into if isinstance(item, Group) else item.to, map_.systems or common())
        sentence = unknown(type_, path)
        if sentence is not None:
            yield item.at, f"{target.id}: {sentence}"
        elif isinstance(item, Group):
            inner = _type_at(type_, path)
            if inner is not None:
                yield from _wrong(map_, target, inner, item.fields)


def _type_at(type_: str, path: Path) -> str | None:
    name: str | None = type_
    for step in path:
        name = _elements(name)[step.name][1] if name is not None else None
    return name
