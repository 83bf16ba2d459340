"""The parameter _filter. https://hl7.org/fhir/R4/search_filter.html"""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.faults import Fault, Kind
from fhir_server.search.filter.grammar import (
    OPERATORS,
    Compare,
    Filter,
    Logic,
    Negation,
    Step,
    parse,
    render,
)
from fhir_server.search.parameters import parameters
from tests.unit.search.asking import outcome, refusal, where

NAMES = st.from_regex(r"\A[a-zA-Z_][a-zA-Z0-9_-]{0,6}(:[A-Za-z]{1,5})?\Z")
VALUES = st.text(st.characters(exclude_categories=("Cs",)), max_size=8) | st.sampled_from(
    ["true", "2024-01", "s|c", 'a"b', '"', "a)b", "a]b", "and", "x\\"]
)


def filters(inner: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    steps = st.builds(Step, NAMES, st.none() | inner)
    paths = st.lists(steps, min_size=1, max_size=3).map(tuple)
    return st.one_of(
        st.builds(Logic, st.sampled_from(["and", "or"]), inner, inner),
        st.builds(Negation, inner),
        st.builds(Compare, paths, st.sampled_from(OPERATORS), VALUES),
    )


PLAIN = st.builds(Compare, st.tuples(st.builds(Step, NAMES)), st.sampled_from(OPERATORS), VALUES)
TREES: st.SearchStrategy[Filter] = st.recursive(PLAIN, filters, max_leaves=12)


@given(TREES)
def test_what_is_written_is_read_as_it_was(tree: Filter) -> None:
    assert parse(render(tree)) == tree


def compare(name: str, operator: str, value: str) -> Compare:
    return Compare((Step(name),), operator, value)


A, B, C = (compare(name, "eq", "1") for name in "abc")


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ('name co "pet"', compare("name", "co", "pet")),
        ("name  CO\tpet ", compare("name", "co", "pet")),
        (r'name eq "a\"\u5f20"', compare("name", "eq", 'a"张')),
        ("(name eq a)", compare("name", "eq", "a")),
        ("not (name eq a)", Negation(compare("name", "eq", "a"))),
        ("not eq a", compare("not", "eq", "a")),
        ("a eq 1 and b eq 1 or c eq 1", Logic("or", Logic("and", A, B), C)),
        ("a eq 1 or b eq 1 and c eq 1", Logic("and", Logic("or", A, B), C)),
        ("a eq 1 or (b eq 1 and c eq 1)", Logic("or", A, Logic("and", B, C))),
        ("x[a eq 1].y re O/4", Compare((Step("x", A), Step("y")), "re", "O/4")),
    ],
)
def test_the_grammar_is_read(text: str, tree: Filter) -> None:
    assert parse(text) == tree


@pytest.mark.parametrize(
    "text",
    [
        "name",
        "name eq",
        "eq a",
        "name is a",
        "name eq a b",
        "name eq a and",
        "(name eq a",
        "name eq a)",
        "not name eq a",
        'name eq "a',
        r'name eq "\x"',
        r'name eq "\ud800"',
        "a..b eq c",
        "a[b eq c eq d",
        "a[] eq c",
        "1 eq 1",
        "()",
        "(" * 30 + "a eq b" + ")" * 30,
        " and ".join(["a eq b"] * 101),
    ],
)
def test_refuses_what_is_no_filter_and_says_where(text: str) -> None:
    fault = refusal("Patient", ("_filter", text))

    assert fault.kind is Kind.BAD_PARAMETER
    assert "character" in fault.diagnostics


@pytest.mark.parametrize(
    ("type_", "text", "kind"),
    [
        ("Patient", "nope eq a", Kind.UNSUPPORTED_PARAMETER),
        ("Patient", "name gt 5", Kind.BAD_PARAMETER),
        ("Patient", "gender co ma", Kind.BAD_PARAMETER),
        ("Patient", "birthdate sw 2024", Kind.BAD_PARAMETER),
        ("Patient", "birthdate eq ge2024", Kind.BAD_PARAMETER),
        ("Patient", "name pr maybe", Kind.BAD_PARAMETER),
        ("Patient", 'name eq ""', Kind.BAD_PARAMETER),
        ("Patient", "name co \u0301", Kind.BAD_PARAMETER),
        ("Patient", "name[gender eq male] eq a", Kind.BAD_PARAMETER),
        ("Patient", "name:Patient eq a", Kind.BAD_PARAMETER),
        ("Patient", "gender.name eq a", Kind.BAD_PARAMETER),
        ("Patient", "link.link.link.link.link.link.link.name eq a", Kind.BAD_PARAMETER),
        ("Observation", "subject.nope eq a", Kind.UNSUPPORTED_PARAMETER),
        ("Observation", "subject:Nope.name eq a", Kind.BAD_PARAMETER),
        ("Observation", "code in http://vs", Kind.UNSUPPORTED_PARAMETER),
        ("Observation", "code-value-quantity eq a", Kind.BAD_PARAMETER),
    ],
)
def test_refuses_what_means_nothing_here(type_: str, text: str, kind: Kind) -> None:
    assert refusal(type_, ("_filter", text)).kind is kind


def test_a_filter_takes_no_modifier_and_several_are_joined() -> None:
    assert refusal("Patient", ("_filter:not", "name eq a")).kind is Kind.UNSUPPORTED_PARAMETER
    both = outcome("Patient", ("_filter", "gender eq male"), ("_filter", "active eq true"))
    assert not isinstance(both, Fault)
    assert both.query.where == where("Patient", "_filter", "gender eq male and active eq true")


@pytest.mark.parametrize(
    ("type_", "text", "name", "value"),
    [
        ("Patient", "gender eq male", "gender", "male"),
        ("Patient", "birthdate ge 2024-01", "birthdate", "ge2024-01"),
        ("Patient", "gender pr false", "gender:missing", "true"),
        ("Patient", "organization re Organization/1", "organization", "Organization/1"),
        ("Observation", "value-quantity lt 5.4||mg", "value-quantity", "lt5.4||mg"),
        ("Observation", "subject:Patient.gender eq male", "subject:Patient.gender", "male"),
        ("ValueSet", "url ss http://a/b", "url:below", "http://a/b"),
        ("Location", "near eq 1|2|3|km", "near", "1|2|3|km"),
    ],
)
def test_a_comparison_asks_what_the_parameter_asks(type_: str, text: str, name: str, value: str) -> None:
    assert where(type_, "_filter", text) == where(type_, name, value)


SIGNS = ["(", ")", "[", "]", ".", " ", '"', "\\", "and", "or", "not", "true", "1", "2024", "s|c"]
PIECES = st.sampled_from([*SIGNS, *OPERATORS, *sorted(parameters("Observation"))])


@given(st.text() | st.lists(PIECES, max_size=12).map(" ".join))
def test_any_text_is_read_or_refused(text: str) -> None:
    found = outcome("Observation", ("_filter", text))

    assert not isinstance(found, Fault) or found.kind.status == 400


@pytest.mark.parametrize(
    "text", ["(" * 100_000, "a[" * 100_000, "a." * 100_000, "a eq b and " * 50_000, " " * 10**6]
)
def test_a_long_filter_takes_little_time(text: str) -> None:
    start = time.process_time()
    outcome("Patient", ("_filter", text))

    assert time.process_time() - start < 0.5
