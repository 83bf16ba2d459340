"""Parts of resources: what is kept, what goes, and the mark that says it is a part."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings

from fhir_server.resources.subset import SUBSETTED, elements, summary
from fhir_server.resources.types import definitions
from tests.strategies import resources


def observation() -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": "1",
        "meta": {"versionId": "2"},
        "language": "zh",
        "text": {"status": "generated", "div": "<div/>"},
        "modifierExtension": [{"url": "u"}],
        "identifier": [{"value": "x"}],
        "status": "final",
        "_status": {"id": "s"},
        "code": {"text": "c"},
        "valueQuantity": {"value": 1},
        "note": [{"text": "n"}],
        "referenceRange": [{"text": "r"}],
        "component": [{"code": {"text": "c"}, "dataAbsentReason": {"text": "d"}, "valueString": "v"}],
    }


def marked(part: dict[str, Any]) -> list[str]:
    assert part["meta"] == {"versionId": "2", "tag": [SUBSETTED]}
    return list(part)


def test_elements_keeps_those_named_and_what_must_not_be_missing() -> None:
    part = elements(observation(), ["note", "value"])

    assert marked(part) == [
        "resourceType",
        "id",
        "meta",
        "modifierExtension",
        "status",
        "_status",
        "code",
        "valueQuantity",
        "note",
    ]


def test_elements_takes_names_with_their_type_and_further_steps() -> None:
    assert "note" in elements(observation(), ["Observation.note.text"])
    assert "note" not in elements(observation(), ["Patient.note", "nothing", ""])


def test_summary_true_keeps_marked_elements_also_within_backbones() -> None:
    part = summary(observation(), "true")

    assert {"text", "note", "referenceRange", "language"}.isdisjoint(marked(part))
    assert {"identifier", "status", "code", "valueQuantity"} <= part.keys()
    assert part["component"] == [{"code": {"text": "c"}, "valueString": "v"}]
    assert part["identifier"] == [{"value": "x"}]


def test_summary_text_keeps_text_and_what_is_mandatory() -> None:
    assert set(marked(summary(observation(), "text"))) == {
        "resourceType",
        "id",
        "meta",
        "text",
        "modifierExtension",
        "status",
        "_status",
        "code",
    }


def test_summary_data_takes_the_text_away_and_nothing_else() -> None:
    assert set(observation()) - set(marked(summary(observation(), "data"))) == {"text"}


def test_summary_false_is_the_whole_unmarked() -> None:
    assert summary(observation(), "false") == observation()


def test_marks_once_and_keeps_other_tags() -> None:
    tree = {"resourceType": "Basic", "id": "1", "meta": {"tag": [{"code": "SUBSETTED"}]}}

    once = elements(tree, [])
    assert once["meta"]["tag"] == [{"code": "SUBSETTED"}, SUBSETTED]
    assert elements(once, []) == once


def test_marks_a_resource_without_meta_after_its_id() -> None:
    part = elements({"resourceType": "Basic", "id": "1", "code": {"text": "x"}}, [])

    assert list(part) == ["resourceType", "id", "meta", "code"]


@pytest.mark.parametrize("mode", ["true", "text", "data"])
@settings(max_examples=40, deadline=None)
@given(tree=resources())
def test_a_part_has_all_that_is_mandatory_and_leaves_the_whole_alone(mode: Any, tree: dict[str, Any]) -> None:
    before = copy.deepcopy(tree)

    part = summary(tree, mode)

    assert tree == before
    mandatory = {
        key
        for key, (element, _) in definitions()[tree["resourceType"]].properties.items()
        if element.min and (key in tree or f"_{key}" in tree)
    }
    assert all(part.get(key) == tree.get(key) or mode == "true" for key in mandatory)
    assert all(key in part or f"_{key}" in part for key in mandatory)
    assert {} not in part.values()
