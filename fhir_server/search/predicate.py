"""What a search, a permission or a condition says about a resource: one tree, for every store.

A predicate is data. ``search/match.py`` says what each node means; the stores compile it.
https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

Prefix = Literal["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"]
"""How an ordered value is compared. https://hl7.org/fhir/R4/search.html#prefix"""


@dataclass(frozen=True, slots=True)
class Present:
    """Any value at all."""


@dataclass(frozen=True, slots=True)
class TokenIs:
    """A code, identifier value or boolean. ``system``: None = any, "" = none given. ``code``: None = any."""

    system: str | None
    code: str | None


@dataclass(frozen=True, slots=True)
class StringStarts:
    """A string that starts with ``text``, both folded by :func:`search.fold.fold`."""

    text: str


@dataclass(frozen=True, slots=True)
class StringIs:
    """A string equal to ``text``, case and accents included."""

    text: str


@dataclass(frozen=True, slots=True)
class StringContains:
    """A string in which ``text`` occurs anywhere, both folded. https://hl7.org/fhir/R4/search.html#string"""

    text: str


@dataclass(frozen=True, slots=True)
class StringEnds:
    """A string that ends with ``text``, both folded; with ``whole``, one that is ``text`` and nothing more.

    Only ``_filter`` asks for it. https://hl7.org/fhir/R4/search_filter.html
    """

    text: str
    whole: bool = False


@dataclass(frozen=True, slots=True)
class TokenIn:
    """A code among ``members``, (system, code) pairs: what a value set or a hierarchy was expanded to.

    Exact in both halves; a member with system None is of any system.
    """

    members: frozenset[tuple[str | None, str]]


@dataclass(frozen=True, slots=True)
class Near:
    """A position within ``metres`` of latitude and longitude (degrees, WGS 84), along a great circle.

    https://hl7.org/fhir/R4/location.html#search
    """

    latitude: float
    longitude: float
    metres: float


@dataclass(frozen=True, slots=True)
class HasWords:
    """A text that holds every one of ``words``, in any order; :func:`search.words.words` cuts them."""

    words: frozenset[str]


@dataclass(frozen=True, slots=True)
class DateIs:
    """A span of time compared with [lo, hi] (milliseconds since the epoch, both included)."""

    prefix: Prefix
    lo: int
    hi: int


@dataclass(frozen=True, slots=True)
class NumberIs:
    """A number compared with ``value``, whose implicit precision spans [lo, hi)."""

    prefix: Prefix
    value: float
    lo: float
    hi: float


@dataclass(frozen=True, slots=True)
class QuantityIs:
    """A quantity: its number as in :class:`NumberIs`, in ``unit`` (code or unit, None: any) of ``system``."""

    number: NumberIs
    system: str | None
    unit: str | None


@dataclass(frozen=True, slots=True)
class ReferenceIs:
    """A reference to one of ``targets``: ``Type/id`` when local, the whole URL otherwise."""

    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UriIs:
    """A URI equal to ``uri``, to the letter."""

    uri: str


Test: TypeAlias = (
    Present
    | TokenIs
    | TokenIn
    | StringStarts
    | StringIs
    | StringContains
    | StringEnds
    | DateIs
    | NumberIs
    | QuantityIs
    | ReferenceIs
    | UriIs
    | Near
    | HasWords
)


@dataclass(frozen=True, slots=True)
class Everything:
    """Every resource of the type."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """No resource. Not the absence of a filter: the two are different values on purpose."""


@dataclass(frozen=True, slots=True)
class Where:
    """Some value of the search parameter ``param`` passes ``test``."""

    param: str
    test: Test


@dataclass(frozen=True, slots=True)
class Together:
    """One and the same element of the composite parameter ``param`` passes every test, in their order.

    Only composites below the resource itself: for one whose element is the resource, All says the same.
    https://hl7.org/fhir/R4/search.html#composite
    """

    param: str
    tests: tuple[Test, ...]


@dataclass(frozen=True, slots=True)
class IdIn:
    """The resource's logical id is one of ``ids``."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chain:
    """A reference in ``param`` leads to a current resource of ``type`` that satisfies ``inner``."""

    param: str
    type: str
    inner: Predicate


@dataclass(frozen=True, slots=True)
class Has:
    """A current resource of ``type`` refers to this one by its ``param`` and satisfies ``inner``."""

    type: str
    param: str
    inner: Predicate


@dataclass(frozen=True, slots=True)
class Contains:
    """Some resource of ``type`` that this one contains satisfies ``inner``, by its own values and its own id.

    ``inner`` leads nowhere else: it has no Chain, Has or About. https://hl7.org/fhir/R4/search.html#contained
    """

    type: str
    inner: Predicate


@dataclass(frozen=True, slots=True)
class About:
    """Some patient that the resource is about is now in one of these policy classes.

    0 is the class of a patient that has none. ``above``: a class with a greater number counts too, so that
    whoever knows the classes up to ``above`` can refuse what he has not judged yet.
    """

    classes: frozenset[int]
    above: int | None = None


@dataclass(frozen=True, slots=True)
class All:
    """Every one of ``items``; make it with :func:`all_of`."""

    items: tuple[Predicate, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one of ``items``; make it with :func:`any_of`."""

    items: tuple[Predicate, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Not ``item``; make it with :func:`negate`."""

    item: Predicate


Predicate: TypeAlias = (
    Everything | Nothing | Where | Together | IdIn | Chain | Has | Contains | About | All | AnyOf | Not
)

EVERYTHING = Everything()
NOTHING = Nothing()


def all_of(items: Iterable[Predicate]) -> Predicate:
    """Join by AND. No items: everything. One that is nothing: nothing."""
    kept: list[Predicate] = []
    for item in items:
        if isinstance(item, Nothing):
            return NOTHING
        if isinstance(item, All):
            kept.extend(item.items)
        elif not isinstance(item, Everything):
            kept.append(item)
    if not kept:
        return EVERYTHING
    return kept[0] if len(kept) == 1 else All(tuple(kept))


def any_of(items: Iterable[Predicate]) -> Predicate:
    """Join by OR. No items: NOTHING (an empty list of permitted things permits nothing)."""
    kept: list[Predicate] = []
    for item in items:
        if isinstance(item, Everything):
            return EVERYTHING
        if isinstance(item, AnyOf):
            kept.extend(item.items)
        elif not isinstance(item, Nothing):
            kept.append(item)
    if not kept:
        return NOTHING
    return kept[0] if len(kept) == 1 else AnyOf(tuple(kept))


def negate(item: Predicate) -> Predicate:
    """Turn a predicate into its opposite."""
    if isinstance(item, Everything):
        return NOTHING
    if isinstance(item, Nothing):
        return EVERYTHING
    return item.item if isinstance(item, Not) else Not(item)
