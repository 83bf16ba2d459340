"""Expand the value sets of required bindings as far as the definitions alone allow.

https://hl7.org/fhir/R4/valueset.html#compositions
"""

from __future__ import annotations

from pathlib import Path

from conformance.source import Json, resources

Codes = dict[str, list[str]]
"""The codes of a value set by code system."""


def expansions(folder: Path) -> dict[str, Codes]:
    """Return every value set that can be enumerated; those with filters or outside systems are left out."""
    systems: dict[str, Json] = {}
    valuesets: dict[str, Json] = {}
    for name in ("valuesets.json", "v3-codesystems.json", "v2-tables.json"):
        for resource in resources(folder / name):
            (valuesets if resource["resourceType"] == "ValueSet" else systems)[resource.get("url", "")] = (
                resource
            )
    expanded = {url: _expand(valueset, systems, valuesets, 0) for url, valueset in valuesets.items()}
    return {url: codes for url, codes in expanded.items() if codes}


def _expand(valueset: Json, systems: dict[str, Json], valuesets: dict[str, Json], depth: int) -> Codes | None:
    compose = valueset.get("compose", {})
    if "exclude" in compose or depth > 5:
        return None
    codes: dict[str, set[str]] = {}
    for include in compose.get("include", []):
        part = _include(include, systems, valuesets, depth)
        if part is None:
            return None
        for system, members in part.items():
            codes.setdefault(system, set()).update(members)
    return {system: sorted(codes[system]) for system in sorted(codes)}


def _include(include: Json, systems: dict[str, Json], valuesets: dict[str, Json], depth: int) -> Codes | None:
    if "filter" in include:
        return None
    if "concept" in include:
        return {include["system"]: [concept["code"] for concept in include["concept"]]}
    if "system" in include:
        system = systems.get(include["system"], {})
        if system.get("content") != "complete":
            return None
        return {include["system"]: sorted(_codes(system.get("concept", [])))}
    joined: Codes = {}
    for url in include.get("valueSet", []):
        other = valuesets.get(url.partition("|")[0])
        part = _expand(other, systems, valuesets, depth + 1) if other else None
        if part is None:
            return None
        joined.update(part)
    return joined


def _codes(concepts: list[Json]) -> set[str]:
    found = set()
    for concept in concepts:
        found.add(concept["code"])
        found |= _codes(concept.get("concept", []))
    return found
