"""The tests of single values compiled: what :mod:`compile` joins. Each becomes a :class:`Conjunct`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fhir_server.faults import Fault, Kind
from fhir_server.search.fold import fold
from fhir_server.search.predicate import (
    DateIs,
    Near,
    NumberIs,
    Present,
    QuantityIs,
    ReferenceIs,
    StringContains,
    StringEnds,
    StringIs,
    StringStarts,
    Test,
    TokenIn,
    TokenIs,
    UriIs,
    Where,
)
from fhir_server.store.sqlite.fragment import (
    TRUE,
    Conjunct,
    Cost,
    Spanned,
    Sql,
    all_true,
    any_true,
    union_all,
)
from fhir_server.store.sqlite.kit import EMPTY, NOWHERE, Field, Kit, among
from fhir_server.store.sqlite.records import json_array
from fhir_server.store.sqlite.rows import UPDATED, WORD_SYSTEM
from fhir_server.store.sqlite.schema import DAY_MS
from fhir_server.store.sqlite.spans import Comparison, date_comparison, number_comparison
from fhir_server.store.sqlite.texts import contains, near, starts, then_opened

_LOOKED_UP: Final = 16
"""A candidate is looked up under so many codes; under more, all rows of the codes are read as a set."""


def leaf(test: Test, field: Field, kit: Kit) -> Conjunct:  # noqa: C901, PLR0911, PLR0912 - one case for each test
    """Compile one test of a parameter."""
    p, blind = field.p, kit.blind
    match test:
        case Present() | TokenIs(None, None):
            return _present(field, kit)
        case TokenIs(str() as system, None):
            of_system = Sql("SELECT sk FROM token WHERE p=? AND s=?", (p, blind.system(system)))
            return among(of_system, (field, test, kit))
        case TokenIs(None, str() as code):
            return _at("token", Sql("p=? AND k=?", (p, blind.code(code))), field.code)
        case TokenIs(str() as system, str() as code):
            key = (p, blind.code(code), blind.system(system))
            return _at("token", Sql("p=? AND k=? AND s=?", key), field.code)
        case TokenIn(members):
            return _member(members, field, kit)
        case UriIs(uri):
            return _at("token", Sql("p=? AND k=?", (p, blind.code(uri))), field.code)
        case StringIs(text):
            key_of = (p, blind.prefix(fold(text)), blind.text(text))
            return _at("str", Sql("t=(SELECT t FROM text WHERE p=? AND k=? AND e=?)", key_of), field.code)
        case StringStarts(text):
            return starts(fold(text), field, kit)
        case StringContains(text):
            return contains(text, field, kit)
        case StringEnds(text, whole):
            wider = starts(text, field, kit) if whole else contains(text, field, kit)
            assert wider.rows is not None  # both list their rows
            return then_opened(wider.rows(), field, test, kit)
        case ReferenceIs(targets):
            return _reference(field, [blind.target(target) for target in dict.fromkeys(targets)])
        case QuantityIs():
            return _quantity(field, test, kit)
        case DateIs() | NumberIs():
            return spans(field, [test], kit)
        case Near():
            return near(test, field, kit)
    raise not_compiled()


def word(text: str, field: Field, kit: Kit) -> Conjunct:
    """Compile the test that a word stands in a text."""
    return _at("token", Sql("p=? AND k=? AND s=?", (field.p, kit.blind.word(text), WORD_SYSTEM)), field.code)


def not_compiled() -> Fault:
    """Make the fault of a condition that this store cannot answer: refused, never left out of a search."""
    return Fault(Kind.NOT_IMPLEMENTED, "The store cannot search by this kind of condition; leave it out.")


def _at(table: str, key: Sql, label: str) -> Conjunct:
    """Compile an equality, under which the rows come by ``sk`` and one ``sk`` is a point of the index."""
    return Conjunct(
        lambda sk: Sql(f"EXISTS (SELECT 1 FROM {table} WHERE {key.text} AND sk={sk})", key.args),
        lambda: Sql(f"SELECT sk FROM {table} WHERE {key.text}", key.args),
        in_order=True,
        label=label,
    )


def _present(field: Field, kit: Kit) -> Conjunct:
    p = field.p
    strings = Sql("SELECT s.sk FROM text x CROSS JOIN str s ON s.t=x.t WHERE x.p=?", (p,))
    unordered = union_all([Sql("SELECT sk FROM token WHERE p=?", (p,)), strings])
    twins = ("date", "number", "quantity", "composite")
    spanned = [Sql(f"SELECT sk FROM {table} WHERE p IN (?, ?)", (p, p | 1)) for table in twins]
    everywhere = union_all([unordered, Sql("SELECT sk FROM ref WHERE p=?", (p,)), *spanned])

    def test(sk: str) -> Sql:
        own = f"EXISTS (SELECT 1 FROM own WHERE sk={sk} AND p=?)"
        element = f"EXISTS (SELECT 1 FROM element WHERE sk={sk} AND p IN (?, ?))"
        stored = Sql(f"({own} OR {element} OR +{sk} IN ({unordered.text}))", (p, p, p | 1, *unordered.args))
        return stored if field.code != UPDATED else any_true([_head(sk, p), stored])

    return Conjunct(
        test,
        lambda: everywhere,
        label=field.code,
        cost=Cost.SET,
        opened=lambda sk: kit.opened(field.type, Where(field.code, Present()), sk),
    )


def _member(members: frozenset[tuple[str | None, str]], field: Field, kit: Kit) -> Conjunct:
    """Compile membership: the codes of one system at a time, each a point of the index."""
    if len(members) == 1:
        [(system, code)] = members
        return leaf(TokenIs(system, code), field, kit)
    codes: dict[str | None, list[int]] = {}
    for system, code in members:
        codes.setdefault(system, []).append(kit.blind.code(code))
    groups = [
        (json_array(sorted(some)), TRUE if system is None else Sql("t.s=?", (kit.blind.system(system),)))
        for system, some in codes.items()
    ]
    listed = [
        Sql(
            "SELECT t.sk FROM json_each(?) j CROSS JOIN token t ON t.p=? AND t.k=j.value"
            f" WHERE {system.text}",
            (some, field.p, *system.args),
        )
        for some, system in groups
    ]
    rows = union_all(listed) if listed else EMPTY

    def looked_up(sk: str) -> Sql:
        among = "k IN (SELECT value FROM json_each(?))"
        return any_true(
            [
                Sql(
                    f"EXISTS (SELECT 1 FROM token t WHERE t.p=? AND t.{among} AND t.sk={sk}"
                    f" AND {system.text})",
                    (field.p, some, *system.args),
                )
                for some, system in groups
            ]
        )

    if len(members) <= _LOOKED_UP:
        return Conjunct(looked_up, lambda: rows, label=field.code)
    return Conjunct(
        lambda sk: Sql(f"+{sk} IN ({rows.text})", rows.args),
        lambda: rows,
        label=field.code,
        cost=Cost.SET,
        opened=lambda sk: kit.opened(field.type, Where(field.code, TokenIn(members)), sk),
    )


def _reference(field: Field, digests: Sequence[int]) -> Conjunct:
    p = field.p
    if len(digests) == 1:
        k = digests[0]
        return Conjunct(
            lambda sk: Sql(f"EXISTS (SELECT 1 FROM own WHERE sk={sk} AND p=? AND a=?)", (p, k)),
            lambda: Sql("SELECT sk FROM ref WHERE p=? AND k=?", (p, k)),
            target=(p, k),
            label=field.code,
        )
    several = json_array(digests)

    def test(sk: str) -> Sql:
        among = "+a IN (SELECT value FROM json_each(?))"
        return Sql(f"EXISTS (SELECT 1 FROM own WHERE sk={sk} AND p=? AND {among})", (p, several))

    joined = "SELECT r.sk FROM json_each(?) j CROSS JOIN ref r ON r.p=? AND r.k=j.value"
    return Conjunct(test, lambda: Sql(joined, (several, p)), label=field.code)


def _quantity(field: Field, test: QuantityIs, kit: Kit) -> Conjunct:
    p, blind = field.p, kit.blind
    comparison = number_comparison(test.number)
    unit = Sql("u IN (SELECT u FROM unit WHERE p=?)", (p,))
    if test.unit is not None:
        unit = Sql("u=?", (blind.unit(test.unit),))
    system = TRUE if test.system is None else Sql("s=?", (blind.system(test.system),))
    parts = []
    for twin in (p, p | 1) if kit.has_rows("quantity", p | 1) else (p,):
        key = all_true([Sql("p=?", (twin,)), unit, within(comparison, simple=twin == p), system])
        parts.append(Sql(f"SELECT sk FROM quantity WHERE {key.text}", key.args))
    rows = union_all(parts)

    def looked_up(sk: str) -> Sql:
        if test.unit is None and test.system is None:
            return _own(sk, p, comparison)
        # A resource's own numbers lead to its rows in the index, which know the unit.
        condition = comparison.condition.format(lo="o.a", hi="o.b")
        return Sql(
            f"EXISTS (SELECT 1 FROM own o CROSS JOIN quantity q ON q.p=o.p+(o.a!=o.b) AND q.{unit.text}"
            f" AND q.lo=o.a AND q.hi=o.b AND q.sk=o.sk WHERE o.sk={sk} AND o.p=? AND {condition}"
            f" AND {system.text})",
            (*unit.args, p, *comparison.args, *system.args),
        )

    return Conjunct(looked_up, lambda: rows, label=field.code)


def spans(field: Field, tests: Sequence[DateIs | NumberIs], kit: Kit) -> Conjunct:
    """Compile date or number tests of one parameter, each of which some row of it must pass."""
    p = field.p
    dates = [date_comparison(test, DAY_MS) for test in tests if isinstance(test, DateIs)]
    numbers = [number_comparison(test) for test in tests if isinstance(test, NumberIs)]
    if dates and numbers:
        return NOWHERE  # a parameter has dates or numbers, never both
    table, comparisons = ("date", dates) if dates else ("number", numbers)
    simple = all_true([within(each, simple=True) for each in comparisons])

    def test(sk: str) -> Sql:
        if dates and kit.has_one_date(p):
            return _span(sk, field, *comparisons)
        return all_true([_span(sk, field, comparison) for comparison in comparisons])

    def rows() -> Sql:
        # A simple row is the only one of its parameter: all comparisons must hold of it, and bound one scan.
        alone = Sql(f"SELECT sk FROM {table} WHERE p=? AND {simple.text}", (p, *simple.args))
        if not kit.has_rows(table, p | 1):
            return alone
        others = [_own("d.sk", p, each) for each in comparisons[1:]]
        first = all_true([Sql("p=?", (p | 1,)), within(comparisons[0], simple=False), *others])
        return union_all([alone, Sql(f"SELECT d.sk FROM {table} d WHERE {first.text}", first.args)])

    def exact(lo: str, hi: str) -> Sql:
        return all_true([Sql(f"({each.condition.format(lo=lo, hi=hi)})", each.args) for each in comparisons])

    return Conjunct(test, rows, label=field.code, span=Spanned(p, simple, exact))


def within(comparison: Comparison, *, simple: bool, columns: tuple[str, str] = ("lo", "hi")) -> Sql:
    """Compare a span in ``columns`` of an index, telling the index where the first begins and ends."""
    lo, hi = columns
    least, greatest = comparison.bounds(simple=simple)
    parts = [Sql(f"({comparison.condition.format(lo=lo, hi=hi)})", comparison.args)]
    if least is not None:
        parts.append(Sql(f"{lo}>=?", (least,)))
    if greatest is not None:
        parts.append(Sql(f"{lo}<=?", (greatest,)))
    return all_true(parts)


def _span(sk: str, field: Field, *comparisons: Comparison) -> Sql:
    """Compare one of the resource's spans with all ``comparisons``, also one that only its head has."""
    own = _own(sk, field.p, *comparisons)
    return own if field.code != UPDATED else any_true([own, _head(sk, field.p, *comparisons)])


def _head(sk: str, p: int, *comparisons: Comparison) -> Sql:
    """Compare when the resource was last updated, if that is a value of date ``p``."""
    tests = [Sql(f"({each.condition.format(lo='u_.upd', hi='u_.upd')})", each.args) for each in comparisons]
    passing = all_true(tests)
    return Sql(
        "EXISTS (SELECT 1 FROM head u_ CROSS JOIN date d_ ON d_.p=? AND d_.lo=u_.upd AND d_.hi=u_.upd"
        f" AND d_.sk=u_.sk WHERE u_.sk={sk} AND {passing.text})",
        (p, *passing.args),
    )


def _own(sk: str, p: int, *comparisons: Comparison) -> Sql:
    """Compare one of the resource's own spans with all ``comparisons``."""
    condition = " AND ".join(each.condition.format(lo="a", hi="b") for each in comparisons)
    args = tuple(arg for each in comparisons for arg in each.args)
    return Sql(f"EXISTS (SELECT 1 FROM own WHERE sk={sk} AND p=? AND {condition})", (p, *args))
