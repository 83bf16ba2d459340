"""The value sets and code hierarchies that a process has expanded, and what they were made of."""

from __future__ import annotations

from dataclasses import dataclass, field

from fhir_server.search.needs import Need
from fhir_server.search.terms import Codes
from fhir_server.terminology.library import Canonical

Version = tuple[str, int]
"""A resource's id and the number of its version."""

_KEPT = 256


@dataclass(slots=True)
class Expansions:
    """The expansions that a process keeps, the longest unused one forgotten first."""

    kept: dict[Need, tuple[dict[Canonical, Version], Codes]] = field(default_factory=dict)

    def get(self, need: Need) -> tuple[dict[Canonical, Version], Codes] | None:
        """Return what an expansion was made of, and its codes."""
        found = self.kept.pop(need, None)
        if found is not None:
            self.kept[need] = found
        return found

    def put(self, need: Need, made_of: dict[Canonical, Version], codes: Codes) -> None:
        """Keep an expansion."""
        self.kept[need] = (made_of, codes)
        while len(self.kept) > _KEPT:
            del self.kept[next(iter(self.kept))]
