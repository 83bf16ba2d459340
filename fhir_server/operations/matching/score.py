"""How likely two records are one person: weights of evidence added up, as Fellegi and Sunter taught.

A weight is the logarithm to base 2 of how much likelier an agreement (or difference) is when two records are
one person than when they are two. The sum starts at minus :data:`PRIOR`: of a million people one is meant.
``docs/search.md`` lists the weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from fhir_server.operations.matching.features import Features, Name, full_sounds

Grade = Literal["certain", "probable", "possible", "certainly-not"]
"""https://hl7.org/fhir/R4/valueset-match-grade.html"""

PRIOR = 20.0
WEIGHTS = {
    "ID number equal": 40.0,
    "ID number differs": -40.0,
    "ID number differs in one character or two neighbours": -4.0,
    "other identifier equal": 24.0,
    "name equal": 10.0,
    "name equal, parts in another order": 9.0,
    "name sounds equal": 7.0,
    "one part of the name equal": -2.0,
    "name differs": -8.0,
    "birth date equal": 14.0,
    "birth date: a slip": 6.0,
    "birth date differs": -10.0,
    "phone equal": 14.0,
    "phone differs": -1.0,
    "gender equal": 1.0,
    "gender differs": -6.0,
}

_SAME = frozenset(
    {"other identifier equal", "name equal", "name equal, parts in another order", "name sounds equal"}
)
"""Without any of these two records are at most possibly one person: twins share all the rest."""

_CERTAIN = 0.9999
_PROBABLE = 0.9
_POSSIBLE = 0.1


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike two records are: a probability and its grade.

    ``is_told``: worth showing; a record that would match but for another ID number is, as certainly not.
    """

    score: float
    grade: Grade
    is_told: bool = True


def likeness(one: Features, other: Features) -> Likeness:
    """Compare two records. An ID number decides: equal is certain unless all else contradicts it."""
    evidence = [found for found in _evidence(one, other) if found]
    total = sum(WEIGHTS[found] for found in evidence) - PRIOR
    score = _probability(total)
    if "ID number differs" in evidence:
        rest = _probability(total - WEIGHTS["ID number differs"])
        return Likeness(score, "certainly-not", rest >= _POSSIBLE)
    if "ID number equal" in evidence and total > 0:
        contradicted = sum(found.endswith("differs") and found != "phone differs" for found in evidence)
        return Likeness(score, "certain" if contradicted < 2 else "probable")
    if score >= _CERTAIN and not any(WEIGHTS[found] < -1 for found in evidence):
        return Likeness(score, "certain")
    if score >= _PROBABLE and not _SAME.isdisjoint(evidence):
        return Likeness(score, "probable")
    if score >= _POSSIBLE:
        return Likeness(score, "possible")
    return Likeness(score, "certainly-not", False)


def _probability(total: float) -> float:
    return 1 / (1 + math.exp2(-max(-60.0, min(60.0, total))))


def _evidence(one: Features, other: Features) -> tuple[str, ...]:
    return (
        _id_numbers(one, other),
        "other identifier equal" if one.identifiers & other.identifiers else "",
        _names(one, other),
        _birth_dates(one.birth_date, other.birth_date),
        _phones(one, other),
        _gender(one.gender, other.gender),
    )


def _id_numbers(one: Features, other: Features) -> str:
    if not one.id_numbers or not other.id_numbers:
        return ""
    if one.id_numbers & other.id_numbers:
        return "ID number equal"
    near = any(is_slip(a, b) for a in one.id_numbers for b in other.id_numbers)
    return "ID number differs in one character or two neighbours" if near else "ID number differs"


def _names(one: Features, other: Features) -> str:
    if not one.names or not other.names:
        return ""
    found = {_name(a, b) for a in one.names for b in other.names}
    return next(each for each in _NAME_EVIDENCE if each in found)


_NAME_EVIDENCE = (
    "name equal",
    "name equal, parts in another order",
    "name sounds equal",
    "one part of the name equal",
    "name differs",
)
"""From the strongest to the weakest."""


def _name(one: Name, other: Name) -> str:
    if one.joined == other.joined:
        return "name equal"
    if sorted(one.parts) == sorted(other.parts):
        return "name equal, parts in another order"
    if _sounds_equal(one, other):
        return "name sounds equal"
    return "one part of the name equal" if set(one.parts) & set(other.parts) else "name differs"


def _sounds_equal(one: Name, other: Name) -> bool:
    """Compare by full pinyin, which a Latin name may be itself; initials alone say too little."""
    return not full_sounds(one).isdisjoint(full_sounds(other))


def _birth_dates(one: str, other: str) -> str:
    if not one or not other:
        return ""
    if one == other:
        return "birth date equal"
    is_near = f"{one[:5]}{one[8:]}-{one[5:7]}" == other or is_slip(one, other)
    return "birth date: a slip" if is_near else "birth date differs"


def _phones(one: Features, other: Features) -> str:
    if not one.phones or not other.phones:
        return ""
    return "phone equal" if one.phones & other.phones else "phone differs"


def _gender(one: str, other: str) -> str:
    if not one or not other:
        return ""
    return "gender equal" if one == other else "gender differs"


def is_slip(one: str, other: str) -> bool:
    """Say whether two texts of one length differ in one character, or in two neighbours exchanged."""
    if len(one) != len(other):
        return False
    places = [place for place, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
    if len(places) == 1:
        return True
    return (
        len(places) == 2
        and places[1] == places[0] + 1
        and one[places[0]] == other[places[1]]
        and one[places[1]] == other[places[0]]
    )
