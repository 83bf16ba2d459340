"""All policy classes at once: what an asker may see of a type, whichever patients the records are about.

Classes that come to the same condition are merged, so that a search costs by the number of different
answers, not by the number of patients or classes. A Rule never changes under its number: what was compiled is
kept, and only new numbers are compiled.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

from fhir_server.consent.asking import Asking
from fhir_server.consent.compile import compile_rule
from fhir_server.consent.policy import Overarching
from fhir_server.consent.rule import SILENCE, Rule, from_bytes
from fhir_server.faults import Fault, Issue, Kind
from fhir_server.search.predicate import (
    EVERYTHING,
    NOTHING,
    About,
    All,
    AnyOf,
    Chain,
    Has,
    IdIn,
    Not,
    Predicate,
    TokenIn,
    Where,
    all_of,
    any_of,
    negate,
)
from fhir_server.search.subjects import may_be_about

MOST_CONDITIONS: Final = 300
"""Different conditions that one search may hold, whichever single records they hide."""
MOST_TESTS: Final = 30_000
"""Codes, labels, dates … that these may ask for, all together."""
REMEMBERED: Final = 500
"""Askings of which the compiled conditions are kept."""

Pair = tuple[Predicate, Predicate]
"""What may be seen as a stranger, and what as a stranger or as the records' custodian."""
Shape = tuple[frozenset[Predicate], frozenset[Predicate]]
"""What a pair hides, whichever single records that may be."""


class TooManyConditions(Fault):
    """The patients' consents come to more different conditions than one search can hold."""

    def __init__(self) -> None:
        advice = "The patients' consents differ too much for one request; ask for one patient at a time."
        super().__init__(Kind.FORBIDDEN, advice, issues=(Issue("error", "too-costly", advice),))


@dataclass(frozen=True, slots=True)
class _Made:
    """What a table came to, with one's ``own`` records; ``is_cut``: some classes hide their patients."""

    own: Predicate
    condition: Predicate
    is_cut: bool


@dataclass(slots=True)
class _Table:
    """For one asker and type: the classes by what they come to, as far as ``revision`` knew them."""

    groups: dict[Pair, set[int]] = field(default_factory=dict)
    compiled: set[int] = field(default_factory=set)
    revision: int = 0
    made: _Made | None = None


def seen_under(
    rule: Rule, asking: Asking, type_: str, own: Predicate = NOTHING, overarching: Overarching = "treatment"
) -> Predicate:
    """Return what ``asking`` may see of the records of ``type_`` about one patient who is under ``rule``.

    ``own``: the records whose custodian the asker's organisation is.
    """
    stranger, either = _pair(rule, asking, type_, overarching)
    return any_of((stranger, all_of((own, either))))


def _pair(rule: Rule, asking: Asking, type_: str, overarching: Overarching) -> Pair:
    stranger, custodian = (
        compile_rule(rule, replace(asking, custodian=each), type_, overarching) for each in (False, True)
    )
    return stranger, custodian if custodian == stranger else any_of((stranger, custodian))


