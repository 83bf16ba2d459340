"""A Bundle to be written as native messages: its resources, by what refers to them and by identifier."""

from __future__ import annotations

from typing import Any

from mappings.engine import ids
from mappings.engine.model import Issue, Refused, Tree
from mappings.engine.path import contains
from mappings.engine.systems import common


class Resources:
    """The resources of a Bundle, or one resource by itself. Refused when it is neither."""

    def __init__(self, bundle: Any) -> None:
        self.all: list[Tree] = []
        self._addresses: dict[str, Tree] = {}
        self._identifiers: dict[tuple[str, str, str], Tree] = {}
        if not isinstance(bundle, dict) or not isinstance(bundle.get("resourceType"), str):
            raise Refused(Issue("fatal", "structure", "Bundle", "This is no FHIR resource."))
        if bundle["resourceType"] != "Bundle":
            self._add(bundle, None)
            return
        entries = bundle.get("entry", [])
        if not isinstance(entries, list):
            raise Refused(Issue("fatal", "structure", "Bundle.entry", "Bundle.entry must be a list."))
        for index, entry in enumerate(entries):
            resource = entry.get("resource") if isinstance(entry, dict) else None
            if resource is None:
                continue
            if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
                where = f"Bundle.entry[{index}].resource"
                raise Refused(Issue("fatal", "structure", where, "This is no FHIR resource."))
            self._add(resource, entry.get("fullUrl"))

    def _add(self, resource: Tree, url: Any) -> None:
        self.all.append(resource)
        if isinstance(url, str):
            self._addresses.setdefault(url, resource)
        type_ = resource["resourceType"]
        if isinstance(resource.get("id"), str):
            self._addresses.setdefault(f"{type_}/{resource['id']}", resource)
        for system, value in identifiers(resource):
            self._identifiers.setdefault((type_, system, value), resource)

    def of(self, type_: str) -> list[Tree]:
        """List the resources of a type, in the Bundle's order."""
        return [resource for resource in self.all if resource["resourceType"] == type_]

    def follow(self, reference: Any, type_: str) -> Tree | None:
        """Return the resource that a Reference means; None when it is not in the Bundle.

        By fullUrl, by ``Type/id``, by ``Type?identifier=…``, or by Reference.identifier.
        """
        if not isinstance(reference, dict):
            return None
        url = reference.get("reference")
        if isinstance(url, str):
            found = self._addresses.get(url)
            if found is None and "://" in url:
                found = self._addresses.get("/".join(url.split("/")[-2:]))
            asked = ids.parse_condition(url)
            if found is None and asked is not None:
                found = self._identifiers.get((asked[0], common().canonical(asked[1]), asked[2]))
            return found
        named = name_of(reference)
        return self._identifiers.get((reference.get("type") or type_, *named)) if named else None


def identifiers(resource: Tree) -> list[tuple[str, str]]:
    """List the (system, value) of a resource's identifiers, of aliases the address that is written."""
    listed = resource.get("identifier")
    found = listed if isinstance(listed, list) else [listed] if isinstance(listed, dict) else []
    return [
        (common().canonical(one.get("system", "")), one["value"])
        for one in found
        if isinstance(one, dict) and isinstance(one.get("value"), str)
    ]


def name_of(reference: Tree) -> tuple[str, str] | None:
    """Return the business identity that a Reference itself tells; None when it tells none."""
    asked = ids.parse_condition(str(reference.get("reference", "")))
    if asked is not None:
        return common().canonical(asked[1]), asked[2]
    found = identifiers(reference)
    return found[0] if found else None


def matches(resource: Tree, systems: tuple[str, ...]) -> bool:
    """Tell whether a resource carries an identifier of one of the systems."""
    return any(system in systems for system, _ in identifiers(resource))


def agrees(resource: Tree, constants: Tree) -> bool:
    """Tell whether a resource holds all of a target's constants."""
    return contains(resource, constants, common().aliases)
