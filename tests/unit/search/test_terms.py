"""Values of search parameters by their type. https://hl7.org/fhir/R4/search.html#ptypes"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.faults import Kind
from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.search.dates import span
from fhir_server.search.joined import is_indexed
from fhir_server.search.parameters import parameters
from fhir_server.search.predicate import (
    AnyOf,
    DateIs,
    NumberIs,
    QuantityIs,
    StringIs,
    StringStarts,
    TokenIs,
    UriIs,
    Where,
)
from fhir_server.search.terms import split, unescape
from tests.unit.search.asking import NOW, ZONE, asked, refusal, where


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
    assert asked("Patient", "identifier", value) == expected


def test_a_code_may_be_given_with_the_system_of_its_value_set() -> None:
    gender = "http://hl7.org/fhir/administrative-gender"

    assert where("Patient", "gender", f"{gender}|male") == AnyOf(
        (Where("gender", TokenIs(gender, "male")), Where("gender", TokenIs("", "male")))
    )
    assert asked("Patient", "gender", "http://loinc.org|male") == TokenIs("http://loinc.org", "male")
    assert asked("Observation", "code", f"{gender}|male") == TokenIs(gender, "male")


def test_every_token_of_every_type_takes_a_system() -> None:
    for type_ in RESOURCE_TYPES:
        for parameter in parameters(type_).values():
            if parameter.type == "token" and is_indexed(type_, parameter.code):
                token = Where(parameter.code, TokenIs("http://loinc.org", "x"))
                assert where(type_, parameter.code, "http://loinc.org|x") == token


@pytest.mark.parametrize("value", ["a|b|c", "|", "||"])
def test_refuses_a_token_with_more_bars_than_one(value: str) -> None:
    assert refusal("Patient", ("identifier", value)).kind is Kind.BAD_PARAMETER


def test_strings_start_folded_and_exact_ones_are_as_written() -> None:
    assert asked("Organization", "name", "Mü Ller") == StringStarts("mu ller")
    assert asked("Patient", "name:exact", "Mü Ller") == StringIs("Mü Ller")
    assert asked("Patient", "name:exact", r"a\,b") == StringIs("a,b")


@pytest.mark.parametrize("prefix", ["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb"])
def test_dates_and_numbers_take_every_prefix(prefix: str) -> None:
    assert asked("Patient", "birthdate", f"{prefix}2024-02") == DateIs(prefix, *span("2024-02", ZONE))  # type: ignore[arg-type]
    assert asked("RiskAssessment", "probability", f"{prefix}0.5") == NumberIs(prefix, 0.5, 0.45, 0.55)  # type: ignore[arg-type]


def test_a_date_without_a_prefix_equals_and_its_plus_may_be_a_space() -> None:
    assert asked("Patient", "birthdate", "2024") == DateIs("eq", *span("2024", ZONE))
    sent = asked("Observation", "date", "ge2024-02-29T10:00:00 05:00")
    assert sent == DateIs("ge", *span("2024-02-29T10:00:00+05:00", ZONE))


def test_an_approximate_date_widens_with_its_distance_from_now() -> None:
    lo, hi = span("2013", ZONE)
    margin = (NOW - hi) // 10

    assert asked("Patient", "birthdate", "ap2013") == DateIs("ap", lo - margin, hi + margin)
    assert asked("Patient", "birthdate", "ap2023") == DateIs("ap", *span("2023", ZONE))


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
    assert asked("RiskAssessment", "probability", value) == expected


@given(st.from_regex(r"\A-?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?\Z"))
def test_the_span_of_a_number_holds_the_number(written: str) -> None:
    number = asked("RiskAssessment", "probability", written)

    assert number.lo <= number.value < number.hi or abs(number.value) > 1.7e308


@pytest.mark.parametrize("value", ["x", "1e", "1e9999", "0x10", "١", "nan", "inf", "1_0", "9" * 5000, "5|kg"])
def test_refuses_what_is_no_number(value: str) -> None:
    assert refusal("RiskAssessment", ("probability", value)).kind is Kind.BAD_PARAMETER


@pytest.mark.parametrize(
    ("value", "system", "unit"),
    [
        ("ge5.4", None, None),
        ("ge5.4|http://loinc.org|mg", "http://loinc.org", "mg"),
        ("ge5.4|http://unitsofmeasure.org|tablets", "http://unitsofmeasure.org", "tablets"),
        ("ge5.4||mg", None, "mg"),
        ("ge5.4|http://unitsofmeasure.org|", "http://unitsofmeasure.org", None),
    ],
)
def test_quantities(value: str, system: str | None, unit: str | None) -> None:
    expected = QuantityIs(NumberIs("ge", 5.4, 5.35, 5.45), system, unit)

    assert asked("Observation", "value-quantity", value) == expected


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
    assert set(asked("Patient", name, value).targets) == set(targets)


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


def test_uris_are_as_written() -> None:
    assert asked("ValueSet", "url", "http://a|1") == UriIs("http://a|1")


@given(st.lists(st.text(), min_size=1))
def test_escaped_values_come_back_whole(parts: list[str]) -> None:
    def escape(text: str) -> str:
        for character in "\\,|$":
            text = text.replace(character, "\\" + character)
        return text

    joined = ",".join(escape(part) for part in parts)

    assert [unescape(part) for part in split(joined, ",")] == parts