class Consents:
    """The Rules of all policy classes and what they come to. Not for several threads at once.

    ``overarching``: what holds of patients who have said nothing, who are class 0. ``highest``: the greatest
    number of a class that is known: learn those after it. ``revision``: another one, another answer.
    """

    def __init__(self, overarching: Overarching = "treatment") -> None:
        self._overarching = overarching
        self._rules: dict[int, Rule] = {0: SILENCE}
        self._left: frozenset[int] = frozenset()
        self._is_crowded = False
        self._tables: OrderedDict[Asking, dict[str, _Table]] = OrderedDict()
        self.highest = 0
        self.revision = 1

    @property
    def minds_use(self) -> bool:
        """True when :meth:`keep` should be told which classes are in use, whenever that may have changed."""
        return self._is_crowded or bool(self._left)

    def learn(self, rules: Iterable[tuple[int, bytes]]) -> None:
        """Add classes by number and Rule; those that are known already are passed over."""
        for number, body in sorted(rules):
            if number > self.highest:
                self._rules[number] = from_bytes(body)
                self.highest = number
                self.revision += 1

    def keep(self, used: AbstractSet[int]) -> None:
        """Count only the classes in ``used``: the others hide whoever is in them, and cost nothing.

        ``used``: those that somebody is in now or later. Who enters another one is hidden until this is told
        anew.
        """
        left = frozenset(self._rules.keys() - used - {0})
        if left != self._left:
            self._left = left
            self._is_crowded = False
            self.revision += 1

    def condition(
        self, asking: Asking, type_: str, own: Predicate = NOTHING, *, partly: bool = False
    ) -> Predicate:
        """Return what ``asking`` may see of ``type_`` by the consents of the patients that records are about.

        ``own``: the records whose custodian the asker's organisation is. What is about no patient is not
        touched; of a record about several all must permit; a class that is not known yet hides its patients.
        Where there are more than :data:`MOST_CONDITIONS` different conditions, or :data:`MOST_TESTS` values,
        raises :class:`TooManyConditions` (FORBIDDEN, too-costly), or hides the patients of the classes that
        cost most, if ``partly`` will do.
        """
        if not may_be_about(type_):
            return EVERYTHING
        table = self._table(asking, type_)
        if table.made is None or table.made.own != own:
            groups = {pair: live for pair, numbers in table.groups.items() if (live := numbers - self._left)}
            table.made = self._joined(groups, own, self._left)
        if table.made.is_cut and not partly:
            raise TooManyConditions
        return table.made.condition

    def condition_among(
        self, asking: Asking, type_: str, classes: Iterable[int], own: Predicate = NOTHING
    ) -> Predicate:
        """Return :meth:`condition` for a request about patients who are in ``classes`` alone.

        For when all classes are too many. A record about a patient of another class as well is hidden.
        Where these are too many too, those that cost most hide their patients: a refusal would tell of them.
        """
        if not may_be_about(type_):
            return EVERYTHING
        groups: dict[Pair, set[int]] = {}
        meant = self._rules.keys() & set(classes)
        for number in meant:
            groups.setdefault(_pair(self._rules[number], asking, type_, self._overarching), set()).add(number)
        return self._joined(groups, own, frozenset(self._rules.keys() - meant)).condition

    def _table(self, asking: Asking, type_: str) -> _Table:
        tables = self._tables.setdefault(asking, {})
        self._tables.move_to_end(asking)
        if len(self._tables) > REMEMBERED:
            self._tables.popitem(last=False)
        table = tables.setdefault(type_, _Table())
        if table.revision != self.revision:
            for number in sorted(self._rules.keys() - self._left - table.compiled):
                pair = _pair(self._rules[number], asking, type_, self._overarching)
                table.groups.setdefault(pair, set()).add(number)
                table.compiled.add(number)
            table.revision = self.revision
            table.made = None
        return table

    def _joined(self, groups: Mapping[Pair, set[int]], own: Predicate, closed: frozenset[int]) -> _Made:
        """Return Not(hidden): about a class whose condition for the record does not hold.

        A record of one's own is hidden when neither condition holds, another's when the stranger's does not.
        ``own``, which is long, stands in it once, and only for the classes to which it makes a difference.
        ``closed``: classes that hide their patients; so do those whose conditions are too many.
        """
        held = self._held(groups)
        is_cut = len(held) < len(groups)
        closed = closed.union(*(numbers for pair, numbers in groups.items() if pair not in held))
        as_stranger: dict[Predicate, set[int]] = {}
        as_either: dict[Predicate, set[int]] = {NOTHING: set(closed)}
        for (stranger, either), numbers in held.items():
            # Where nothing is one's own the stranger's conditions alone decide.
            whosesoever = stranger if own == NOTHING else either
            as_either.setdefault(whosesoever, set()).update(numbers)
            if stranger != whosesoever:
                as_stranger.setdefault(stranger, set()).update(numbers)
        # Most patients have said nothing: whether they have costs less to see than whose record it is.
        others = all_of((any_of(self._hidden(as_stranger)), negate(own)))
        condition = negate(any_of((others, *self._hidden(as_either, above=self.highest))))
        return _Made(own, condition, is_cut)

    def _held(self, groups: Mapping[Pair, set[int]]) -> dict[Pair, set[int]]:
        """Return the groups that one search can hold: who has said nothing, and those that cost least."""
        shapes: dict[Shape, None] = {}
        parts: dict[Predicate, None] = {}
        held: dict[Pair, set[int]] = {}
        tests = 0
        costs = [(0 not in numbers, _cost(pair), pair, numbers) for pair, numbers in groups.items()]
        for _, _, pair, numbers in sorted(costs, key=lambda each: each[:2]):
            shape = _shape(pair[0]), _shape(pair[1])
            fresh = {part for half in shape for part in half} - parts.keys()
            weight_ = tests + sum(map(weight, fresh))
            if weight_ <= MOST_TESTS and (shape in shapes or len(shapes) < MOST_CONDITIONS):
                held[pair] = numbers
                shapes[shape] = None
                parts.update(dict.fromkeys(fresh))
                tests = weight_
        if len(held) < len(groups) or len(shapes) * 4 > MOST_CONDITIONS or tests * 4 > MOST_TESTS:
            self._is_crowded = True
        return held

    @staticmethod
    def _hidden(groups: dict[Predicate, set[int]], above: int | None = None) -> Iterable[Predicate]:
        """Yield, for each condition, that the record is about one of its classes and does not satisfy it.

        Single records that are hidden are one condition for all classes: a Consent names its own patient's
        records alone, so that each of them hides no more than it did. Otherwise everybody who hides a record
        would be a condition more. ``above``: classes with greater numbers count among those of which nothing
        may be seen.
        """
        parts: dict[Predicate, set[int]] = {}
        ids: dict[str, None] = {}
        hiding: set[int] = set()
        for seen, numbers in groups.items():
            if seen == NOTHING:
                yield About(frozenset(numbers), above)
                continue
            for part in _denied(seen):
                if isinstance(part, IdIn):
                    ids.update(dict.fromkeys(part.ids))
                    hiding |= numbers
                else:
                    parts.setdefault(part, set()).update(numbers)
        if ids:
            parts[IdIn(tuple(ids))] = hiding
        for part, numbers in parts.items():
            yield all_of((About(frozenset(numbers)), part))


