"""The laws hold for the worked example, and are seen to be broken where a map breaks them."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings.engine.laws import broken, fields_of, general, some_message
from mappings.engine.model import Map
from mappings.engine.path import parse
from mappings.engine.r4b import unknown, validate, wrong_paths
from mappings.engine.run import read
from mappings.engine.systems import common
from tests.mapping.engine.demo import CONTEXT, enrolment, small
from tests.mapping.engine.test_reading import LINKS, OTHERS, ROWS

EXAMPLE = enrolment()
MAPS = {
    "the worked example": EXAMPLE,
    "links": small(LINKS, OTHERS),
    "rows": small(LINKS, OTHERS, per="row"),
    "joined": small("{from: [a, b], to: gender, convert: {join: {by: '-'}}}, {from: c, to: id, default: x}"),
    "groups": small(ROWS),
}


@pytest.mark.parametrize("name", MAPS)
@settings(max_examples=60)
@given(random=st.randoms(use_true_random=False))
def test_both_laws_hold(name: str, random: Random) -> None:
    assert broken(MAPS[name], some_message(MAPS[name], random)) == []


@pytest.mark.parametrize(
    "map_",
    [
        pytest.param(small("{from: a, to: gender, convert: gender}, "
                           "{from: a, to: id, convert: {gender: {write: word}}}"),
                     id="two converters that write the same field otherwise"),
        pytest.param(small("{from: a, to: 'name[0].text'}, {from: b, to: 'name[1].text'}"), id="by number"),
        pytest.param(small("{from: a, to: gender}, {from: b, to: gender}"), id="two fields of one element"),
    ],
)  # fmt: skip
def test_a_map_that_loses_something_is_seen(map_: Map) -> None:
    random = Random(1)

    assert any(broken(map_, some_message(map_, random)) for _ in range(60))


def test_made_up_messages_are_various_and_the_same_for_the_same_seed() -> None:
    one, same, other = (some_message(EXAMPLE, Random(seed)) for seed in (1, 1, 2))

    assert one.tree == same.tree != other.tree
    assert {"baseinfo.psn_no", "insuinfo.balc"} <= fields_of(EXAMPLE).samplers.keys()


def test_made_up_rows_name_different_resources() -> None:
    for seed in range(40):
        entries = read(EXAMPLE, some_message(EXAMPLE, Random(seed)), CONTEXT)
        assert not any(issue.code == "duplicate" for issue in entries.issues)


def test_a_general_path_has_no_row_numbers() -> None:
    assert general("a[0].b[12].c") == "a.b.c"


def test_the_second_opinion_knows_elements_lists_and_types() -> None:
    def wrong(type_: str, text: str) -> str | None:
        return unknown(type_, parse(text, common()))

    assert wrong("Patient", "name[0].text") is None
    assert (
        wrong("ExplanationOfBenefit", "item[0].adjudication[category=adjudication#submitted].amount.value")
        is None
    )
    assert "has no element nam" in str(wrong("Patient", "nam[0].text"))
    assert "is a list" in str(wrong("Patient", "name.text"))
    assert "is no list" in str(wrong("Patient", "birthDate[0]"))
    assert "no elements" in str(wrong("Patient", "gender.text"))


def test_the_second_opinion_sees_what_is_no_resource() -> None:
    assert validate({"resourceType": "Patient", "gender": "female"}) == []
    assert "Patient" in validate({"resourceType": "Patient", "birthDate": "soon"})[0]
    assert validate({"resourceType": "Patent"}) == ["Patent is no resource type."]


def test_wrong_paths_of_a_map_are_told_with_their_place() -> None:
    assert list(wrong_paths(EXAMPLE)) == []
    [(at, sentence)] = wrong_paths(small("{from: a, to: nam}"))
    assert (at.file, at.line) == ("small.yaml", 11)
    assert sentence == "patient: Patient has no element nam."
