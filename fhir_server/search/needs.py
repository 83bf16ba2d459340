"""What a search must know of codes before it can be parsed: value sets and hierarchies.

Parsing is pure, and looking value sets up is not. So a first pass over the parameters notes the questions
(:func:`needs`), the caller finds the answers, and the parser is given them (:class:`Answers`).
https://hl7.org/fhir/R4/search.html#token
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from fhir_server.faults import Fault, Kind
from fhir_server.search.parse import parse
from fhir_server.search.terms import Codes, Direction, Options


@dataclass(frozen=True, slots=True)
class InValueSet:
    """The codes of a value set: ``url``, ``url|version`` or ``ValueSet/id``."""

    value_set: str


@dataclass(frozen=True, slots=True)
class Subsumed:
    """A code of ``system`` and all above or below it."""

    system: str
    code: str
    direction: Direction


Need: TypeAlias = InValueSet | Subsumed

_MOST_NEEDS = 50
_MARKS = (":in", ":not-in", ":above", ":below", "_filter")
"""What the name of a parameter must hold for the search to need anything."""


class _Notes:
    """A terminology that notes what it is asked and answers with nothing."""

    def __init__(self) -> None:
        self.asked: dict[Need, None] = {}

    def expand(self, value_set: str) -> Codes:
        self.asked[InValueSet(value_set)] = None
        return frozenset()

    def subsumed(self, system: str, code: str, direction: Direction) -> Codes:
        self.asked[Subsumed(system, code, direction)] = None
        return frozenset()


class Answers:
    """A terminology of prepared answers: what :func:`needs` listed, each with its codes."""

    def __init__(self, answers: Mapping[Need, Codes]) -> None:
        self._answers = dict(answers)

    def expand(self, value_set: str) -> Codes:
        """Return the prepared codes of a value set."""
        return self._answers[InValueSet(value_set)]

    def subsumed(self, system: str, code: str, direction: Direction) -> Codes:
        """Return the prepared codes above or below a code."""
        return self._answers[Subsumed(system, code, direction)]


def needs(type_: str, parameters: Sequence[tuple[str, str]], options: Options) -> tuple[Need, ...]:
    """Return what the search asks of terminology, each once; nothing for most, at hardly any cost.

    Raises the Fault that parsing would raise.
    """
    if not any(mark in name for name, _ in parameters for mark in _MARKS):
        return ()
    notes = _Notes()
    parse(type_, parameters, replace(options, terminology=notes))
    if len(notes.asked) > _MOST_NEEDS:
        raise Fault(
            Kind.BAD_PARAMETER,
            f"A search may name {_MOST_NEEDS} value sets and code hierarchies; ask for less.",
        )
    return tuple(notes.asked)