def _denied(seen: Predicate) -> list[Predicate]:
    """Return what a condition hides, as the parts of an OR."""
    if isinstance(seen, All):
        return [part for item in seen.items for part in _denied(item)]
    hidden = negate(seen)
    if isinstance(hidden, AnyOf):
        return list(hidden.items)
    return [] if hidden == NOTHING else [hidden]


def _cost(pair: Pair) -> int:
    """Return how many values both halves of a pair ask for."""
    return sum(weight(part) for seen in pair for part in _shape(seen))


def _shape(seen: Predicate) -> frozenset[Predicate]:
    """Return what a condition hides, whichever single records that may be."""
    return frozenset(_ANY_RECORD if isinstance(part, IdIn) else part for part in _denied(seen))


def coarse(hidden: Predicate) -> Predicate:
    """Return what is hidden, and all else that is about the patients of whom some of it is: much shorter.

    ``hidden``: the negation of what :meth:`Consents.condition` returns, or several of them joined.
    """
    if isinstance(hidden, AnyOf):
        found = [coarse(item) for item in hidden.items]
        abouts = [each for each in found if isinstance(each, About)]
        above = next((each.above for each in abouts if each.above is not None), None)
        classes = frozenset(number for each in abouts for number in each.classes)
        rest = (each for each in found if not isinstance(each, About))
        return any_of(((About(classes, above),) if abouts else ()) + tuple(rest))
    if isinstance(hidden, All):
        about = [each for each in hidden.items if isinstance(each, About)]
        return all_of(about or [coarse(each) for each in hidden.items])
    if isinstance(hidden, Not) and isinstance(hidden.item, All):
        return coarse(any_of(negate(each) for each in hidden.item.items))
    return hidden


@lru_cache(maxsize=20_000)
def weight(predicate: Predicate) -> int:
    """Return how many values a predicate asks for."""
    match predicate:
        case All(items) | AnyOf(items):
            return sum(map(weight, items))
        case Not(item) | Chain(_, _, item) | Has(_, _, item):
            return 1 + weight(item)
        case Where(_, TokenIn(members)):
            return len(members)
        case _:
            return 1


_ANY_RECORD: Final = IdIn(())
