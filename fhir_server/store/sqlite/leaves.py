"""The tests of single values compiled: what :mod:`compile` joins.

Each is a :class:`Conjunct` for parameter number ``p``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fhir_server.crypto.blind import PREFIX_CHARACTERS, BlindIndex, following
from fhir_server.faults import Fault, Kind
from fhir_server.search.fold import fold
from fhir_server.search.predicate import (
    DateIs,
    NumberIs,
    Present,
    QuantityIs,
    ReferenceIs,
    StringIs,
    StringStarts,
    Test,
    TokenIs,
    UriIs,
)
from fhir_server.store.sqlite.fragment import FALSE, TRUE, Conjunct, Sql, all_true, union_all
from fhir_server.store.sqlite.records import json_array
from fhir_server.store.sqlite.schema import DAY_MS
from fhir_server.store.sqlite.spans import Comparison, date_comparison, number_comparison

_EMPTY = Sql("SELECT sk FROM head WHERE 0")

NOWHERE = Conjunct(test=lambda _: FALSE, rows=lambda: _EMPTY, in_order=True, size=0)
"""What no resource satisfies."""


def leaf(  # noqa: C901, PLR0911 - one case for each test
    test: Test, param: tuple[str, str, int], blind: BlindIndex, names: Iterator[str]
) -> Conjunct:
    """Compile one test of ``param`` (type, code, number); ``names`` yields fresh SQL names."""
    p = param[2]
    match test:
        case Present() | TokenIs(None, None):
            return _present(p)
        case TokenIs(str() as system, None):
            return _among("token", Sql("p=? AND s=?", (p, blind.system(system))))
        case TokenIs(None, str() as code):
            return _at("token", Sql("p=? AND k=?", (p, blind.code(code))))
        case TokenIs(str() as system, str() as code):
            return _at("token", Sql("p=? AND k=? AND s=?", (p, blind.code(code), blind.system(system))))
        case UriIs(uri):
            return _at("token", Sql("p=? AND k=?", (p, blind.code(uri))))
        case StringIs(text):
            key = (p, blind.prefix(fold(text)), blind.text(text))
            return _at("str", Sql("p=? AND k=? AND e=?", key))
        case StringStarts(text):
            return _starts(fold(text), param, blind, names)
        case ReferenceIs(targets):
            return _reference(p, [blind.target(target) for target in dict.fromkeys(targets)])
        case QuantityIs():
            return _quantity(p, test, blind)
        case DateIs() | NumberIs():
            return spans(p, [test])
    raise not_compiled()


def not_compiled() -> Fault:
    """Make the fault of a condition that this store cannot answer: refused, never left out of a search."""
    return Fault(Kind.NOT_IMPLEMENTED, "The store cannot search by this kind of condition; leave it out.")


def _at(table: str, key: Sql) -> Conjunct:
    """Compile an equality, under which the rows come by ``sk`` and one ``sk`` is a point of the index."""
    return Conjunct(
        lambda sk: Sql(f"EXISTS (SELECT 1 FROM {table} WHERE {key.text} AND sk={sk})", key.args),
        lambda: Sql(f"SELECT sk FROM {table} WHERE {key.text}", key.args),
        in_order=True,
    )


def _among(table: str, key: Sql) -> Conjunct:
    """Compile a range of keys; as a test it is read once, as a set."""
    rows = Sql(f"SELECT sk FROM {table} WHERE {key.text}", key.args)
    return Conjunct(lambda sk: Sql(f"+{sk} IN ({rows.text})", rows.args), lambda: rows)


def _present(p: int) -> Conjunct:
    unordered = union_all([Sql(f"SELECT sk FROM {table} WHERE p=?", (p,)) for table in ("token", "str")])
    spanned = [
        Sql(f"SELECT sk FROM {t} WHERE p IN (?, ?)", (p, p | 1)) for t in ("date", "number", "quantity")
    ]
    everywhere = union_all([unordered, Sql("SELECT sk FROM ref WHERE p=?", (p,)), *spanned])

    def test(sk: str) -> Sql:
        own = f"EXISTS (SELECT 1 FROM own WHERE sk={sk} AND p=?)"
        return Sql(f"({own} OR +{sk} IN ({unordered.text}))", (p, *unordered.args))

    return Conjunct(test, lambda: everywhere)


def _starts(text: str, param: tuple[str, str, int], blind: BlindIndex, names: Iterator[str]) -> Conjunct:
    type_, code, p = param
    least = blind.prefix(text[:PREFIX_CHARACTERS])
    beyond = following(least)
    upper = TRUE if beyond is None else Sql("k<?", (beyond,))
    found = _among("str", all_true([Sql("p=?", (p,)), Sql("k>=?", (least,)), upper]))
    if len(text) <= PREFIX_CHARACTERS:
        return found

    # The index knows the first characters only; the rest is compared with the opened resource.
    def test(sk: str) -> Sql:
        h, v = next(names), next(names)
        whole = (
            f"EXISTS (SELECT 1 FROM head {h} CROSS JOIN version {v} ON {v}.rk={h}.rk"
            f" WHERE {h}.sk={sk} AND starts_with(?, {h}.h, {v}.ver, {v}.payload, ?, ?))"
        )
        return all_true([found.test(sk), Sql(whole, (type_, code, text))])

    def rows() -> Sql:
        c = next(names)
        passing = test(f"{c}.sk")
        # The set is named twice, as candidates and as part of the test: the test alone is exact.
        base = Sql("SELECT sk FROM str WHERE p=? AND k>=?", (p, least))
        bounded = Sql(f"{base.text} AND {upper.text}", base.args + upper.args)
        return Sql(
            f"SELECT {c}.sk FROM ({bounded.text}) {c} WHERE {passing.text}", bounded.args + passing.args
        )

    return Conjunct(test, rows)


def _reference(p: int, digests: Sequence[int]) -> Conjunct:
    if len(digests) == 1:
        k = digests[0]
        return Conjunct(
            lambda sk: Sql(f"EXISTS (SELECT 1 FROM own WHERE sk={sk} AND p=? AND a=?)", (p, k)),
            lambda: Sql("SELECT sk FROM ref WHERE p=? AND k=?", (p, k)),
            target=(p, k),
        )
    several = json_array(digests)

    def test(sk: str) -> Sql:
        among = "+a IN (SELECT value FROM json_each(?))"
        return Sql(f"EXISTS (SELECT 1 FROM own WHERE sk={sk} AND p=? AND {among})", (p, several))

    joined = "SELECT r.sk FROM json_each(?) j CROSS JOIN ref r ON r.p=? AND r.k=j.value"
    return Conjunct(test, lambda: Sql(joined, (several, p)))


def _quantity(p: int, test: QuantityIs, blind: BlindIndex) -> Conjunct:
    comparison = number_comparison(test.number)
    unit = Sql("u IN (SELECT u FROM unit WHERE p=?)", (p,))
    if test.unit is not None:
        unit = Sql("u=?", (blind.code(test.unit),))
    system = TRUE if test.system is None else Sql("s=?", (blind.system(test.system),))
    parts = []
    for twin in (p, p | 1):
        key = all_true([Sql("p=?", (twin,)), unit, _within(comparison, simple=twin == p), system])
        parts.append(Sql(f"SELECT sk FROM quantity WHERE {key.text}", key.args))
    rows = union_all(parts)
    return Conjunct(lambda sk: Sql(f"+{sk} IN ({rows.text})", rows.args), lambda: rows)


def spans(p: int, tests: Sequence[DateIs | NumberIs]) -> Conjunct:
    """Compile date or number tests of one parameter, each of which some row of it must pass."""
    dates = [date_comparison(test, DAY_MS) for test in tests if isinstance(test, DateIs)]
    numbers = [number_comparison(test) for test in tests if isinstance(test, NumberIs)]
    if dates and numbers:
        return NOWHERE  # a parameter has dates or numbers, never both
    table, comparisons = ("date", dates) if dates else ("number", numbers)

    def test(sk: str) -> Sql:
        return all_true([_own(sk, p, comparison) for comparison in comparisons])

    def rows() -> Sql:
        # A simple row is the only one of its parameter: all comparisons must hold of it, and bound one scan.
        simple = all_true([Sql("p=?", (p,)), *(_within(each, simple=True) for each in comparisons)])
        others = [_own("d.sk", p, each) for each in comparisons[1:]]
        first = all_true([Sql("p=?", (p | 1,)), _within(comparisons[0], simple=False), *others])
        return union_all(
            [
                Sql(f"SELECT sk FROM {table} WHERE {simple.text}", simple.args),
                Sql(f"SELECT d.sk FROM {table} d WHERE {first.text}", first.args),
            ]
        )

    return Conjunct(test, rows)


def _within(comparison: Comparison, *, simple: bool) -> Sql:
    """Compare a row of an index over (…, lo, hi), telling the index where ``lo`` begins and ends."""
    least, greatest = comparison.bounds(simple=simple)
    parts = [Sql(f"({comparison.condition.format(lo='lo', hi='hi')})", comparison.args)]
    if least is not None:
        parts.append(Sql("lo>=?", (least,)))
    if greatest is not None:
        parts.append(Sql("lo<=?", (greatest,)))
    return all_true(parts)


def _own(sk: str, p: int, comparison: Comparison) -> Sql:
    condition = comparison.condition.format(lo="a", hi="b")
    return Sql(f"EXISTS (SELECT 1 FROM own WHERE sk={sk} AND p=? AND {condition})", (p, *comparison.args))
