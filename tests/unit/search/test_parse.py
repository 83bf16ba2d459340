"""Parsing a search. https://hl7.org/fhir/R4/search.html"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.faults import Fault, Kind
from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.search.dates import span
from fhir_server.search.parameters import parameters
from fhir_server.search.parse import Include, Options, Search, parse
from fhir_server.search.predicate import (
    EVERYTHING,
    NOTHING,
    All,
    AnyOf,
    Chain,
    DateIs,
    Has,
    IdIn,
    Not,
    NumberIs,
    Predicate,
    Present,
    QuantityIs,
    StringIs,
    StringStarts,
    TokenIs,
    UriIs,
    Where,
)
from fhir_server.search.query import Sort
from fhir_server.search.terms import split, unescape

ZONE = ZoneInfo("Asia/Shanghai")
NOW = 1_700_000_000_000
OPTIONS = Options(ZONE, NOW, base="http://me/fhir")


def search(type_: str, *pairs: tuple[str, str], **options: Any) -> Search:
    return parse(type_, pairs, replace(OPTIONS, **options))


def where(type_: str, name: str, value: str) -> Predicate:
    return search(type_, (name, value)).query.where


def test_of(type_: str, name: str, value: str) -> Any:
    predicate = where(type_, name, value)
    assert isinstance(predicate, Where)
    return predicate.test


test_of.__test__ = False  # type: ignore[attr-defined] # a helper


def refusal(type_: str, *pairs: tuple[str, str], **options: Any) -> Fault:
    with pytest.raises(Fault) as caught:
        search(type_, *pairs, **options)
    return caught.value


def outcome(type_: str, *pairs: tuple[str, str], **options: Any) -> Search | Fault:
    try:
        return search(type_, *pairs, **options)
    except Fault as fault:
        return fault


def test_no_parameters_ask_for_everything() -> None:
    found = search("Patient")

    assert (found.query.where, found.query.count, found.query.total) == (EVERYTHING, 20, "none")


def test_repeated_parameters_are_and_and_commas_are_or() -> None:
    found = search("Patient", ("given", "a,b"), ("given", "c")).query.where

    starts = [Where("given", StringStarts(text)) for text in "abc"]
    assert found == All((AnyOf((starts[0], starts[1])), starts[2]))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1", TokenIs(None, "1")),
        ("http://s|1", TokenIs("http://s", "1")),
        ("|1", TokenIs("", "1")),
        ("http://s|", TokenIs("http://s", None)),
        (r"a\|b", TokenIs(None, "a|b")),
        (r"http://s|a\,b\\", TokenIs("http://s", "a,b\\")),
    ],
)
def test_tokens(value: str, expected: TokenIs) -> None:
    assert test_of("Patient", "identifier", value) == expected


def test_a_code_may_be_given_with_the_system_of_its_value_set() -> None:
    gender = "http://hl7.org/fhir/administrative-gender"

    assert where("Patient", "gender", f"{gender}|male") == AnyOf(
        (Where("gender", TokenIs(gender, "male")), Where("gender", TokenIs("", "male")))
    )
    assert test_of("Patient", "gender", "http://loinc.org|male") == TokenIs("http://loinc.org", "male")
    assert test_of("Observation", "code", f"{gender}|male") == TokenIs(gender, "male")


def test_every_token_of_every_type_takes_a_system() -> None:
    for type_ in RESOURCE_TYPES:
        for parameter in parameters(type_).values():
            if parameter.type == "token" and parameter.code != "_id":
                token = Where(parameter.code, TokenIs("http://loinc.org", "x"))
                assert where(type_, parameter.code, "http://loinc.org|x") == token


@pytest.mark.parametrize("value", ["a|b|c", "|", "||"])
def test_refuses_a_token_with_more_bars_than_one(value: str) -> None:
    assert refusal("Patient", ("identifier", value)).kind is Kind.BAD_PARAMETER


def test_not_reverses_all_its_values_together() -> None:
    male, female = (Where("gender", TokenIs(None, code)) for code in ("male", "female"))

    assert where("Patient", "gender:not", "male,female") == Not(AnyOf((male, female)))


def test_strings_start_folded_and_exact_ones_are_as_written() -> None:
    assert test_of("Patient", "name", "Mü Ller") == StringStarts("mu ller")
    assert test_of("Patient", "name:exact", "Mü Ller") == StringIs("Mü Ller")
    assert test_of("Patient", "name:exact", r"a\,b") == StringIs("a,b")


@pytest.mark.parametrize("modifier", ["contains", "text", "nope", "Patient", "identifier"])
def test_refuses_a_modifier_that_it_does_not_know_even_leniently(modifier: str) -> None:
    fault = refusal("Patient", (f"name:{modifier}", "x"), strict=False)

    assert fault.kind is Kind.UNSUPPORTED_PARAMETER


@pytest.mark.parametrize("prefix", ["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb"])
def test_dates_and_numbers_take_every_prefix(prefix: str) -> None:
    assert test_of("Patient", "birthdate", f"{prefix}2024-02") == DateIs(prefix, *span("2024-02", ZONE))  # type: ignore[arg-type]
    assert test_of("RiskAssessment", "probability", f"{prefix}0.5") == NumberIs(prefix, 0.5, 0.45, 0.55)  # type: ignore[arg-type]


def test_a_date_without_a_prefix_equals_and_its_plus_may_be_a_space() -> None:
    assert test_of("Patient", "birthdate", "2024") == DateIs("eq", *span("2024", ZONE))
    sent = test_of("Observation", "date", "ge2024-02-29T10:00:00 05:00")
    assert sent == DateIs("ge", *span("2024-02-29T10:00:00+05:00", ZONE))


def test_an_approximate_date_widens_with_its_distance_from_now() -> None:
    lo, hi = span("2013", ZONE)
    margin = (NOW - hi) // 10

    assert test_of("Patient", "birthdate", "ap2013") == DateIs("ap", lo - margin, hi + margin)
    assert test_of("Patient", "birthdate", "ap2023") == DateIs("ap", *span("2023", ZONE))


@pytest.mark.parametrize("value", ["x", "ge", "2024-13", "xx2024", "2024-02-30", "2024|2025", "gege2024"])
def test_refuses_what_is_no_date_even_leniently(value: str) -> None:
    assert refusal("Patient", ("birthdate", value), strict=False).kind is Kind.BAD_PARAMETER


def test_a_refusal_does_not_repeat_the_value() -> None:
    for name, value in (
        ("birthdate", "1949-99-99"),
        ("organization", "Zhang Wei"),
        ("identifier", "110|1|9"),
    ):
        assert value not in refusal("Patient", (name, value)).diagnostics


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("100", NumberIs("eq", 100, 99.5, 100.5)),
        ("100.00", NumberIs("eq", 100, 99.995, 100.005)),
        ("1e2", NumberIs("eq", 100, 50, 150)),
        ("5.4", NumberIs("eq", 5.4, 5.35, 5.45)),
        ("-3", NumberIs("eq", -3, -3.5, -2.5)),
        ("0", NumberIs("eq", 0, -0.5, 0.5)),
        ("ap100", NumberIs("ap", 100, 90, 110)),
        ("ap-100", NumberIs("ap", -100, -110, -90)),
        ("ap0", NumberIs("ap", 0, -0.5, 0.5)),
    ],
)
def test_numbers_are_as_precise_as_they_are_written(value: str, expected: NumberIs) -> None:
    assert test_of("RiskAssessment", "probability", value) == expected


@given(st.from_regex(r"\A-?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?\Z"))
def test_the_span_of_a_number_holds_the_number(written: str) -> None:
    number = test_of("RiskAssessment", "probability", written)

    assert number.lo <= number.value < number.hi or abs(number.value) > 1.7e308


@pytest.mark.parametrize("value", ["x", "1e", "1e9999", "0x10", "١", "nan", "inf", "1_0", "9" * 5000, "5|kg"])
def test_refuses_what_is_no_number(value: str) -> None:
    assert refusal("RiskAssessment", ("probability", value)).kind is Kind.BAD_PARAMETER


@pytest.mark.parametrize(
    ("value", "system", "unit"),
    [
        ("ge5.4", None, None),
        ("ge5.4|http://unitsofmeasure.org|mg", "http://unitsofmeasure.org", "mg"),
        ("ge5.4||mg", None, "mg"),
        ("ge5.4|http://unitsofmeasure.org|", "http://unitsofmeasure.org", None),
    ],
)
def test_quantities(value: str, system: str | None, unit: str | None) -> None:
    expected = QuantityIs(NumberIs("ge", 5.4, 5.35, 5.45), system, unit)

    assert test_of("Observation", "value-quantity", value) == expected


@pytest.mark.parametrize("value", ["x|s|u", "5|s", "5|s|u|v", "||mg"])
def test_refuses_what_is_no_quantity(value: str) -> None:
    assert refusal("Observation", ("value-quantity", value)).kind is Kind.BAD_PARAMETER


@pytest.mark.parametrize(
    ("name", "value", "targets"),
    [
        ("general-practitioner", "1", ("Practitioner/1", "Organization/1", "PractitionerRole/1")),
        ("general-practitioner:Practitioner", "1", ("Practitioner/1",)),
        ("general-practitioner:Practitioner", "Practitioner/1", ("Practitioner/1",)),
        ("organization", "Organization/1,Organization/2", ("Organization/1", "Organization/2")),
        ("organization", "http://me/fhir/Organization/1/_history/2", ("Organization/1",)),
        ("organization", "http://you/fhir/Organization/1", ("http://you/fhir/Organization/1",)),
        ("organization", "urn:uuid:1", ("urn:uuid:1",)),
    ],
)
def test_references(name: str, value: str, targets: tuple[str, ...]) -> None:
    assert set(test_of("Patient", name, value).targets) == set(targets)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("organization", "Nope/1"),
        ("organization", "a b"),
        ("organization", "#contained"),
        ("organization", "Organization/"),
        ("organization", "x" * 65),
        ("general-practitioner:Practitioner", "Organization/1"),
    ],
)
def test_refuses_what_is_no_reference(name: str, value: str) -> None:
    assert refusal("Patient", (name, value)).kind is Kind.BAD_PARAMETER


def test_a_logical_reference_is_a_token() -> None:
    assert where("Observation", "subject:identifier", "urn:i|7") == Where(
        "subject:identifier", TokenIs("urn:i", "7")
    )


def test_uris_are_as_written() -> None:
    assert test_of("ValueSet", "url", "http://a|1") == UriIs("http://a|1")


def test_missing_asks_for_no_value_or_any() -> None:
    present = Where("gender", Present())

    assert where("Patient", "gender:missing", "false") == present
    assert where("Patient", "gender:missing", "true") == Not(present)
    assert where("Patient", "_id:missing", "true") == NOTHING
    assert refusal("Patient", ("gender:missing", "yes")).kind is Kind.BAD_PARAMETER


def test_a_logical_reference_is_not_missing() -> None:
    found = where("Observation", "subject:missing", "false")

    assert found == AnyOf((Where("subject", Present()), Where("subject:identifier", Present())))


def test_ids_are_one_list() -> None:
    assert where("Patient", "_id", "a,b,a") == IdIn(("a", "b"))
    assert where("Patient", "_id:not", "a") == Not(IdIn(("a",)))


def test_a_chain_goes_on_to_every_type_that_knows_the_parameter() -> None:
    inner = Where("name", StringStarts("x"))

    found = where("Observation", "subject.name", "x")

    assert isinstance(found, AnyOf)
    assert set(found.items) == {Chain("subject", "Patient", inner), Chain("subject", "Location", inner)}
    assert where("Observation", "subject:Patient.name", "x") == Chain("subject", "Patient", inner)


def test_chains_and_reverse_chains_nest() -> None:
    name = Where("name", StringIs("x"))

    assert where("Observation", "subject:Patient.organization.name:exact", "x") == Chain(
        "subject", "Patient", Chain("organization", "Organization", name)
    )
    assert where("Patient", "_has:Observation:patient:_has:Provenance:target:_id", "1") == Has(
        "Observation", "patient", Has("Provenance", "target", IdIn(("1",)))
    )
    assert where("Encounter", "subject:Patient._has:Observation:patient:_id", "1") == Chain(
        "subject", "Patient", Has("Observation", "patient", IdIn(("1",)))
    )


@pytest.mark.parametrize(
    "name",
    [
        "name.family",
        "organization:Patient.name",
        "_has:Observation:patient",
        "_has:Nope:patient:code",
        "_has:Observation:code:code",
        "_has:Encounter:service-provider:_id",
        "link.link.link.link.link.link.link._id",
        "link:Patient" + ".link:Patient" * 6 + "._id",
    ],
)
def test_refuses_a_chain_that_leads_nowhere_or_too_far(name: str) -> None:
    assert refusal("Patient", (name, "x"), strict=False).kind is Kind.BAD_PARAMETER


def test_a_chain_over_too_many_types_must_name_one() -> None:
    assert refusal("Provenance", ("target._id", "x")).kind is Kind.BAD_PARAMETER
    assert where("Provenance", "target:Patient._id", "x") == Chain("target", "Patient", IdIn(("x",)))


@pytest.mark.parametrize(
    "name", ["nope", "organization.nope", "_has:Observation:patient:nope", "_text", "_filter", "code"]
)
def test_an_unknown_parameter_is_refused_or_ignored_aloud(name: str) -> None:
    assert refusal("Patient", (name, "x")).kind is Kind.UNSUPPORTED_PARAMETER

    found = search("Patient", (name, "x"), ("_id", "1"), strict=False)

    assert found.query.where == IdIn(("1",))
    assert found.understood == (("_id", "1"),)
    assert [(i.severity, i.code) for i in found.ignored] == [("warning", "not-supported")]


@pytest.mark.parametrize("name", ["code-value-quantity", "combo-code-value-concept"])
def test_what_is_not_supported_yet_says_so(name: str) -> None:
    assert "not supported yet" in refusal("Observation", (name, "x")).diagnostics


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


def test_includes_go_forward_back_and_on() -> None:
    found = search(
        "Observation",
        ("_include", "Observation:subject"),
        ("_include", "Observation:subject:Patient"),
        ("_include", "Observation:*"),
        ("_include", "*"),
        ("_include:iterate", "Patient:organization"),
        ("_revinclude", "Provenance:target"),
    )

    assert found.includes == (
        Include("Observation", "subject"),
        Include("Observation", "subject", "Patient"),
        Include("Observation", "*"),
        Include("*", "*"),
        Include("Patient", "organization", iterate=True),
        Include("Provenance", "target", reverse=True),
    )


def test_everything_that_refers_to_the_matches_is_named_by_type() -> None:
    found = search("Patient", ("_revinclude", "*")).includes
    types = {include.type for include in found}

    assert {"Observation", "Encounter", "Provenance"} < types
    assert "Medication" not in types
    assert all(include.reverse and include.param == "*" for include in found)


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("_include", "Patient:nope", Kind.UNSUPPORTED_PARAMETER),
        ("_include", "Patient:name", Kind.BAD_PARAMETER),
        ("_include", "Nope:x", Kind.BAD_PARAMETER),
        ("_include", "Patient", Kind.BAD_PARAMETER),
        ("_include", "Patient:", Kind.BAD_PARAMETER),
        ("_include", "Patient:organization:Patient", Kind.BAD_PARAMETER),
        ("_include", "a:b:c:d", Kind.BAD_PARAMETER),
        ("_include:nope", "Patient:organization", Kind.UNSUPPORTED_PARAMETER),
        ("_revinclude:iterate", "*", Kind.UNSUPPORTED_PARAMETER),
    ],
)
def test_refuses_an_include_of_what_is_no_reference(name: str, value: str, kind: Kind) -> None:
    assert refusal("Patient", (name, value)).kind is kind


def test_an_include_that_starts_elsewhere_is_ignored_aloud() -> None:
    found = search("Patient", ("_include", "Observation:subject"))

    assert (found.includes, len(found.ignored)) == ((), 1)


def test_matches_are_never_contained() -> None:
    assert search("Patient", ("_contained", "false")).ignored == ()
    assert refusal("Patient", ("_contained", "true")).kind is Kind.UNSUPPORTED_PARAMETER


def test_refuses_an_unknown_type_and_too_many_values() -> None:
    assert refusal("Nope").kind is Kind.UNKNOWN_TYPE
    assert refusal("Patient", ("_id", "," * 2000)).kind is Kind.BAD_PARAMETER


def test_what_was_understood_is_kept_as_written() -> None:
    pairs = (("name", "Zhang,Li"), ("_count", "3"), ("_sort", "-name"))

    assert search("Patient", *pairs, ("gender", "")).understood == pairs


NAMES = st.one_of(
    st.sampled_from(sorted({*parameters("Patient"), *parameters("Observation")})),
    st.sampled_from(
        ["_sort", "_count", "_include", "_revinclude", "_elements", "_total", "_summary", "_has"]
    ),
    st.text(max_size=5),
)
PIECES = st.one_of(
    st.sampled_from([":", ".", "|", ",", "\\", "*", "Patient", "_has", "not", "missing", "-", "ge"]), NAMES
)
TEXTS = st.lists(PIECES, max_size=6).map("".join)


@settings(max_examples=300)
@given(
    st.sampled_from(sorted(RESOURCE_TYPES)),
    st.lists(st.tuples(NAMES | TEXTS, TEXTS | st.text()), max_size=3),
    st.booleans(),
)
def test_any_text_is_parsed_or_refused(type_: str, pairs: list[tuple[str, str]], strict: bool) -> None:
    found = outcome(type_, *pairs, strict=strict)

    if isinstance(found, Fault):
        assert found.kind.status == 400
    else:
        assert len(found.understood) + len(found.ignored) == len(pairs)


@given(st.sampled_from(sorted(parameters("Observation"))), st.text())
def test_any_value_of_a_known_parameter_is_read_or_refused(name: str, value: str) -> None:
    found = outcome("Observation", (name, value))

    assert isinstance(found, Search) or found.kind in (Kind.BAD_PARAMETER, Kind.UNSUPPORTED_PARAMETER)


@given(st.lists(st.text(), min_size=1))
def test_escaped_values_come_back_whole(parts: list[str]) -> None:
    def escape(text: str) -> str:
        for character in "\\,|$":
            text = text.replace(character, "\\" + character)
        return text

    joined = ",".join(escape(part) for part in parts)

    assert [unescape(part) for part in split(joined, ",")] == parts


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
