"""Modifiers, composites, nearness and words: how they are read, and what is refused.

https://hl7.org/fhir/R4/search.html#modifiers
"""

from __future__ import annotations

import pytest

from fhir_server.faults import Kind
from fhir_server.search.predicate import (
    AnyOf,
    Chain,
    Has,
    HasWords,
    IdIn,
    Near,
    NumberIs,
    QuantityIs,
    ReferenceIs,
    StringContains,
    StringStarts,
    Together,
    TokenIs,
    UriIs,
    Where,
    all_of,
)
from fhir_server.search.sphere import HALF_WAY_ROUND
from tests.unit.search.asking import asked, refusal, search, where

UCUM = "http://unitsofmeasure.org"


def test_a_persons_name_is_also_searched_by_its_sound_and_others_are_not() -> None:
    written = Where("name", StringStarts("zhang wei"))

    assert where("Patient", "name", "Zhang Wei") == AnyOf(
        (written, Where("name:sound", StringStarts("zhangwei")))
    )
    assert where("Organization", "name", "Zhang Wei") == written
    assert asked("Patient", "name", "张") == StringStarts("张")
    assert asked("Patient", "name:contains", "Zhang") == StringContains("zhang")


def test_quantities_in_ucum_are_asked_for_in_canonical_units() -> None:
    number = NumberIs("ge", 54.0, 53.5, 54.5)

    assert where("Observation", "value-quantity", f"ge5.40|{UCUM}|mg/dL") == Where(
        "value-quantity:ucum", QuantityIs(NumberIs("ge", 54.0, 53.95, 54.05), None, "g.m-3")
    )
    assert asked("Observation", "value-quantity", "ge54||mg/L") == QuantityIs(number, None, "mg/L")
    assert asked("Observation", "value-quantity", f"ge54|{UCUM}|[pH]") == QuantityIs(number, UCUM, "[pH]")


def test_the_span_of_a_converted_number_holds_the_number() -> None:
    test = asked("Observation", "value-quantity", f"1.000000000000000000000000001|{UCUM}|[degF]")

    assert test.number.lo <= test.number.value < test.number.hi


def test_a_composite_of_the_resource_asks_its_parameters_and_one_below_asks_them_together() -> None:
    code, value = TokenIs("s", "c"), QuantityIs(NumberIs("gt", 5, 4.5, 5.5), None, None)
    apart = all_of((Where("code", code), Where("value-quantity", value)))

    assert where("Observation", "code-value-quantity", "s|c$gt5") == apart
    assert where("Observation", "component-code-value-quantity", "s|c$gt5") == Together(
        "component-code-value-quantity", (code, value)
    )
    assert where("Observation", "combo-code-value-quantity", "s|c$gt5") == AnyOf(
        (apart, Together("component-code-value-quantity", (code, value)))
    )


def test_an_escaped_dollar_is_part_of_a_value() -> None:
    found = where("Observation", "component-code-value-concept", r"a\$b$c")

    assert found == Together("component-code-value-concept", (TokenIs(None, "a$b"), TokenIs(None, "c")))


@pytest.mark.parametrize(
    ("value", "near"),
    [
        ("30.66|104.06|2|km", Near(30.66, 104.06, 2000)),
        ("30.66|104.06|2", Near(30.66, 104.06, 2000)),
        ("30.66|104.06", Near(30.66, 104.06, 10_000)),
        ("-30|-104.5|1|[mi_i]", Near(-30, -104.5, 1609.344)),
        ("0|0|0|m", Near(0, 0, 0)),
        ("0|0|1e9|km", Near(0, 0, HALF_WAY_ROUND)),
    ],
)
def test_nearness_is_read_in_metres(value: str, near: Near) -> None:
    assert asked("Location", "near", value) == near


@pytest.mark.parametrize(
    ("type_", "name", "value"),
    [
        ("Location", "near", "1"),
        ("Location", "near", "91|0|1|km"),
        ("Location", "near", "0|181|1|km"),
        ("Location", "near", "0|0|-1|km"),
        ("Location", "near", "0|0|1|kg"),
        ("Location", "near", "0|0|1|miles"),
        ("Location", "near", "0|0|1|km|x"),
        ("Location", "near", "nan|0"),
        ("Observation", "code-value-quantity", "c"),
        ("Observation", "code-value-quantity", "c$1$2"),
        ("Observation", "code-value-quantity", "c$x"),
        ("Observation", "component-code-value-quantity", "|$1"),
        ("Patient", "identifier:of-type", "MR|9"),
        ("Patient", "identifier:of-type", "s|MR|"),
        ("Observation", "code:below", "c"),
        ("Observation", "code:text", "\u0301"),
        ("ValueSet", "url:below", "urn:oid:1.2"),
        ("ValueSet", "url:above", "x"),
        ("Encounter", "location:below", "http://else/Location/1"),
    ],
)
def test_refuses_a_value_that_cannot_be_read(type_: str, name: str, value: str) -> None:
    assert refusal(type_, (name, value), strict=False).kind is Kind.BAD_PARAMETER


@pytest.mark.parametrize(
    ("type_", "name", "value"),
    [
        ("Patient", "gender:of-type", "s|MR|9"),
        ("Patient", "_id:in", "http://vs"),
        ("Patient", "_id:text", "x"),
        ("Observation", "subject:below", "Patient/1"),
        ("Observation", "code-value-quantity:exact", "c$1"),
        ("Location", "near:not", "1|2"),
        ("Patient", "name:nope", ","),
        ("Patient", "_text", "x"),
    ],
)
def test_refuses_a_modifier_that_means_nothing(type_: str, name: str, value: str) -> None:
    assert refusal(type_, (name, value)).kind is Kind.UNSUPPORTED_PARAMETER


def test_references_go_down_and_up_by_what_is_part_of_what() -> None:
    below, above = (where("Encounter", f"location:{name}", "Location/1") for name in ("below", "above"))
    here = IdIn(("1",))

    assert isinstance(below, AnyOf)
    assert isinstance(above, AnyOf)
    assert below.items[0] == above.items[0] == Where("location", ReferenceIs(("Location/1",)))
    chain, reverse = below.items[1], above.items[1]
    assert isinstance(chain, Chain)
    assert isinstance(chain.inner, AnyOf)
    assert chain.inner.items[0] == here
    assert isinstance(chain.inner.items[1], Chain)
    assert isinstance(reverse, Chain)
    assert isinstance(reverse.inner, AnyOf)
    assert isinstance(reverse.inner.items[1], Has)
    assert (reverse.inner.items[1].type, reverse.inner.items[1].param) == ("Location", "partof")


def test_addresses_go_up_and_down_their_path() -> None:
    assert where("ValueSet", "url:below", "http://a/b/") == AnyOf(
        (Where("url", UriIs("http://a/b/")), Where("url:below", UriIs("http://a/b")))
    )
    ways = ("http://a/b", "http://a/b/", "http://a", "http://a/")
    assert where("ValueSet", "url:above", "http://a/b") == AnyOf(
        tuple(Where("url", UriIs(way)) for way in ways)
    )


def test_words_are_all_asked_for_and_commas_are_or() -> None:
    found = search("Patient", ("_text", "Asthma attack,糖尿病"), full_text=True).query.where

    assert found == AnyOf(
        (
            Where("_text", HasWords(frozenset({"asthma", "attack"}))),
            Where("_text", HasWords(frozenset({"糖尿", "尿病"}))),
        )
    )
    assert len(search("Patient", ("_text", "!?"), full_text=True).ignored) == 1
    assert refusal("Patient", ("_text:exact", "x"), full_text=True).kind is Kind.UNSUPPORTED_PARAMETER
