"""The value sets and code systems at hand, by canonical URL.

https://hl7.org/fhir/R4/references.html#canonical
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fhir_server.faults import Fault, Kind
from fhir_server.resources.types import value_sets
from fhir_server.terminology.concepts import CodeSystem

Tree = dict[str, Any]
Canonical = tuple[str, str]
"""Resource type (ValueSet or CodeSystem) and ``url`` or ``url|version``."""


class UnknownCanonical(Fault):
    """A value set or code system that is not at hand. ``canonical`` names it for whoever can fetch it."""

    def __init__(self, type_: str, canonical: str) -> None:
        super().__init__(
            Kind.BAD_PARAMETER,
            f"This server does not hold the {type_} that is asked for, or one that it builds on; "
            "store it first.",
        )
        self.canonical: Canonical = (type_, canonical)


class Library:
    """Looks resources up. Of several with one URL the last one added is meant when no version is named."""

    def __init__(self, resources: Iterable[Tree] = ()) -> None:
        self._trees: dict[Canonical, Tree] = {}
        self._systems: dict[str, CodeSystem] = {}
        for tree in resources:
            self.add(tree)

    def add(self, tree: Tree) -> None:
        """Add a ValueSet or CodeSystem; one without a URL cannot be asked for and is passed over."""
        type_, url, version = (tree.get(key) for key in ("resourceType", "url", "version"))
        if isinstance(type_, str) and isinstance(url, str):
            self._trees[type_, url] = tree
            if isinstance(version, str):
                self._trees[type_, f"{url}|{version}"] = tree
        self._systems.clear()

    def value_set(self, canonical: str) -> Tree:
        """Return a value set; those that R4 binds codes to are always at hand. Raises UnknownCanonical."""
        tree = self._trees.get(("ValueSet", canonical)) or _of_r4(canonical)
        if tree is None:
            raise UnknownCanonical("ValueSet", canonical)
        return tree

    def code_system(self, canonical: str) -> CodeSystem:
        """Return a code system whose codes are all at hand. Raises UnknownCanonical."""
        known = self._systems.get(canonical)
        if known is not None:
            return known
        tree = self._trees.get(("CodeSystem", canonical))
        if tree is None or tree.get("content", "complete") not in ("complete", "fragment"):
            raise UnknownCanonical("CodeSystem", canonical)
        self._systems[canonical] = CodeSystem(tree)
        return self._systems[canonical]


def _of_r4(canonical: str) -> Tree | None:
    """Return one of R4's enumerable value sets, as a ValueSet of listed codes."""
    url, _, version = canonical.partition("|")
    systems = value_sets().get(url)
    if systems is None or version not in ("", "4.0.1"):
        return None
    include = [
        {"system": system, "concept": [{"code": code} for code in sorted(codes)]}
        for system, codes in systems.items()
    ]
    return {"resourceType": "ValueSet", "url": url, "compose": {"include": include}}


def versioned(url: str, version: Any) -> str:
    """Return ``url|version``, or the URL alone without a version."""
    return f"{url}|{version}" if isinstance(version, str) and version else url


def trees(value: Any) -> list[Tree]:
    """Return the objects in a list; nothing when it is none."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def texts(value: Any) -> list[str]:
    """Return the texts in a list; nothing when it is none."""
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
