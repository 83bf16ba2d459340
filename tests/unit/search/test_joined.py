"""Parameters that join others. https://hl7.org/fhir/R4/observation.html#search"""

from __future__ import annotations

from itertools import chain
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.search.generate import groups, sources
from fhir_server.search.joined import JOINED, apart, indexed_as, is_indexed
from fhir_server.search.parameters import parameters
from fhir_server.search.predicate import (
    EVERYTHING,
    AnyOf,
    Chain,
    Not,
    Present,
    Together,
    TokenIs,
    Where,
    all_of,
    any_of,
    negate,
)

_JOINED = [(type_, code) for type_, joined in JOINED.items() for code in joined]
_TEST = TokenIs(None, "x")


def below(type_: str, code: str) -> set[Any]:
    """Return where the elements below the resource stand that a composite searches."""
    return {
        (path, tuple((half.sources, half.is_root) for half in halves))
        for path, halves in groups(parameters(type_)[code], type_)
        if path.steps
    }


@pytest.mark.parametrize(("type_", "code"), _JOINED)
def test_a_joined_parameter_searches_what_its_parts_search_and_nothing_else(type_: str, code: str) -> None:
    known, parts = parameters(type_), JOINED[type_][code]

    assert set(sources(known[code], type_)) == set(
        chain.from_iterable(sources(known[part], type_) for part in parts)
    )
    assert below(type_, code) == set().union(*(below(type_, part) for part in parts))
    assert all(is_indexed(type_, part) and known[part].type == known[code].type for part in parts)


def test_parameters_that_only_overlap_are_not_joined() -> None:
    assert is_indexed("Patient", "telecom")
    assert indexed_as("Patient", "telecom") == ("telecom",)
    assert indexed_as("Patient", "phonetic:sound") == ("name:sound",)


def test_a_suffix_goes_with_each_part() -> None:
    assert indexed_as("Observation", "combo-code:text") == ("code:text", "component-code:text")
    assert indexed_as("Condition", "combo-code:text") == ("combo-code:text",)


def test_only_an_id_and_joined_parameters_have_no_rows() -> None:
    missing = {
        (type_, code)
        for type_ in RESOURCE_TYPES
        for code in parameters(type_)
        if not is_indexed(type_, code) and code != "_id"
    }

    assert missing == set(_JOINED)


def test_a_condition_on_a_joined_parameter_asks_its_parts_wherever_it_stands() -> None:
    either = any_of((Where("code", _TEST), Where("component-code", _TEST)))

    assert apart("Observation", Where("combo-code", _TEST)) == either
    assert apart("Observation", negate(Where("combo-code", _TEST))) == Not(either)
    assert apart("Observation", all_of((Where("status", _TEST), Where("combo-code", Present())))) == all_of(
        (Where("status", _TEST), any_of((Where("code", Present()), Where("component-code", Present()))))
    )
    assert apart("Observation", Together("combo-code-value-quantity", (_TEST,))) == Together(
        "component-code-value-quantity", (_TEST,)
    )


def test_other_conditions_other_types_and_the_far_end_of_a_chain_stay_as_they_are() -> None:
    far = Chain("has-member", "Observation", Where("combo-code", _TEST))

    assert apart("Observation", far) == far
    assert apart("Observation", EVERYTHING) == EVERYTHING
    assert apart("Condition", Where("combo-code", _TEST)) == Where("combo-code", _TEST)


@given(st.lists(st.sampled_from(["code", "combo-code", "status"]), min_size=2, max_size=4, unique=True))
def test_apart_asks_for_nothing_that_has_no_rows(codes: list[str]) -> None:
    found = apart("Observation", AnyOf(tuple(Where(code, _TEST) for code in codes)))
    items = found.items if isinstance(found, AnyOf) else (found,)

    assert all(isinstance(item, Where) and is_indexed("Observation", item.param) for item in items)
