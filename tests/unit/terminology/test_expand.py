"""Expansion of value sets and subsumption of codes. https://hl7.org/fhir/R4/valueset.html#compositions"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.faults import Fault, Kind
from fhir_server.terminology.expand import expand, subsumed
from fhir_server.terminology.library import Library, UnknownCanonical

Tree = dict[str, Any]
URL = "http://cs"


def concept(code: str, *children: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"code": code, "concept": list(children), **more}


def property_(code: str, **value: Any) -> dict[str, Any]:
    return {"code": code, **value}


WILD = property_("wild", valueBoolean=True)
INACTIVE = property_("inactive", valueBoolean=True)
ANIMALS = {
    "resourceType": "CodeSystem",
    "url": URL,
    "version": "1",
    "content": "complete",
    "concept": [
        concept(
            "animal",
            concept("dog", concept("poodle"), property=[property_("legs", valueInteger=4)]),
            concept("bird", property=[property_("legs", valueInteger=2), WILD]),
        ),
        concept("tail", display="Tail of a dog", property=[property_("parent", valueCode="dog")]),
        concept("dodo", property=[INACTIVE, property_("parent", valueCode="bird")]),
        concept("thing", property=[property_("status", valueCode="retired")]),
    ],
}  # fmt: skip


def value_set(
    url: str, *include: dict[str, Any], exclude: tuple[Any, ...] = (), **more: Any
) -> dict[str, Any]:
    compose = {"include": list(include), "exclude": list(exclude), **more}
    return {"resourceType": "ValueSet", "url": url, "compose": compose}


def where(property_name: str, op: str, value: str) -> dict[str, Any]:
    return {"system": URL, "filter": [{"property": property_name, "op": op, "value": value}]}


def codes(tree: dict[str, Any] | str, *others: dict[str, Any], most: int = 100) -> set[str]:
    found = expand(tree, Library([ANIMALS, *others]), most)
    assert {system for system, _ in found} <= {URL}
    return {code for _, code in found}


def refusal(tree: dict[str, Any] | str, *others: dict[str, Any], most: int = 100) -> Fault:
    with pytest.raises(Fault) as caught:
        expand(tree, Library([ANIMALS, *others]), most)
    return caught.value


EVERY = {"animal", "dog", "poodle", "bird", "tail", "dodo", "thing"}


def test_a_whole_system_and_a_list_of_codes() -> None:
    assert codes(value_set("v", {"system": URL})) == EVERY
    assert codes(value_set("v", {"system": URL, "concept": [{"code": "cat"}, {"display": "none"}]})) == {
        "cat"
    }


@pytest.mark.parametrize(
    ("name", "op", "value", "found"),
    [
        ("concept", "is-a", "dog", {"dog", "poodle", "tail"}),
        ("concept", "is-a", "nothing", set()),
        ("concept", "descendent-of", "dog", {"poodle", "tail"}),
        ("concept", "is-not-a", "animal", {"thing"}),
        ("concept", "generalizes", "poodle", {"poodle", "dog", "animal"}),
        ("legs", "=", "4", {"dog"}),
        ("legs", "in", "2, 3", {"bird"}),
        ("legs", "not-in", "2,4", EVERY - {"dog", "bird"}),
        ("legs", "exists", "true", {"dog", "bird"}),
        ("legs", "exists", "false", EVERY - {"dog", "bird"}),
        ("wild", "=", "true", {"bird"}),
        ("code", "regex", "d.*", {"dog", "dodo"}),
        ("code", "regex", "o", set()),
        ("display", "regex", "Tail.*", {"tail"}),
        ("parent", "=", "dog", {"poodle", "tail"}),
    ],
)
def test_filters_let_through_what_they_say(name: str, op: str, value: str, found: set[str]) -> None:
    assert codes(value_set("v", where(name, op, value))) == found


def test_several_filters_hold_together_and_several_includes_add_up() -> None:
    both = {**where("concept", "is-a", "animal")}
    both["filter"] = [*both["filter"], {"property": "legs", "op": "exists", "value": "true"}]

    assert codes(value_set("v", both)) == {"dog", "bird"}
    assert codes(value_set("v", where("legs", "=", "2"), where("legs", "=", "4"))) == {"dog", "bird"}


def test_what_is_excluded_is_left_out() -> None:
    dogs = where("concept", "is-a", "dog")

    assert codes(value_set("v", {"system": URL}, exclude=(dogs,))) == EVERY - {"dog", "poodle", "tail"}


def test_inactive_codes_are_left_out_when_the_value_set_says_so() -> None:
    assert codes(value_set("v", {"system": URL}, inactive=False)) == EVERY - {"dodo", "thing"}
    assert codes(value_set("v", {"system": URL}, inactive=True)) == EVERY


def test_value_sets_in_one_component_intersect() -> None:
    legs = value_set("http://legs", where("legs", "exists", "true"))
    birds = value_set("http://birds", where("concept", "is-a", "bird"))

    assert codes(value_set("v", {"valueSet": ["http://legs", "http://birds"]}), legs, birds) == {"bird"}
    assert codes(value_set("v", {"valueSet": ["http://legs"]}), legs) == {"dog", "bird"}
    assert codes(value_set("v", {"valueSet": ["http://legs"], **where("concept", "is-a", "dog")}), legs) == {
        "dog"
    }
    assert codes("http://legs", legs) == {"dog", "bird"}


def test_an_empty_definition_has_no_codes() -> None:
    assert codes({"resourceType": "ValueSet", "url": "v"}) == set()
    assert codes(value_set("v", {})) == set()


def test_value_sets_that_r4_binds_codes_to_are_at_hand() -> None:
    gender = expand("http://hl7.org/fhir/ValueSet/administrative-gender", Library())

    assert ("http://hl7.org/fhir/administrative-gender", "male") in gender
    assert expand("http://hl7.org/fhir/ValueSet/administrative-gender|4.0.1", Library()) == gender


def test_a_version_is_minded() -> None:
    assert codes(value_set("v", {"system": URL, "version": "1"})) == EVERY
    assert isinstance(refusal(value_set("v", {"system": URL, "version": "2"})), UnknownCanonical)


def test_what_is_missing_is_named_to_the_program_and_not_to_the_caller() -> None:
    for tree, canonical in (
        ("http://nope", ("ValueSet", "http://nope")),
        (value_set("v", {"system": "http://nope"}), ("CodeSystem", "http://nope")),
        (value_set("v", {"valueSet": ["http://nope|3"]}), ("ValueSet", "http://nope|3")),
    ):
        fault = refusal(tree)
        assert isinstance(fault, UnknownCanonical)
        assert fault.canonical == canonical
        assert fault.kind is Kind.BAD_PARAMETER
        assert "nope" not in fault.diagnostics


def test_a_system_without_its_codes_is_not_at_hand() -> None:
    empty = {"resourceType": "CodeSystem", "url": "http://empty", "content": "not-present"}

    assert isinstance(refusal(value_set("v", {"system": "http://empty"}), empty), UnknownCanonical)


EXPANSION = {
    "total": 2,
    "contains": [{"system": URL, "code": "x", "contains": [{"system": URL, "code": "y"}]}],
}


def test_an_expansion_that_came_along_is_used_when_the_definition_cannot_be_followed() -> None:
    alone = {"resourceType": "ValueSet", "url": "v", "expansion": EXPANSION}
    unknown = {**value_set("v", {"system": "http://nope"}), "expansion": EXPANSION}
    part = {**value_set("v", {"system": "http://nope"}), "expansion": {**EXPANSION, "total": 3}}

    assert codes(alone) == codes(unknown) == {"x", "y"}
    assert isinstance(refusal(part), UnknownCanonical)
    assert codes({**value_set("v", where("legs", "=", "4")), "expansion": EXPANSION}) == {"dog"}


@pytest.mark.parametrize("most", [6, 0])
def test_refuses_more_codes_than_allowed(most: int) -> None:
    assert refusal(value_set("v", {"system": URL}), most=most).kind is Kind.TOO_COSTLY
    assert codes(value_set("v", {"system": URL}), most=7) == EVERY


def test_refuses_value_sets_that_go_round_in_a_circle() -> None:
    one, two = (value_set(f"http://{a}", {"valueSet": [f"http://{b}"]}) for a, b in (("1", "2"), ("2", "1")))

    assert refusal("http://1", one, two).kind is Kind.BAD_PARAMETER


@pytest.mark.parametrize(
    ("name", "op", "value"),
    [("code", "like", "x"), ("legs", "is-a", "4"), ("code", "regex", "("), ("code", "regex", "(a+)+")],
)
def test_refuses_a_filter_that_it_cannot_apply(name: str, op: str, value: str) -> None:
    assert refusal(value_set("v", where(name, op, value))).kind is Kind.BAD_PARAMETER


def test_refuses_a_costly_pattern_on_many_codes() -> None:
    many = {
        "resourceType": "CodeSystem",
        "url": "http://many",
        "concept": [{"code": str(n)} for n in range(600)],
    }
    slow = {"property": "code", "op": "regex", "value": ".*1.*2.*3"}
    tree = value_set("v", {"system": "http://many", "filter": [slow]})

    assert refusal(tree, many, most=1000).kind is Kind.TOO_COSTLY


def test_a_code_subsumes_what_stands_below_it() -> None:
    library = Library([ANIMALS])

    assert {c for _, c in subsumed(URL, "dog", "below", library)} == {"dog", "poodle", "tail"}
    assert {c for _, c in subsumed(URL, "tail", "above", library)} == {"tail", "dog", "animal"}
    assert subsumed(URL, "unheard-of", "below", library) == {(URL, "unheard-of")}


def test_refuses_the_hierarchy_of_a_system_that_is_not_at_hand() -> None:
    with pytest.raises(UnknownCanonical):
        subsumed("http://nope", "x", "below", Library([ANIMALS]))


def test_refuses_too_large_a_hierarchy() -> None:
    with pytest.raises(Fault) as caught:
        subsumed(URL, "animal", "below", Library([ANIMALS]), most=3)

    assert caught.value.kind is Kind.TOO_COSTLY


def test_a_hierarchy_that_goes_round_ends() -> None:
    circle = {
        "resourceType": "CodeSystem",
        "url": "http://o",
        "concept": [
            concept("a", property=[property_("parent", valueCode="b")]),
            concept("b", property=[property_("parent", valueCode="a")]),
        ],
    }

    assert {c for _, c in subsumed("http://o", "a", "above", Library([circle]))} == {"a", "b"}


KEYS = (
    "compose include exclude system concept code filter property op value valueSet expansion contains total"
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["x", URL, "regex", "is-a", "="]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS.split()), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["compose", "expansion"]), JSON), JSON)
def test_any_resource_is_expanded_or_refused(tree: Tree, concepts: Any) -> None:
    system = {"resourceType": "CodeSystem", "url": "x", "concept": concepts}
    with suppress(Fault):
        assert isinstance(expand(tree, Library([ANIMALS, system])), frozenset)
