"""Predicates compiled to one pipeline: first what the indexes answer, then what must be looked up.

Everything is decided by the engine. NOT is ``$nor`` over filters that are true or false of every document:
lists are never missing, and a range over a list is always one ``$elemMatch``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from bson.int64 import Int64

from fhir_server.faults import Fault, Kind
from fhir_server.search.predicate import (
    About,
    All,
    AnyOf,
    Chain,
    Contains,
    Everything,
    Has,
    IdIn,
    Not,
    Nothing,
    Predicate,
    Together,
    Where,
)
from fhir_server.store.mongo.about import about, standings
from fhir_server.store.mongo.filters import FALSE, TRUE, Filter, Stage, all_of, among, any_of, merged, negated
from fhir_server.store.mongo.keys import Keys
from fhir_server.store.mongo.leaves import is_list
from fhir_server.store.mongo.links import followed, known, led_somewhere
from fhir_server.store.mongo.places import places, within
from fhir_server.store.mongo.question import Question, nodes

LIVE: Final = 1

_LEADING: Final = ("_id", "k", "f")
"""Fields by which an index finds few."""

_OF_TYPE: Final = {"t", "l"}

_CLASSES: Final = 0
"""The look-up of policy classes, among those of links, which are known by the ids of their nodes."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A filter, and what must be looked up of a candidate before it can be asked.

    ``is_bare``: it speaks of what is looked up and of nothing else in the document.
    """

    filter: Filter
    lookups: frozenset[int] = frozenset()
    is_bare: bool = False


_CERTAIN: Final = Condition(TRUE, is_bare=True)
_IMPOSSIBLE: Final = Condition(FALSE, is_bare=True)


@dataclass(frozen=True, slots=True)
class Plan:
    """How those of one type are found that satisfy a predicate.

    ``pre``: the filter that indexes may answer. ``stages``: what is looked up of each candidate, and what is
    asked of that. ``by_patients``: that depends on nothing but whom a candidate is about.
    """

    pre: Filter
    stages: tuple[Stage, ...] = ()
    by_patients: bool = False

    @property
    def pipeline(self) -> list[Stage]:
        """The stages that leave what is found."""
        return [*matching(self.pre), *self.stages]

    @property
    def is_empty(self) -> bool:
        """True when nothing can be found."""
        return self.pre == FALSE

    def counting(self) -> list[Stage]:
        """Return the pipeline that counts what is found, in ``total``; it gives nothing for none.

        Patients are fewer than what is written of them: each is looked up once where that decides.
        """
        if not self.by_patients:
            return [*self.pipeline, {"$group": {"_id": None, "total": {"$sum": 1}}}]
        return [
            *matching(self.pre),
            {"$group": {"_id": "$pat", "total": {"$sum": 1}}},
            {"$set": {"pat": "$_id"}},
            *self.stages,
            {"$group": {"_id": None, "total": {"$sum": "$total"}}},
        ]


@dataclass(frozen=True, slots=True)
class Compiler:
    """Compiles for one moment: ``now`` in ms, at which policy classes hold.

    ``is_cluster``: what lies in few compartments is asked there alone.
    """

    keys: Keys
    now: int
    is_cluster: bool = False

    def plan(self, asked: Question) -> Plan:
        """Compile a question; its leaves that are not exact must have been answered."""
        return _Compilation(self, asked).plan()

    def to_open(self, asked: Question) -> Filter:
        """Return the filter of those that must be opened before the question can be compiled.

        They are candidates, and may pass one of the tests that are not answered yet.
        """
        may_pass = any_of(asked.leaves[each].filter for each in asked.to_open)
        return all_of((self.candidates(asked), may_pass))

    def candidates(self, asked: Question) -> Filter:
        """Return the filter of those that may satisfy a question, as far as indexes tell already."""
        compilation = _Compilation(self, asked)
        missing = asked.to_open
        unanswered = missing.keys() | asked.links.keys() - asked.found.keys()
        kept = []
        for item in conjuncts(asked.predicate):
            if id(item) in missing:
                kept.append(asked.leaves[id(item)].filter)
            elif not any(id(node) in unanswered for node in nodes(item)):
                condition = compilation.condition(item)
                if not condition.lookups:
                    kept.append(condition.filter)
        return of_type(asked, [*kept, self.place(asked)])

    def place(self, asked: Question) -> Filter:
        """Return the filter by the compartments in which all lies that a question may find."""
        if not self.is_cluster:
            return TRUE
        known = asked.places
        if known is None:
            known = places(asked.type, asked.predicate, asked.found, self.keys)
        return within(known)


def of_type(asked: Question, filters: Iterable[Filter]) -> Filter:
    """Return the filter of the live resources that a question is about and that pass all of some filters."""
    joined = all_of((*filters, TRUE if asked.among is None else among("_id", asked.among)))
    return joined if joined == FALSE else {"t": asked.type, "l": LIVE, **joined}


def matching(filter_: Filter) -> list[Stage]:
    """Return the stages of a filter, of which the first is one that an index answers by itself.

    MongoDB joins them to one (coalescence) and chooses among its indexes; an engine that finds none for the
    whole has one for the beginning.
    https://www.mongodb.com/docs/manual/core/aggregation-pipeline-optimization/
    """
    parts = list(_parts(filter_))
    leading = next(([part] for name in _LEADING for part in parts if name in part), None)
    first = leading or [part for part in parts if part.keys() <= _OF_TYPE]
    others = [part for part in parts if part not in first]
    return [{"$match": merged(some)} for some in (first, others) if some] or [{"$match": TRUE}]


def _parts(filter_: Filter) -> Iterator[Filter]:
    """Yield the conditions of a filter that must all hold, one field in each."""
    for name, wanted in filter_.items():
        if name == "$and":
            for each in wanted:
                yield from _parts(each)
        else:
            yield {name: wanted}


def conjuncts(predicate: Predicate) -> Iterator[Predicate]:
    """Yield the predicates that must all hold."""
    match predicate:
        case All(items):
            for item in items:
                yield from conjuncts(item)
        case Not(AnyOf(items) as alternatives) if not is_list(alternatives):
            yield from map(Not, items)
        case _:
            yield predicate


@dataclass(slots=True)
class _Compilation:
    compiler: Compiler
    asked: Question
    names: dict[int, str] = field(default_factory=dict)
    inner: dict[int, Plan] = field(default_factory=dict)

    def plan(self) -> Plan:
        conditions = [self.condition(item) for item in conjuncts(self.asked.predicate)]
        looking = [each for each in conditions if each.lookups]
        filters = [each.filter for each in conditions if not each.lookups]
        pre = of_type(self.asked, [*filters, self.compiler.place(self.asked)])
        if pre == FALSE or not looking:
            return Plan(pre)
        by_patients = all(each.is_bare and each.lookups == {_CLASSES} for each in looking)
        return Plan(pre, tuple(self._stages(looking)), by_patients)

    def _stages(self, waiting: Sequence[Condition]) -> Iterator[Stage]:
        """Yield the look-ups, each once and the cheap one first, and after each what can be asked by then."""
        done: set[int] = set()
        waiting = sorted(waiting, key=lambda each: (len(each.lookups), _CLASSES not in each.lookups))
        while waiting:
            for lookup in sorted(waiting[0].lookups - done, key=lambda each: each != _CLASSES):
                yield from self._lookup(lookup)
                done.add(lookup)
            yield {"$match": all_of(each.filter for each in waiting if each.lookups <= done)}
            waiting = [each for each in waiting if not each.lookups <= done]

    def _lookup(self, lookup: int) -> list[Stage]:
        if lookup == _CLASSES:
            return standings(self.compiler.now)
        link, _ = self.asked.links[lookup]
        return followed(self.asked.type, link, self.inner[lookup].pipeline, self._name(lookup))

    def _name(self, lookup: int) -> str:
        return self.names.setdefault(lookup, f"l{len(self.names)}")

    def condition(self, item: Predicate) -> Condition:  # noqa: PLR0911 - one case for each node
        match item:
            case Everything():
                return _CERTAIN
            case Nothing():
                return _IMPOSSIBLE
            case Where() | Together() | Contains():
                leaf = self.asked.leaves[id(item)]
                return Condition(leaf.filter if leaf.exact else among("_id", self.asked.found[id(item)]))
            case IdIn(ids):
                target = self.compiler.keys.blind.target
                digests = [target(f"{self.asked.type}/{id_}") for id_ in dict.fromkeys(ids)]
                return Condition(among("_id", map(Int64, digests)))
            case Chain() | Has():
                return self._link(item)
            case About():
                return _condition(about(item), frozenset({_CLASSES}), is_bare=True)
            case All(items):
                return self._joined(all_of, items)
            case AnyOf(items):
                listed = self.asked.leaves.get(id(item))
                return self._joined(any_of, items) if listed is None else Condition(listed.filter)
            case Not(inner):
                opposite = self.condition(inner)
                return Condition(negated(opposite.filter), opposite.lookups, opposite.is_bare)
        raise Fault(Kind.NOT_IMPLEMENTED, "The store cannot search by this kind of condition; leave it out.")

    def _joined(self, join: Callable[[Iterable[Filter]], Filter], items: Sequence[Predicate]) -> Condition:
        parts = [self.condition(each) for each in items]
        return _condition(
            join(each.filter for each in parts),
            frozenset[int]().union(*(each.lookups for each in parts)),
            is_bare=all(each.is_bare for each in parts),
        )

    def _link(self, item: Chain | Has) -> Condition:
        found = self.asked.found.get(id(item))
        if found is not None:
            return Condition(known(self.asked.type, item, found, self.compiler.keys))
        if id(item) not in self.inner:
            self.inner[id(item)] = self.compiler.plan(self.asked.links[id(item)][1])
        if self.inner[id(item)].is_empty:
            return _IMPOSSIBLE
        return Condition(led_somewhere(self._name(id(item))), frozenset({id(item)}), is_bare=True)


def _condition(filter_: Filter, lookups: frozenset[int], *, is_bare: bool) -> Condition:
    """Make a condition; what is certain or impossible needs no look-up."""
    if filter_ == TRUE:
        return _CERTAIN
    return _IMPOSSIBLE if filter_ == FALSE else Condition(filter_, lookups, is_bare)
