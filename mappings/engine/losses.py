"""What a Bundle says and the messages written from it do not: found by reading the messages again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mappings.engine import run
from mappings.engine.bundle import Resources, identifiers
from mappings.engine.model import Context, Issue, Map, Message, Tree
from mappings.engine.systems import common

_OF_THE_SERVER = frozenset({"id", "meta", "text", "implicitRules", "language"})
_ARCHIVE = frozenset({"Binary", "DocumentReference", "Provenance"})


def losses(
    map_: Map,
    resources: Resources,
    candidates: Mapping[str, Sequence[Tree]],
    messages: Sequence[Message],
    context: Context,
) -> list[Issue]:
    """List the resources that no target takes, and the elements that do not come back from ``messages``."""
    taken = {id(resource) for found in candidates.values() for resource in found}
    issues = [
        Issue(
            "information",
            "not-supported",
            resource["resourceType"],
            "The map has no place for this resource.",
        )
        for resource in resources.all
        if id(resource) not in taken and not _is_archive(resource)
    ]
    again = run.read_all(map_, messages, replace(context, archive=False)).bundle
    back = Resources(again)
    for resource in resources.all:
        if id(resource) in taken:
            copy = _copy_of(resource, back)
            if copy is None:
                issues.append(
                    Issue(
                        "warning",
                        "not-supported",
                        resource["resourceType"],
                        "This resource does not come back.",
                    )
                )
                continue
            issues += [
                Issue("information", "not-supported", path, "The map has no place for this element.")
                for path in sorted(_missing(resource, copy, resource["resourceType"]))
            ]
    return issues


def _is_archive(resource: Tree) -> bool:
    """Tell whether a resource is part of the archive, which travels beside the message."""
    return resource["resourceType"] in _ARCHIVE


def _copy_of(resource: Tree, back: Resources) -> Tree | None:
    wanted = set(identifiers(resource))
    return next((one for one in back.of(resource["resourceType"]) if wanted & set(identifiers(one))), None)


def _missing(tree: Any, copy: Any, path: str) -> set[str]:
    """Return the paths of what ``tree`` says and ``copy`` does not; references may be spelled otherwise."""
    if isinstance(tree, dict):
        if not isinstance(copy, dict):
            return {path}
        if "reference" in tree or ("identifier" in tree and "identifier" in copy and "display" in tree):
            return set()
        found: set[str] = set()
        top = "." not in path
        for key, value in tree.items():
            if not (top and key in {*_OF_THE_SERVER, "resourceType"}):
                found |= _missing(value, copy[key], f"{path}.{key}") if key in copy else {f"{path}.{key}"}
        return found
    if isinstance(tree, list):
        others = copy if isinstance(copy, list) else []
        return {
            missing
            for item in tree
            for missing in min((_missing(item, other, path) for other in others), key=len, default={path})
        }
    same = tree == copy or (isinstance(tree, str) and common().canonical(tree) == copy)
    return set() if same else {path}
