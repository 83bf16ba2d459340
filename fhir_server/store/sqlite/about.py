"""Conditions on the policy classes of the patients that a resource is about.

``head.pat`` is the digest of the one patient, or says that there is none or that there are several, who
stand in ``subject``: one or two look-ups from a resource to its patients, one more to the class of each.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from fhir_server.crypto.blind import BlindIndex
from fhir_server.faults import Fault, Kind
from fhir_server.search.predicate import About, All, Predicate, all_of
from fhir_server.search.values import Values
from fhir_server.store.sealed import patient_digest
from fhir_server.store.sqlite.fragment import FALSE, Conjunct, Cost, Exists, Sql, all_true, any_true, bare

NOBODY: Final = 0
SEVERAL: Final = 1
"""``head.pat`` of a resource about no patient, and of one about several."""

_BYTE: Final = 256


def patient_of(values: Values | None, blind: BlindIndex) -> int:
    """Return ``head.pat`` of a resource with these values; None: it is deleted."""
    if values is None or not values.patients:
        return NOBODY
    return patient_digest(blind, values.patients[0]) if len(values.patients) == 1 else SEVERAL


@dataclass(frozen=True, slots=True)
class Branch:
    """One of several conditions that are joined by OR: about a class, and whatever else it asks."""

    about: About
    rest: Predicate


def branches(items: Iterable[Predicate]) -> tuple[list[Branch], list[Predicate]]:
    """Part the items of an OR into those that speak of a policy class and the others.

    What speaks of several classes at once is about several patients perhaps: it is one of the others.
    """
    spoken: list[Branch] = []
    others: list[Predicate] = []
    for item in items:
        parts = item.items if isinstance(item, All) else (item,)
        abouts = [part for part in parts if isinstance(part, About)]
        if len(abouts) == 1:
            spoken.append(Branch(abouts[0], all_of(part for part in parts if part is not abouts[0])))
        else:
            others.append(item)
    return spoken, others


def about(
    spoken: Sequence[Branch], tests: Callable[[Predicate], Sequence[Conjunct]], names: Iterator[str]
) -> Conjunct:
    """Compile an OR of branches, so that a resource's patients and their classes are looked up only once.

    ``tests``: what the rest of a branch is compiled to. Each class number leads to a verdict, one byte in a
    string of bytes by number; a verdict is the set of the branches that speak of the class.
    """
    rests = [tests(branch.rest) for branch in spoken]
    verdicts = _Verdicts.of([branch.about for branch in spoken])
    # Where nothing is said of class 0, patients without a class are passed over at once: they are most.
    join = "LEFT JOIN" if verdicts.says_0 else "CROSS JOIN"

    def test(sk: str) -> Sql:
        if not verdicts.codes:
            return FALSE
        a, s, c = next(names), next(names), next(names)
        passed = [all_true([each.test(sk) for each in rest]) for rest in rests]
        case = verdicts.case(c, passed)
        return Exists(
            f"EXISTS (SELECT 1 FROM head {a}"
            f" LEFT JOIN subject {s} ON {s}.sk=CASE {a}.pat WHEN {SEVERAL} THEN {a}.sk END"
            f" {join} patient_class {c} ON {c}.k=coalesce({s}.k, {a}.pat) AND {_now(c)}"
            f" WHERE {case.text} AND {a}.sk={sk} AND {a}.pat!={NOBODY})",
            case.args,
        )

    def beside(sk: str) -> Sql:
        if not verdicts.codes:
            return FALSE
        head, of_one = _beside(sk)
        s, c = next(names), next(names)
        passed = [all_true([each.quickest(sk) for each in rest]) for rest in rests]
        one, each_of_several = verdicts.case(of_one, passed), verdicts.case(c, passed)
        return Exists(
            f"CASE {head}.pat WHEN {NOBODY} THEN 0 WHEN {SEVERAL} THEN EXISTS (SELECT 1 FROM subject {s}"
            f" {join} patient_class {c} ON {c}.k={s}.k AND {_now(c)}"
            f" WHERE {each_of_several.text} AND {s}.sk={sk}) ELSE {one.text} END",
            each_of_several.args + one.args,
        )

    cost = max((each.cost for rest in rests for each in rest), default=Cost.SET)
    return Conjunct(test, label="policy class", cost=max(cost, Cost.SET), beside=beside)


def joined(sk: str) -> Sql:
    """Return the joins that put a candidate's patient and its class beside it: one row or none of them.

    Looking a candidate up by a join costs half of what it costs in a condition, where SQLite opens each
    table anew. A patient is in one class at a time, so that no candidate is multiplied.
    """
    head, c = _beside(sk)
    return Sql(
        f" CROSS JOIN head {head} ON {head}.sk={sk}"
        f" LEFT JOIN patient_class {c} ON {c}.k={head}.pat AND {_now(c)}"
    )


def _beside(sk: str) -> tuple[str, str]:
    """Return the SQL names of what :func:`joined` puts beside a candidate: its head, its patient's class."""
    candidate = sk.removesuffix(".sk")
    return f"{candidate}_h", f"{candidate}_c"


