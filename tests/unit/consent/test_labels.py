"""Labelling rules: which codes ask for which labels, ages, the highest of an ordered kind."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.consent.labels import Label, came_of_age, highest, read_rules, rules
from fhir_server.consent.policy import ACT_CODE, CONFIDENTIALITY, DATA_LEVEL
from fhir_server.resources.codec import encode
from fhir_server.search.dates import span

ICD = "http://hl7.org/fhir/sid/icd-10"
ZONE = ZoneInfo("Asia/Shanghai")


def codes(system: str, *given_codes: str) -> set[str]:
    """Return the codes of the labels that a Condition with these codes gets."""
    tree = {
        "resourceType": "Condition",
        "code": {"coding": [{"system": system, "code": c} for c in given_codes]},
    }
    return {code for _, code in rules().of_codes(tree, encode(tree))}


@pytest.mark.parametrize(
    ("code", "labels"),
    [
        ("B24", {"HIV", "R", "5"}),
        ("B24.x01", {"HIV", "R", "5"}),
        ("A53.9", {"STD", "R", "5"}),
        ("F32.900", {"PSY", "R"}),
        ("F10.2", {"ETH", "ETHUD", "R"}),
        ("F11", {"ETH", "OPIOIDUD", "R"}),
        ("O04.9", {"SEX", "R"}),
        ("Q90.9", {"GDIS", "R"}),
        ("I10", set()),
        ("E11.9", set()),
        ("F", set()),
        ("", set()),
        ("B2", set()),
    ],
)
def test_a_diagnosis_gets_the_labels_of_its_chapter(code: str, labels: set[str]) -> None:
    assert codes(ICD, code) == labels


def test_the_same_code_of_another_system_means_nothing() -> None:
    assert codes("http://loinc.org", "B24") == set()
    assert codes("http://hospital.example.org/codes", "F32.9") == set()
    assert codes("http://snomed.info/sct", "86406008") == {"HIV", "R", "5"}
    assert codes("http://snomed.info/sct", "864060081") == set()


def test_codes_count_wherever_they_stand() -> None:
    diagnosis = {"coding": [{"system": ICD, "code": "F20.0"}]}
    claim = {"resourceType": "Claim", "diagnosis": [{"diagnosisCodeableConcept": diagnosis}]}
    holder = {"resourceType": "Encounter", "contained": [{"resourceType": "Condition", "code": diagnosis}]}

    for tree in (claim, holder):
        assert (ACT_CODE, "PSY") in rules().of_codes(tree, encode(tree))


leaves = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4)
trees = st.recursive(
    leaves
    | st.fixed_dictionaries(
        {
            "system": st.sampled_from([ICD, "urn:x"]),
            "code": st.sampled_from(["F32.9", "I10", "B20", "\u00e9F3"]),
        }
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "code", "coding", "extension"]), inner, max_size=3)
    ),
    max_leaves=12,
)


def _plain(node: Any) -> set[str]:
    if isinstance(node, list):
        return {label for each in node for label in _plain(each)}
    if not isinstance(node, dict):
        return set()
    own = {"F32.9": {"PSY", "R"}, "B20": {"HIV", "R", "5"}}.get(str(node.get("code")), set())
    rest = {label for each in node.values() for label in _plain(each)}
    return rest | (own if node.get("system") == ICD else set())


@given(trees)
def test_no_place_in_a_tree_hides_a_code(node: Any) -> None:
    tree = {"resourceType": "Basic", "x": node}

    assert {code for _, code in rules().of_codes(tree, encode(tree))} == _plain(tree)


@pytest.mark.parametrize(
    ("born", "of_age"),
    [
        ("2008-11-22", "2026-11-22"),
        ("2008-02-29", "2026-03-01"),
    ],
)
def test_a_minor_is_one_until_the_birthday_begins(born: str, of_age: str) -> None:
    day, _ = span(of_age, ZONE)

    assert rules().of_age(born, day - 1, ZONE) == ((ACT_CODE, "ADOL"),)
    assert rules().of_age(born, day, ZONE) == ()


def test_a_birth_date_without_a_day_counts_as_the_last_day_that_it_may_be() -> None:
    assert came_of_age("2008", 18, ZONE) == span("2027-01-01", ZONE)[0]
    assert came_of_age("2008-04", 18, ZONE) == span("2026-05-01", ZONE)[0]
    assert came_of_age("", 18, ZONE) == 0


labels = st.sampled_from(
    [
        (CONFIDENTIALITY, "N"),
        (CONFIDENTIALITY, "R"),
        (CONFIDENTIALITY, "V"),
        (DATA_LEVEL, "3"),
        (DATA_LEVEL, "5"),
        (ACT_CODE, "HIV"),
        (ACT_CODE, "PSY"),
        (CONFIDENTIALITY, "unheard-of"),
    ]
)


@given(st.lists(labels, max_size=8))
def test_of_an_ordered_kind_the_highest_stays_and_of_others_all(found: list[Label]) -> None:
    kept = highest(found)

    assert set(kept) <= set(found)
    for system, order in ((CONFIDENTIALITY, "NRV"), (DATA_LEVEL, "35")):
        ranks = [order.index(code) for each, code in found if each == system and code in order]
        left = [order.index(code) for each, code in kept if each == system and code in order]
        assert left == ([max(ranks)] if ranks else [])
    unordered = {each for each in found if each[0] == ACT_CODE or each[1] == "unheard-of"}
    assert unordered <= set(kept)
    assert len(kept) == len(set(kept))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"codes": {"icd-11": ["BA00"]}}, "no family"),
        ({"codes": {"icd-10": ["F"]}}, "too short"),
        ({"labels": {"colour": "red"}}, "no system"),
    ],
)
def test_a_rule_that_means_nothing_is_refused(change: dict[str, Any], sentence: str) -> None:
    rule = {"name": "r", "title": {}, "labels": {"act": "PSY"}, "codes": {}, **change}
    file = {
        "systems": {"act": ACT_CODE},
        "families": {"icd-10": {"prefix": True, "systems": [ICD]}},
        "rules": [rule],
        "minors": {"years": 18, "title": {}, "labels": {}},
        "containers": [],
        "contents": [],
    }

    with pytest.raises(ValueError, match=sentence):
        read_rules(msgspec.json.encode(file))
