"""Parsing a search as a whole. https://hl7.org/fhir/R4/search.html"""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.faults import Fault, Kind
from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.search.matrix import modifiers
from fhir_server.search.parameters import parameters
from fhir_server.search.parse import Search
from fhir_server.search.predicate import EVERYTHING, IdIn
from fhir_server.search.query import Sort
from tests.unit.search.asking import outcome, refusal, search
from tests.unit.search.records import Sets


def test_no_parameters_ask_for_everything() -> None:
    found = search("Patient")

    assert (found.query.where, found.query.count, found.query.total) == (EVERYTHING, 20, "none")


@pytest.mark.parametrize(
    "name", ["nope", "organization.nope", "_has:Observation:patient:nope", "_text", "_query", "code"]
)
def test_an_unknown_parameter_is_refused_or_ignored_aloud(name: str) -> None:
    assert refusal("Patient", (name, "x")).kind is Kind.UNSUPPORTED_PARAMETER

    found = search("Patient", (name, "x"), ("_id", "1"), strict=False)

    assert found.query.where == IdIn(("1",))
    assert found.understood == (("_id", "1"),)
    assert [(i.severity, i.code) for i in found.ignored] == [("warning", "not-supported")]


@pytest.mark.parametrize(
    "pair",
    [
        ("name", ""),
        ("name", ","),
        ("name", "  "),
        ("name", "\u0301"),
        ("_sort", ""),
        ("_id", ","),
        ("organization.name", ","),
        ("_has:Observation:patient:code", ","),
        ("gender:missing", ""),
    ],
)
def test_an_empty_value_is_ignored_aloud(pair: tuple[str, str]) -> None:
    found = search("Patient", pair)

    assert found.query.where == EVERYTHING
    assert found.understood == ()
    assert len(found.ignored) == 1


def test_sort_takes_several_parameters_in_either_direction_each_once() -> None:
    found = search("Patient", ("_sort", "-birthdate,family,birthdate"), ("_sort", "_id,-family"))

    assert found.query.sort == (Sort("birthdate", descending=True), Sort("family"), Sort("_id"))


@pytest.mark.parametrize("value", ["nope", "-", "name,", "birthdate:desc"])
def test_refuses_a_sort_by_what_is_no_parameter(value: str) -> None:
    assert refusal("Patient", ("_sort", value)).kind is Kind.UNSUPPORTED_PARAMETER


def test_refuses_a_sort_by_more_than_eight_parameters() -> None:
    codes = ",".join(code for code in list(parameters("Patient"))[:9])

    assert refusal("Patient", ("_sort", codes)).kind is Kind.BAD_PARAMETER


@pytest.mark.parametrize(
    ("value", "count", "total"),
    [
        ("5", 5, "none"),
        ("0", 0, "accurate"),
        ("5000", 1000, "none"),
        ("9" * 5000, 1000, "none"),
        ("007", 7, "none"),
    ],
)
def test_count_is_held_to_the_largest_page(value: str, count: int, total: str) -> None:
    query = search("Patient", ("_count", value)).query

    assert (query.count, query.total) == (count, total)


@pytest.mark.parametrize(
    "pair",
    [
        ("_count", "-1"),
        ("_count", "x"),
        ("_count", "1.5"),
        ("_count", "٣"),
        ("_total", "x"),
        ("_summary", "x"),
    ],
)
def test_refuses_a_control_with_another_value(pair: tuple[str, str]) -> None:
    assert refusal("Patient", pair).kind is Kind.BAD_PARAMETER


def test_refuses_two_counts_that_differ() -> None:
    assert refusal("Patient", ("_count", "1"), ("_count", "2")).kind is Kind.BAD_PARAMETER
    assert search("Patient", ("_count", "1"), ("_count", "1")).query.count == 1


def test_total_summary_and_elements_are_kept() -> None:
    found = search("Patient", ("_total", "estimate"), ("_summary", "text"), ("_elements", "id, name"))

    assert (found.query.total, found.summary, found.elements) == ("accurate", "text", ("id", "name"))
    assert search("Patient", ("_total", "none")).query.total == "none"
    assert search("Patient", ("_summary", "count")).query.count == 0


@pytest.mark.parametrize("name", ["_query", "_contained", "_containedType"])
def test_what_is_not_served_says_what_to_do_instead(name: str) -> None:
    assert "use" in refusal("Patient", ("_query", "x")).diagnostics
    found = search("Patient", (name, "true"), strict=False)

    assert (len(found.ignored), found.understood) == (1, ())