def _now(c: str) -> str:
    return f"(SELECT moment()) BETWEEN {c}.since AND {c}.until-1"


def refuse_unprepared(connection: sqlite3.Connection) -> None:
    """Raise Fault(UNAVAILABLE) while it is not known of every resource which patients it is about."""
    statement = "SELECT 1 FROM head INDEXED BY head_pending WHERE pat IS NULL LIMIT 1"
    if connection.execute(statement).fetchone():
        raise Fault(
            Kind.UNAVAILABLE,
            "This store is older than consents: until fhir-server reindex has run, what depends on a"
            " patient's consent is refused.",
        )


@dataclass(frozen=True, slots=True)
class _Verdicts:
    """What each class leads to: a set of branches.

    ``table``: a code of ``width`` bytes for each class, by number. ``codes``: the sets by code. ``last``: the
    class that stands for all that follow, where those lead to anything.
    """

    table: bytes
    width: int
    codes: dict[bytes, tuple[int, ...]]
    last: int | None

    @classmethod
    def of(cls, abouts: Sequence[About]) -> _Verdicts:
        """Work out the verdicts of branches that are about these classes."""
        named = max((number for each in abouts for number in each.classes), default=0)
        limits = [each.above for each in abouts if each.above is not None]
        last = max(named, *limits) + 1 if limits else None
        numbers = range((named if last is None else last) + 1)
        sets = [tuple(i for i, each in enumerate(abouts) if _includes(each, number)) for number in numbers]
        distinct = dict.fromkeys(sets)
        width = 1 if len(distinct) <= _BYTE else 2
        codes = {some: code.to_bytes(width) for code, some in enumerate(distinct)}
        table = b"".join(codes[some] for some in sets)
        return cls(table, width, {code: some for some, code in codes.items() if some}, last)

    @property
    def says_0(self) -> bool:
        """True when something is said of patients who are in no class."""
        return self.table[: self.width] in self.codes

    def case(self, c: str, passed: Sequence[Sql]) -> Sql:
        """Return the condition that a branch passes that speaks of the class in the row ``c``.

        ``passed``: what each branch asks besides. Without a row the class is 0.
        """
        number = f"coalesce({c}.number, 0)" if self.says_0 else f"{c}.number"
        place = number if self.last is None else f"min({number}, {self.last})"
        cases = [(code, any_true([passed[i] for i in some])) for code, some in self.codes.items()]
        when = " ".join(f"WHEN x'{code.hex()}' THEN {bare(condition)}" for code, condition in cases)
        return Sql(
            f"CASE substr(?, {place}*{self.width}+1, {self.width}) {when} ELSE 0 END",
            (self.table, *(arg for _, condition in cases for arg in condition.args)),
        )


def _includes(about: About, number: int) -> bool:
    return number in about.classes or (about.above is not None and number > about.above)
