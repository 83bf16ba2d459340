"""How alike two people are. The laws hold for any two records; the examples say what the grades mean."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.operations.matching.candidates import slips_of
from fhir_server.operations.matching.features import features, is_id_number, phone
from fhir_server.operations.matching.score import WEIGHTS, is_slip, likeness
from tests.architecture.sizes import ROOT

NAMES = st.sampled_from(
    [
        {"text": "张伟"},
        {"family": "张", "given": ["伟"]},
        {"family": "Zhang", "given": ["Wei"]},
        {"family": "伟", "given": ["张"]},
        {"text": "李娜"},
        {},
    ]
)
PEOPLE = st.fixed_dictionaries(
    {},
    optional={
        "name": st.lists(NAMES, max_size=2),
        "birthDate": st.dates(date(1950, 1, 1), date(1952, 12, 31)).map(str),
        "gender": st.sampled_from(["male", "female", "unknown"]),
        "telecom": st.lists(
            st.fixed_dictionaries(
                {"system": st.just("phone"), "value": st.sampled_from(["13900010001", "x"])}
            )
        ),
        "identifier": st.lists(
            st.fixed_dictionaries({"system": st.just("urn:mrn"), "value": st.sampled_from(["1", "2", ""])})
        ),
    },
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=3), max_leaves=6
)


@given(PEOPLE, PEOPLE)
def test_likeness_is_the_same_both_ways_and_a_probability(one: dict[str, Any], other: dict[str, Any]) -> None:
    there, back = likeness(features(one), features(other)), likeness(features(other), features(one))

    assert there == back
    assert 0 <= there.score <= 1


@given(PEOPLE)
def test_a_record_is_no_less_like_itself_than_like_another(one: dict[str, Any]) -> None:
    other = {**one, "birthDate": "1899-09-09", "gender": "male", "name": [{"text": "无名"}]}

    assert likeness(features(one), features(one)).score >= likeness(features(one), features(other)).score


@given(st.dictionaries(st.sampled_from(["name", "identifier", "telecom", "birthDate", "gender"]), ANYTHING))
def test_elements_of_any_shape_are_passed_over(tree: dict[str, Any]) -> None:
    found = features(tree)

    assert likeness(found, found).grade in {"certainly-not", "possible", "probable", "certain"}


@given(st.dates(date(1900, 1, 1), date(2030, 12, 31)).map(str))
def test_every_slip_of_a_date_is_a_date_and_counts_as_one(written: str) -> None:
    made = features({"birthDate": written, "name": [{"text": "张伟"}]})
    for each in slips_of(written):
        assert str(date.fromisoformat(each)) == each
        other = features({"birthDate": each, "name": [{"text": "张伟"}]})
        assert likeness(made, made).score > likeness(made, other).score


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("990000197001010018", True),
        ("990000197001010017", False),
        ("99000019700101001", False),
        ("", False),
        ("９９００００１９７００１０１００１７", False),
    ],
)
def test_an_id_number_has_eighteen_characters_and_its_check_digit(text: str, valid: bool) -> None:
    assert is_id_number(text) is valid


@pytest.mark.parametrize(
    ("written", "digits"),
    [
        ("139-0001-0001", "13900010001"),
        ("+86 139 0001 0001", "13900010001"),
        ("008613900010001", "13900010001"),
        ("86510000", "86510000"),
        ("110", ""),
    ],
)
def test_a_phone_number_counts_without_country_code_and_signs(written: str, digits: str) -> None:
    assert phone(written) == digits


@pytest.mark.parametrize(
    ("one", "other", "slip"),
    [
        ("1980", "1981", True),
        ("1980", "1908", True),
        ("1980", "1980", False),
        ("1980", "1991", False),
        ("19", "190", False),
        ("abcd", "dbca", False),
    ],
)
def test_a_slip_is_one_character_or_two_neighbours(one: str, other: str, slip: bool) -> None:
    assert is_slip(one, other) is slip


@pytest.mark.parametrize("said", ["Zhang Wei", "zhangwei", "Wei Zhang", "张　伟"])
def test_names_agree_by_sound_and_in_either_order(said: str) -> None:
    birth = {"birthDate": "1980-05-13", "gender": "male"}
    written = features({**birth, "name": [{"family": "张", "given": ["伟"]}]})
    parts = said.split()
    spoken = features({**birth, "name": [{"family": parts[0], "given": parts[1:]}]})

    assert likeness(written, spoken).grade in {"possible", "probable"}
    assert likeness(written, features({**birth, "name": [{"text": "李娜"}]})).grade == "certainly-not"


def test_the_weights_on_the_page_are_the_weights() -> None:
    page = (ROOT / "docs/search.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| ([^|]+) \| (-?\d+) \|$", page, re.MULTILINE))

    assert rows == {name: f"{weight:g}" for name, weight in WEIGHTS.items()}
