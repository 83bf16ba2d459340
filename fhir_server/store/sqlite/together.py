"""Composite tests compiled: one element passes all. See :mod:`elements` for the rows.

https://hl7.org/fhir/R4/search.html#composite
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fhir_server.crypto.blind import PREFIX_CHARACTERS, BlindIndex, following
from fhir_server.search.fold import fold
from fhir_server.search.predicate import (
    DateIs,
    NumberIs,
    QuantityIs,
    ReferenceIs,
    StringIs,
    StringStarts,
    Test,
    Together,
    TokenIs,
    UriIs,
)
from fhir_server.store.components import column
from fhir_server.store.sqlite.fragment import TRUE, Conjunct, Cost, Sql, all_true, union_all
from fhir_server.store.sqlite.kit import Field, Kit
from fhir_server.store.sqlite.leaves import within
from fhir_server.store.sqlite.records import json_array
from fhir_server.store.sqlite.schema import DAY_MS
from fhir_server.store.sqlite.spans import Comparison, date_comparison, number_comparison


@dataclass(frozen=True, slots=True)
class _First:
    """The condition of the first component: its kind, and what must hold of ``k`` and ``z``."""

    kind: str
    digest: Sql
    system: Sql = TRUE


@dataclass(frozen=True, slots=True)
class _Other:
    """The condition of another component: its kind, and what must hold of ``u``, ``a``, ``b`` and ``s``."""

    kind: str
    value: Sql = TRUE
    system: Sql = TRUE
    comparison: Comparison | None = None

    def condition(self, *, simple: bool) -> Sql:
        span = TRUE
        if self.comparison is not None:
            span = within(self.comparison, simple=simple, columns=("a", "b"))
        return all_true([self.value, span, self.system])


def together(test: Together, field: Field, kit: Kit) -> Conjunct:
    """Compile a composite; what the pairs of the index do not tell, the opened resource does."""
    first = _first(test.tests[0], kit.blind) if test.tests else None
    others = [_other(each, kit.blind) for each in test.tests[1:]]
    known = [each for each in others if each is not None]
    if first is None or not known or len(known) < len(others):
        return _opened(test, field, kit)
    return Conjunct(
        lambda sk: _test(first, known, field, (sk, kit)),
        lambda: _rows(first, known, field, kit),
        label=field.code,
    )


def _opened(test: Together, field: Field, kit: Kit) -> Conjunct:
    p = field.p

    def rows() -> Sql:
        c = next(kit.names)
        passing = kit.opened(field.type, test, f"{c}.sk")
        return Sql(
            f"SELECT {c}.sk FROM (SELECT DISTINCT sk FROM composite WHERE p IN (?, ?)) {c}"
            f" WHERE {passing.text}",
            (p, p | 1, *passing.args),
        )

    return Conjunct(
        lambda sk: kit.opened(field.type, test, sk),
        rows,
        label=field.code,
        cost=Cost.RECORD,
        is_dear=True,
    )


def _rows(first: _First, others: Sequence[_Other], field: Field, kit: Kit) -> Sql:
    e = next(kit.names)
    rest = [
        _same_element(other, first, (place, field.p), (e, kit)) for place, other in enumerate(others[1:], 2)
    ]
    parts = []
    for twin in (field.p, field.p | 1):
        key = all_true(
            [
                Sql("p=?", (twin,)),
                Sql("c=?", (column(1, first.kind, others[0].kind),)),
                first.digest,
                others[0].condition(simple=twin == field.p),
                first.system,
                *rest,
            ]
        )
        parts.append(Sql(f"SELECT sk FROM composite {e} WHERE {key.text}", key.args))
        if others[0].comparison is None:
            break  # only spans have twins
    return union_all(parts)


def _test(first: _First, others: Sequence[_Other], field: Field, at: tuple[str, Kit]) -> Sql:
    sk, kit = at
    e = next(kit.names)
    rest = [
        _same_element(other, first, (place, field.p), (e, kit)) for place, other in enumerate(others[1:], 2)
    ]
    key = all_true(
        [
            Sql("p IN (?, ?)", (field.p, field.p | 1)),
            Sql("c=?", (column(1, first.kind, others[0].kind),)),
            first.digest,
            others[0].condition(simple=False),
            first.system,
            *rest,
        ]
    )
    return Sql(f"EXISTS (SELECT 1 FROM element {e} WHERE {e}.sk={sk} AND {key.text})", key.args)


def _same_element(other: _Other, first: _First, at: tuple[int, int], outer: tuple[str, Kit]) -> Sql:
    """Return the condition that the element of row ``outer`` passes another component's test too."""
    place, p = at
    e, kit = outer
    f = next(kit.names)
    condition = other.condition(simple=False)
    return Sql(
        f"EXISTS (SELECT 1 FROM element {f} WHERE {f}.sk={e}.sk AND p IN (?, ?) AND c=? AND {f}.k={e}.k"
        f" AND {f}.z={e}.z AND {f}.n={e}.n AND {condition.text})",
        (p, p | 1, column(place, first.kind, other.kind), *condition.args),
    )


def _first(test: Test, blind: BlindIndex) -> _First | None:
    match test:
        case TokenIs(system, str() as code):
            named = TRUE if system is None else Sql("z=?", (blind.system(system),))
            return _First("token", Sql("k=?", (blind.code(code),)), named)
        case ReferenceIs((target,)):
            return _First("reference", Sql("k=?", (blind.target(target),)))
        case UriIs(uri):
            return _First("uri", Sql("k=?", (blind.code(uri),)))
    return None


def _other(test: Test, blind: BlindIndex) -> _Other | None:  # noqa: PLR0911 - one case for each test
    match test:
        case TokenIs(system, str() as code):
            named = TRUE if system is None else Sql("s=?", (blind.system(system),))
            return _Other("token", Sql("u=0 AND a=?", (blind.code(code),)), named)
        case QuantityIs(number, system, unit):
            measured = TRUE if unit is None else Sql("u=?", (blind.unit(unit),))
            named = TRUE if system is None else Sql("s=?", (blind.system(system),))
            return _Other("quantity", measured, named, number_comparison(number))
        case NumberIs():
            return _Other("number", Sql("u=0"), comparison=number_comparison(test))
        case DateIs():
            return _Other("date", Sql("u=0"), comparison=date_comparison(test, DAY_MS))
        case StringIs(text):
            return _Other("string", Sql("u=0 AND a=? AND b=?", (blind.prefix(fold(text)), blind.text(text))))
        case StringStarts(text) if len(text) <= PREFIX_CHARACTERS:
            least = blind.prefix(text)
            beyond = following(least)
            upper = TRUE if beyond is None else Sql("a<?", (beyond,))
            return _Other("string", all_true([Sql("u=0 AND a>=?", (least,)), upper]))
        case ReferenceIs(targets):
            digests = json_array(blind.target(target) for target in targets)
            return _Other("reference", Sql("u=0 AND a IN (SELECT value FROM json_each(?))", (digests,)))
        case UriIs(uri):
            return _Other("uri", Sql("u=0 AND a=?", (blind.code(uri),)))
    return None
