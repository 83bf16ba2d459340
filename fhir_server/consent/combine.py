"""All Consents of one patient combined: which Rule holds from when until when.

The newest of those that are about the same takes the place of the older ones. What is left speaks side by
side; ``compile`` lets a denial outweigh. A period that begins or ends is a boundary between two slices of
time, so that it takes effect at its instant without a write.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from msgspec.structs import astuple

from fhir_server.consent.provisions import Provision
from fhir_server.consent.rule import SILENCE, Clause, Rule, clause, rule, to_bytes
from fhir_server.consent.source import ACTIVE, SUPERSEDING, Directive
from fhir_server.faults import Fault, Kind
from fhir_server.search.dates import OPEN_END, OPEN_START
from fhir_server.store.api import Slice

MOST_SLICES: Final = 200
"""Slices of time that one patient's Consents may make."""
MOST_CLAUSES: Final = 200
"""Provisions of all Consents of one patient that hold at one time, exceptions included."""
MOST_VALUES: Final = 2000
"""Actors, labels, codes … in them."""


def standing(directives: Iterable[Directive]) -> tuple[Directive, ...]:
    """Return the active directives that no newer one has replaced, in the order of their ids.

    Newer is what was made later (:attr:`Directive.made`), then what was stored later. One that was withdrawn
    replaces too: to withdraw must never bring an older, wider Consent back to life.
    """
    newest: dict[frozenset[str], Directive] = {}
    for each in directives:
        if each.status not in SUPERSEDING:
            continue
        other = newest.get(each.policies)
        if other is None or _age(each) > _age(other):
            newest[each.policies] = each
    active = (each for each in newest.values() if each.status == ACTIVE)
    return tuple(sorted(active, key=lambda each: each.id))


def _age(directive: Directive) -> tuple[int, int, str]:
    return directive.made, directive.stored, directive.id


class Extent(NamedTuple):
    """How much one patient's Consents say: slices of time, provisions and values that hold at one time."""

    slices: int
    clauses: int
    values: int

    def most(self, other: Extent) -> Extent:
        """Return what neither goes beyond."""
        return Extent(*map(max, self, other))

    def times(self, factor: int) -> Extent:
        """Return so many times as much of each."""
        return Extent(*(each * factor for each in self))


def limits() -> Extent:
    """Return how much one patient may put into everybody's searches."""
    return Extent(MOST_SLICES, MOST_CLAUSES, MOST_VALUES)


@dataclass(frozen=True, slots=True)
class Grant:
    """A broken glass: ``breaker`` sees what policy lets be lifted, from ``start`` until before ``end`` (ms).

    ``breaker``: as :attr:`Asking.breaker`, the user at an organisation.
    """

    breaker: str
    start: int
    end: int


def rule_at(directives: Iterable[Directive], instant: int, grants: Iterable[Grant] = ()) -> Rule:
    """Return the Rule of directives (:func:`standing`) and grants at ``instant``, ms since the epoch."""
    provisions = (each for directive in directives for each in directive.provisions)
    clauses = (made for each in provisions if (made := _clause_at(each, instant)) is not None)
    return rule(clauses, (each.breaker for each in grants if each.start <= instant < each.end))


def _clause_at(provision: Provision, instant: int) -> Clause | None:
    """Return what a provision says at ``instant``; None outside its period."""
    if not provision.start <= instant <= provision.end:
        return None
    exceptions = (_clause_at(each, instant) for each in provision.exceptions)
    return clause(provision.terms, (each for each in exceptions if each is not None), permit=provision.permit)


def slices(
    directives: Iterable[Directive], grants: Sequence[Grant] = (), allowed: Extent | None = None
) -> tuple[Slice, ...]:
    """Return the Rules of one patient's directives, as bytes, over all of time: in order, without gaps.

    No two neighbours have the same Rule; a patient who says nothing has one slice of :data:`rule.SILENCE`.
    ``allowed``: how much they may say, by default :func:`limits`.
    Faults: UNPROCESSABLE for more.
    """
    current = standing(directives)
    allowed = allowed or limits()
    starts = _starts(current, grants)
    if len(starts) > allowed.slices:
        raise Fault(
            Kind.UNPROCESSABLE,
            f"The patient's Consents begin and end at more than {MOST_SLICES} instants; join their periods.",
            "Consent.provision.period",
        )
    found: list[Slice] = []
    for start, end in zip(starts, [*starts[1:], OPEN_END], strict=True):
        holding = rule_at(current, start, grants)
        clauses, values = _said(holding)
        if clauses > allowed.clauses or values > allowed.values:
            raise Fault(
                Kind.UNPROCESSABLE,
                f"All Consents of a patient that hold at one time have at most {MOST_CLAUSES} provisions and"
                f" {MOST_VALUES} codes; change one of them instead of filing another.",
                "Consent.provision",
            )
        body = to_bytes(holding)
        if found and found[-1].rule == body:
            found[-1] = Slice(found[-1].start, end, body)
        else:
            found.append(Slice(start, end, body))
    return tuple(found)


def extent(directives: Iterable[Directive], grants: Sequence[Grant] = ()) -> Extent:
    """Return how much one patient's directives say."""
    current = standing(directives)
    starts = _starts(current, grants)
    said = [_said(rule_at(current, start, grants)) for start in starts]
    return Extent(len(starts), max(clauses for clauses, _ in said), max(values for _, values in said))


def _starts(current: Sequence[Directive], grants: Sequence[Grant]) -> list[int]:
    """Return the instants at which what holds may change, the beginning of time first."""
    granted = (instant for each in grants for instant in (each.start, each.end))
    spoken_of = _boundaries([each for one in current for each in one.provisions])
    return sorted({OPEN_START, *spoken_of, *granted})


def _said(holding: Rule) -> tuple[int, int]:
    """Return how many clauses, exceptions included, and how many values a Rule has."""
    clauses, values, waiting = 0, 0, list(holding.clauses)
    while waiting:
        each = waiting.pop()
        clauses += 1
        values += sum(len(value) for value in astuple(each.terms) if value is not None)
        waiting += each.exceptions
    return clauses, values


def spoken(slices: Sequence[Slice]) -> tuple[Slice, ...]:
    """Return the slices in which something is said: what a store keeps; the rest of time is class 0."""
    silence = to_bytes(SILENCE)
    return tuple(each for each in slices if each.rule != silence)


def _boundaries(provisions: Sequence[Provision]) -> Iterable[int]:
    for each in provisions:
        if each.start > OPEN_START:
            yield each.start
        if each.end < OPEN_END:
            yield each.end + 1
        yield from _boundaries(each.exceptions)
