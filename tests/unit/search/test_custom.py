"""Custom parameters: what is compiled finds its elements, what is written is read again, nothing crashes."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.search import custom
from fhir_server.search.extract import Extractor
from fhir_server.search.parameters import R4, Custom, Parameter, Registry, UnknownParameter

ETHNIC = "http://hospital.example.org/ethnic"
TREE = {
    "resourceType": "SearchParameter",
    "url": "urn:sp:ethnic",
    "status": "active",
    "code": "ethnic",
    "base": ["Patient"],
    "type": "token",
    "expression": f"Patient.extension('{ETHNIC}').value",
}
WORDS = st.sampled_from(
    [
        "Patient",
        ".",
        "name",
        "(",
        ")",
        "|",
        "where",
        "'x'",
        "=",
        "extension",
        "value",
        "as",
        "[",
        "0",
        "]",
        "resolve",
    ]
)


def extracted(made: Custom, tree: dict[str, Any]) -> set[tuple[str, str, str]]:
    extractor = Extractor(ZoneInfo("Asia/Shanghai"))
    extractor.registry = Registry([made], 3)
    values = extractor.extract(tree)
    assert values.generation == 3
    return {row for row in values.tokens if row[0] == made.parameter.code}


@pytest.mark.parametrize(
    ("value", "row"),
    [
        ({"valueCode": "HA"}, ("ethnic", "", "HA")),
        ({"valueCoding": {"system": "urn:s", "code": "HA"}}, ("ethnic", "urn:s", "HA")),
        ({"valueBoolean": True}, ("ethnic", "", "true")),
    ],
)
def test_an_extension_is_searched_whatever_its_type(value: dict[str, Any], row: tuple[str, str, str]) -> None:
    made = custom.compiled(TREE)
    assert made is not None
    mine, other = {"url": ETHNIC, **value}, {"url": "urn:other", "valueCode": "no"}

    assert extracted(made, {"resourceType": "Patient", "extension": [other, mine]}) == {row}


@pytest.mark.parametrize("changes", [{"status": "draft"}, {"status": "retired"}, {"code": "name"}])
def test_what_is_not_active_or_not_searchable_is_no_parameter(changes: dict[str, Any]) -> None:
    assert custom.compiled({**TREE, **changes}) is None


@given(st.lists(WORDS, max_size=20).map("".join) | st.text(max_size=60))
def test_no_expression_crashes(expression: str) -> None:
    tree = {**TREE, "expression": expression}

    assert (custom.compiled(tree) is None) == bool(custom.problems(tree))


TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


@given(
    st.lists(
        st.builds(
            Custom,
            st.builds(
                Parameter, TEXT, st.sampled_from(["token", "string", "date"]), TEXT, TEXT, st.tuples(TEXT)
            ),
            st.tuples(TEXT),
            st.booleans(),
        )
    )
)
def test_a_set_that_is_written_is_read_again(made: list[Custom]) -> None:
    assert custom.read(custom.write(made)) == tuple(made)


def test_nothing_written_is_the_empty_set() -> None:
    assert custom.read(b"") == ()


def test_a_registry_knows_active_ones_and_says_which_are_being_built() -> None:
    made = custom.compiled(TREE)
    assert made is not None
    building, active = Registry([made]), Registry([Custom(made.parameter, made.base, is_active=True)])

    assert active.resolve("Patient", "ethnic") == made.parameter
    assert "ethnic" not in building.parameters("Patient")
    assert building.custom("Patient") == (made.parameter,)
    with pytest.raises(UnknownParameter, match="being built"):
        building.resolve("Patient", "ethnic")
    with pytest.raises(UnknownParameter, match="knows no"):
        active.resolve("Observation", "ethnic")
    assert R4.parameters("Patient").keys() == building.parameters("Patient").keys()