@pytest.mark.parametrize("code", ["code-value-quantity", "near"])
def test_refuses_a_sort_by_what_has_no_order(code: str) -> None:
    type_ = "Location" if code == "near" else "Observation"

    assert "order" in refusal(type_, ("_sort", code)).diagnostics


def test_matches_are_contained_only_where_who_asks_can_search_them() -> None:
    assert search("Patient", ("_contained", "false")).ignored == ()
    assert refusal("Patient", ("_contained", "true")).kind is Kind.UNSUPPORTED_PARAMETER
    found = search("Patient", ("_contained", "both"), ("_containedType", "contained"), contained=True)
    assert (found.contained, found.contained_type, found.ignored) == ("both", "contained", ())
    plain = search("Patient", contained=True)
    assert (plain.contained, plain.contained_type) == ("false", "container")


@pytest.mark.parametrize(
    "name", ["organization.name", "_has:Observation:subject:code", "general-practitioner:Practitioner.name"]
)
def test_contained_resources_are_not_searched_along_references(name: str) -> None:
    pairs = (name, "x"), ("_contained", "true")

    assert "references" in refusal("Patient", *pairs, contained=True).diagnostics
    assert search("Patient", (name, "x"), ("_contained", "false"), contained=True).ignored == ()


def test_refuses_an_unknown_type_and_too_many_values() -> None:
    assert refusal("Nope").kind is Kind.UNKNOWN_TYPE
    assert refusal("Patient", ("_id", "," * 2000)).kind is Kind.BAD_PARAMETER


def test_what_was_understood_is_kept_as_written() -> None:
    pairs = (("name", "Zhang,Li"), ("_count", "3"), ("_sort", "-name"))

    assert search("Patient", *pairs, ("gender", "")).understood == pairs


MODIFIED = [
    f"{code}:{row.modifier}"
    for code in ("identifier", "code", "name", "date", "subject", "location", "url", "value-quantity", "near")
    for row in modifiers()
]
NAMES = st.one_of(
    st.sampled_from(sorted({*parameters("Patient"), *parameters("Observation"), "near", *MODIFIED})),
    st.sampled_from(
        [
            *("_sort", "_count", "_include", "_revinclude", "_elements", "_total", "_summary", "_has"),
            *("_filter", "_text", "_content", "_query", "_contained", "_list", "_type"),
        ]
    ),
    st.text(max_size=5),
)
PIECES = st.one_of(
    st.sampled_from([":", ".", "|", ",", "\\", "*", "$", "Patient", "_has", "not", "missing", "-", "ge"]),
    st.sampled_from(["http://unitsofmeasure.org", "http://a/b", "mg", "5.4", "张伟", "zw", "ValueSet/1"]),
    NAMES,
)
TEXTS = st.lists(PIECES, max_size=6).map("".join)


@settings(max_examples=300)
@given(
    st.sampled_from(sorted(RESOURCE_TYPES)),
    st.lists(st.tuples(NAMES | TEXTS, TEXTS | st.text()), max_size=3),
    st.booleans(),
)
def test_any_text_is_parsed_or_refused(type_: str, pairs: list[tuple[str, str]], strict: bool) -> None:
    found = outcome(type_, *pairs, strict=strict, terminology=Sets(), full_text=True)

    if isinstance(found, Fault):
        assert found.kind.status == 400
    else:
        assert len(found.understood) + len(found.ignored) == len(pairs)


@given(st.sampled_from(sorted(parameters("Observation"))), st.text())
def test_any_value_of_a_known_parameter_is_read_or_refused(name: str, value: str) -> None:
    found = outcome("Observation", (name, value))

    assert isinstance(found, Search) or found.kind in (Kind.BAD_PARAMETER, Kind.UNSUPPORTED_PARAMETER)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("identifier", "\\" * 100_000),
        ("identifier", "|" * 100_000),
        ("name", "\\," * 100_000),
        ("birthdate", "2024-01-01T00:00:00." + "0" * 100_000),
        ("organization", "/" * 100_000),
        ("." * 100_000, "x"),
        ("_has:" * 20_000, "x"),
        ("link:Patient." * 10_000 + "_id", "x"),
    ],
)
def test_long_values_take_little_time(name: str, value: str) -> None:
    start = time.process_time()
    found = outcome("Patient", (name, value))
    seconds = time.process_time() - start

    assert seconds < 0.5
    assert isinstance(found, Search) or len(found.diagnostics) < 400
