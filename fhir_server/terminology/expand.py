"""Expand a value set to its codes, and a code to what subsumes it or what it subsumes.

https://hl7.org/fhir/R4/valueset.html#compositions and https://hl7.org/fhir/R4/codesystem.html#hierarchy
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from fhir_server.faults import Fault, Kind
from fhir_server.terminology.filters import filtered
from fhir_server.terminology.library import Library, Tree, UnknownCanonical, texts, trees, versioned

Codes = frozenset[tuple[str, str]]
"""(system, code) pairs; the system is "" where none is given."""

_MOST_CODES = 20_000
_DEEPEST = 16


def expand(value_set: str | Tree, library: Library, most: int = _MOST_CODES) -> Codes:
    """Return the codes of a value set, given by its canonical URL or as a resource.

    What it builds on comes from ``library``; :class:`UnknownCanonical` names what is missing there. An
    expansion that the resource carries is used when it has no definition, or one that cannot be followed.
    Raises a Fault when there are more than ``most`` codes, or when value sets go round in a circle.
    """
    return _Expansion(library, most).of(value_set, ())


def subsumed(
    system: str, code: str, direction: Literal["above", "below"], library: Library, most: int = _MOST_CODES
) -> Codes:
    """Return ``code`` and all that it subsumes (below) or that subsume it (above), each with its system.

    A code that the system does not list is alone. Raises a Fault for a system that is not at hand, or too
    many codes.
    """
    known = library.code_system(system)
    found = known.below(code) if direction == "below" else known.above(code)
    _check(len(found), most)
    return frozenset((known.url, each) for each in found)


@dataclass(frozen=True, slots=True)
class _Expansion:
    library: Library
    most: int

    def of(self, value_set: str | Tree, through: tuple[str, ...]) -> Codes:
        """Expand a value set that was reached ``through`` others."""
        if isinstance(value_set, str):
            if value_set in through or len(through) >= _DEEPEST:
                raise Fault(Kind.BAD_PARAMETER, "The value set is built on itself, or too deep; mend it.")
            through = (*through, value_set)
            value_set = self.library.value_set(value_set)
        compose, given = value_set.get("compose"), _given(value_set)
        if not isinstance(compose, dict):
            return given or frozenset()
        try:
            return self._composed(compose, through)
        except UnknownCanonical:
            if given is None:
                raise
            return given

    def _composed(self, compose: dict[str, Any], through: tuple[str, ...]) -> Codes:
        active = compose.get("inactive") is False
        found: set[tuple[str, str]] = set()
        for part in trees(compose.get("include")):
            found |= self._component(part, through, active=active)
            _check(len(found), self.most)
        for part in trees(compose.get("exclude")):
            found -= self._component(part, through, active=False)
        return frozenset(found)

    def _component(self, part: dict[str, Any], through: tuple[str, ...], *, active: bool) -> Codes:
        """Return the codes that are in the system's part and in every value set that the component names."""
        sets = [self.of(each, through) for each in texts(part.get("valueSet"))]
        if isinstance(part.get("system"), str):
            sets.append(self._of_system(part, part["system"], active=active))
        return frozenset.intersection(*sets) if sets else frozenset()

    def _of_system(self, part: dict[str, Any], system: str, *, active: bool) -> Codes:
        listed = trees(part.get("concept"))
        if listed:
            return frozenset((system, each["code"]) for each in listed if isinstance(each.get("code"), str))
        known = self.library.code_system(versioned(system, part.get("version")))
        codes = frozenset(known.concepts)
        for each in trees(part.get("filter")):
            property_, op, value = (str(each.get(key, "")) for key in ("property", "op", "value"))
            codes &= filtered(known, property_, op, value)
        if active:
            codes = frozenset(code for code in codes if not known.concepts[code].is_inactive)
        _check(len(codes), self.most)
        return frozenset((system, code) for code in codes)


def _check(count: int, most: int) -> None:
    if count > most:
        raise Fault(
            Kind.TOO_COSTLY,
            f"That comes to more than {most} codes; name a smaller value set or a lower code.",
        )


def _given(value_set: Tree) -> Codes | None:
    """Return the codes of an expansion that the resource carries; None without one, or when it is a part.

    https://hl7.org/fhir/R4/valueset-definitions.html#ValueSet.expansion
    """
    expansion = value_set.get("expansion")
    if not isinstance(expansion, dict):
        return None
    found: set[tuple[str, str]] = set()
    listed = 0
    waiting = trees(expansion.get("contains"))
    while waiting:
        each = waiting.pop()
        listed += 1
        waiting += trees(each.get("contains"))
        if isinstance(each.get("code"), str) and each.get("abstract") is not True:
            system = each.get("system")
            found.add((system if isinstance(system, str) else "", each["code"]))
    total = expansion.get("total")
    return frozenset(found) if not isinstance(total, int) or total <= listed else None
