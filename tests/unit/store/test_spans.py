"""The bounds that comparisons give to the index: they may let too much through, never too little."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fhir_server.search.match import date_is, number_is
from fhir_server.search.predicate import DateIs, NumberIs
from fhir_server.store.sqlite.spans import Comparison, date_comparison, number_comparison

PREFIXES = st.sampled_from(["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"])
INSTANTS = st.integers(-60, 60)
WIDTH = 20


def passes(comparison: Comparison, lo: float, hi: float) -> bool:
    """Evaluate the SQL condition as the Python expression that it nearly is."""
    text = comparison.condition.replace("AND", "and").replace("OR", "or").replace("NOT", "not")
    for value in comparison.args:
        text = text.replace("?", repr(value), 1)
    return bool(eval(text.format(lo=repr(lo), hi=repr(hi))))


def inside(comparison: Comparison, lo: float, *, simple: bool) -> bool:
    least, greatest = comparison.bounds(simple=simple)
    return (least is None or lo >= least) and (greatest is None or lo <= greatest)


@given(prefix=PREFIXES, slo=INSTANTS, search=st.integers(0, 60), lo=INSTANTS, length=st.integers(0, 60))
def test_dates_pass_as_the_plain_words_say_and_only_within_the_bounds(
    prefix: str, slo: int, search: int, lo: int, length: int
) -> None:
    test = DateIs(prefix, slo, slo + search)  # type: ignore[arg-type]
    comparison, hi = date_comparison(test, WIDTH), lo + length

    assert passes(comparison, lo, hi) == date_is(test, lo, hi)
    if date_is(test, lo, hi):
        assert inside(comparison, lo, simple=False)
        assert length > WIDTH or inside(comparison, lo, simple=True)


@given(
    prefix=PREFIXES,
    value=INSTANTS,
    half=st.integers(1, 5),
    lo=INSTANTS,
    length=st.sampled_from([0, 0, 1, 30]),
)
def test_numbers_pass_as_the_plain_words_say_and_only_within_the_bounds(
    prefix: str, value: int, half: int, lo: int, length: int
) -> None:
    test = NumberIs(prefix, float(value), value - half / 2, value + half / 2)  # type: ignore[arg-type]
    comparison, low, high = number_comparison(test), float(lo), float(lo + length)

    assert passes(comparison, low, high) == number_is(test, low, high)
    if number_is(test, low, high):
        assert inside(comparison, low, simple=False)
        assert length > 0 or inside(comparison, low, simple=True)
