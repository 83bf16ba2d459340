"""FHIR paths: what is placed at a path is found there, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.engine.path import contains, find, parse, place
from mappings.engine.systems import common

_NAMES = st.sampled_from(["name", "code", "value", "item"])
_STEPS = st.one_of(
    _NAMES,
    st.builds("{}[{}]".format, _NAMES, st.integers(0, 2)),
    st.builds("{}[system=loinc]".format, _NAMES),
    st.builds("{}[type=coverage-class#plan]".format, _NAMES),
    st.builds("{}[system=phone,use=home]".format, _NAMES),
    st.just("extension('native-code')"),
)


def path(text: str) -> Any:
    return parse(text, common())


@given(st.lists(_STEPS, min_size=1, max_size=4).map(".".join), _NAMES)
def test_what_is_placed_is_found(text: str, leaf: str) -> None:
    tree: dict[str, Any] = {}
    steps = path(f"{text}.{leaf}")

    place(tree, steps, "x")

    assert find(tree, steps) == "x"
    assert find({}, steps) is None
    assert contains(tree, tree)


@given(st.lists(_STEPS, min_size=2, max_size=3, unique=True))
def test_two_elements_of_a_path_do_not_meet(texts: list[str]) -> None:
    tree: dict[str, Any] = {}
    roots = [f"n{index}.{text}.leaf" for index, text in enumerate(texts)]
    for index, text in enumerate(roots):
        place(tree, path(text), index)

    assert [find(tree, path(text)) for text in roots] == list(range(len(texts)))


def test_a_selector_finds_its_element_wherever_it_stands_in_the_list() -> None:
    tree = {
        "identifier": [
            {"system": "http://x", "value": "1"},
            {"system": "urn:oid:2.16.156.10011.1.3", "value": "2"},
        ]
    }

    assert find(tree, path("identifier[system=cn-id].value")) == "2"
    assert find(tree, path("identifier[system=passport-cn].value")) is None


def test_an_alias_is_understood_but_never_written() -> None:
    tree = {"identifier": [{"system": "urn:oid:2.16.840.1.113883.2.23.1.19.1", "value": "2"}]}
    steps = path("identifier[system=cn-id].value")

    assert find(tree, steps, common().aliases) == "2"
    assert find(tree, steps) is None
    made: dict[str, Any] = {}
    place(made, steps, "3")
    assert made["identifier"][0]["system"] == "urn:oid:2.16.156.10011.1.3"


def test_the_system_of_a_telephone_is_no_address() -> None:
    made: dict[str, Any] = {}
    place(made, path("telecom[system=phone,use=work].value"), "1")

    assert made == {"telecom": [{"system": "phone", "use": "work", "value": "1"}]}


@pytest.mark.parametrize(
    "text", ["", "a.", ".a", "a[", "a[]", "a[x]", "a[=x]", "a b", "a[system=nobody].b", "1a", "a]"]
)
def test_what_is_no_path_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        path(text)


def test_other_shapes_than_expected_are_nothing() -> None:
    for tree in ({"name": "x"}, {"name": ["x"]}, {"name": [{}]}, {"name": None}, [], "x"):
        assert find(tree, path("name[0].text")) is None


def test_true_is_not_one() -> None:
    assert not contains({"a": True}, {"a": 1})
    assert contains({"a": True}, {"a": True})
