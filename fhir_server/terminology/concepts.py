"""The concepts of a code system and their hierarchy.

https://hl7.org/fhir/R4/codesystem.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from fhir_server.faults import Fault, Kind

MOST_CONCEPTS = 200_000
"""The largest code system that is read."""

_INACTIVE = frozenset({"retired", "inactive"})


@dataclass(slots=True)
class Concept:
    """One concept: its display, its properties (each a list of values as text), and its direct parents."""

    code: str
    display: str = ""
    properties: dict[str, list[str]] = field(default_factory=dict)
    parents: set[str] = field(default_factory=set)

    @property
    def is_inactive(self) -> bool:
        """True when the concept may no longer be used: its property ``inactive`` or ``status`` says so.

        https://hl7.org/fhir/R4/codesystem.html#status
        """
        inactive = self.properties.get("inactive")
        if inactive is not None:
            return "true" in inactive
        return not _INACTIVE.isdisjoint(self.properties.get("status", []))


class CodeSystem:
    """The concepts of a CodeSystem resource. A parent is what a concept stands in, or a property names."""

    def __init__(self, tree: dict[str, Any]) -> None:
        self.url: str = tree["url"]
        self._concepts: dict[str, Concept] = {}
        self._children: dict[str, set[str]] = {}
        self._read(tree.get("concept"))
        for concept in list(self._concepts.values()):
            concept.parents.update(concept.properties.get("parent", []))
            for child in concept.properties.get("child", []):
                if child in self._concepts:
                    self._concepts[child].parents.add(concept.code)
        for concept in self._concepts.values():
            for parent in concept.parents:
                self._children.setdefault(parent, set()).add(concept.code)

    @property
    def concepts(self) -> Mapping[str, Concept]:
        """The concepts by code."""
        return MappingProxyType(self._concepts)

    def below(self, code: str) -> frozenset[str]:
        """Return the code and all that it subsumes."""
        return _reached(code, lambda each: self._children.get(each, ()))

    def above(self, code: str) -> frozenset[str]:
        """Return the code and all that subsume it."""
        return _reached(code, lambda each: self._concepts[each].parents if each in self._concepts else ())

    def _read(self, concepts: Any) -> None:
        """Read nested concepts, whatever their depth."""
        waiting: list[tuple[Any, str | None]] = [(concepts, None)]
        while waiting:
            listed, parent = waiting.pop()
            for each in listed if isinstance(listed, list) else ():
                code = each.get("code") if isinstance(each, dict) else None
                if not isinstance(code, str):
                    continue
                concept = self._concepts.setdefault(code, Concept(code))
                concept.display = str(each.get("display") or concept.display)
                for name, value in _properties(each):
                    concept.properties.setdefault(name, []).append(value)
                if parent is not None:
                    concept.parents.add(parent)
                waiting.append((each.get("concept"), code))
            if len(self._concepts) > MOST_CONCEPTS:
                raise Fault(
                    Kind.TOO_COSTLY,
                    f"The code system has more than {MOST_CONCEPTS} concepts; ask for codes by name.",
                )


def _reached(start: str, onward: Any) -> frozenset[str]:
    """Return all that can be reached, in any number of steps; a circle does no harm."""
    found, waiting = {start}, [start]
    while waiting:
        for each in onward(waiting.pop()):
            if each not in found:
                found.add(each)
                waiting.append(each)
    return frozenset(found)


def _properties(concept: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (code, value as text) of a concept's properties; of a Coding its code."""
    listed = concept.get("property")
    for each in listed if isinstance(listed, list) else ():
        if not isinstance(each, dict) or not isinstance(each.get("code"), str):
            continue
        for key, value in each.items():
            if key.startswith("value"):
                value = value.get("code") if isinstance(value, dict) else value  # noqa: PLW2901 - of a Coding its code
                yield each["code"], str(value).lower() if isinstance(value, bool) else str(value)
