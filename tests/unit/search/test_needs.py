"""What a search needs to know of codes before it is parsed."""

from __future__ import annotations

import pytest

from fhir_server.faults import Fault, Kind
from fhir_server.search.needs import Answers, InValueSet, Need, Subsumed, needs
from fhir_server.search.predicate import NOTHING, Not, TokenIn, Where
from tests.unit.search.asking import OPTIONS, refusal, where


def needed(*pairs: tuple[str, str]) -> tuple[Need, ...]:
    return needs("Observation", pairs, OPTIONS)


@pytest.mark.parametrize(
    "pair", [("code", "x"), ("date", "2024"), ("_filter", "code eq x"), ("url-in", "x"), ("_sort", "date")]
)
def test_most_searches_need_nothing(pair: tuple[str, str]) -> None:
    if pair[0] == "url-in":
        with pytest.raises(Fault):
            where("Observation", *pair)
    assert needed(pair) == ()


def test_each_question_is_listed_once() -> None:
    found = needed(
        ("code:in", "http://vs/a,http://vs/b|2"),
        ("category:not-in", "http://vs/a"),
        ("code:below", "s|c"),
        ("subject:Patient._has:Condition:patient:code:above", "s|d"),
        ("_filter", "code in ValueSet/9 or code ss s|c"),
    )

    assert found == (
        InValueSet("http://vs/a"),
        InValueSet("http://vs/b|2"),
        Subsumed("s", "c", "below"),
        Subsumed("s", "d", "above"),
        InValueSet("ValueSet/9"),
    )


def test_the_answers_are_what_the_search_asks_for() -> None:
    answers = Answers({InValueSet("http://vs"): frozenset({("s", "a")})})
    found = Where("code", TokenIn(frozenset({("s", "a")})))

    assert where("Observation", "code:in", "http://vs", terminology=answers) == found
    assert where("Observation", "code:not-in", "http://vs", terminology=answers) == Not(found)


def test_an_empty_value_set_finds_nothing() -> None:
    answers = Answers({InValueSet("http://vs"): frozenset()})

    assert where("Observation", "code:in", "http://vs", terminology=answers) == NOTHING


def test_a_bare_code_counts_where_its_system_goes_without_saying() -> None:
    gender = "http://hl7.org/fhir/administrative-gender"
    answers = Answers({InValueSet("http://vs"): frozenset({(gender, "male"), ("s", "x")})})

    assert where("Patient", "gender:in", "http://vs", terminology=answers) == Where(
        "gender", TokenIn(frozenset({(gender, "male"), ("", "male"), ("s", "x")}))
    )


def test_refuses_a_hierarchy_without_a_system_and_a_server_without_terminology() -> None:
    assert refusal("Observation", ("code:below", "c")).kind is Kind.BAD_PARAMETER
    assert refusal("Observation", ("code:below", "s|c")).kind is Kind.UNSUPPORTED_PARAMETER
    assert refusal("Observation", ("code:in", "http://vs")).kind is Kind.UNSUPPORTED_PARAMETER


def test_refuses_to_look_up_too_much() -> None:
    with pytest.raises(Fault) as caught:
        needed(("code:in", ",".join(f"http://vs/{number}" for number in range(51))))

    assert caught.value.kind is Kind.BAD_PARAMETER
