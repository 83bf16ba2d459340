"""Whatever a resource holds is found by asking for it: extraction, parsing and meaning agree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.search.extract import Extractor
from fhir_server.search.fold import fold
from fhir_server.search.match import Catalog
from fhir_server.search.sounds import spoken
from fhir_server.search.values import Values
from fhir_server.search.visibility import Visibility
from tests.unit.search.asking import ZONE, where
from tests.unit.search.trees import resources

EXTRACTOR = Extractor(ZONE, "http://me/fhir", full_text=True)
ALL = Visibility.everything("test")
Question = tuple[str, str]


def escaped(text: str) -> str:
    for sign in "\\,|$":
        text = text.replace(sign, "\\" + sign)
    return text


def questions(found: Values) -> Iterator[Question]:
    """Yield a name and value for each row that can be asked for as it stands."""
    yield from _of_tokens(found)
    yield from _of_strings(found)
    for param, target in found.references:
        if target.count("/") == 1 and ":" not in target:
            yield param, escaped(target)
    for param, uri in found.uris:
        yield param, escaped(uri)
    for param, latitude, longitude in found.positions:
        yield param, f"{latitude!r}|{longitude!r}|1|m"
    for param, word in found.words:
        yield param, escaped(word)


def _of_tokens(found: Values) -> Iterator[Question]:
    for param, system, code in found.tokens:
        parts = code.split("|", 1) if param.endswith(":of-type") else [code]
        if all(parts) and param != "_id":
            yield param, "|".join(map(escaped, (system, *parts)))
    for param, components in found.composites:
        if all(rows[0][0] == "token" and rows[0][2] for rows in components):
            yield param, "$".join("|".join(map(escaped, rows[0][1:])) for rows in components)


def _of_strings(found: Values) -> Iterator[Question]:
    for param, text in found.strings:
        if fold(text):
            # A sound is asked for by its parameter, without the suffix.
            yield param.removesuffix(":sound"), escaped(text)
        if fold(text) and ":" not in param:
            yield f"{param}:exact", escaped(text)
            yield f"{param}:contains", escaped(text[1:] if fold(text[1:]) else text)


def holds(type_: str, values: Values, question: Question) -> bool:
    catalog = Catalog([(type_, "x", values)])
    return catalog.matching(ALL, type_, where(type_, *question, full_text=True)) == ["x"]


@settings(max_examples=80)
@given(st.sampled_from(sorted(RESOURCE_TYPES)).flatmap(resources))
def test_a_resource_is_found_by_all_that_it_holds(tree: dict[str, Any]) -> None:
    type_ = tree["resourceType"]
    values = EXTRACTOR.extract(tree)
    asked = dict.fromkeys(each for each in questions(values) if each[1].strip())

    assert [each for each in asked if not holds(type_, values, each)] == []


@settings(max_examples=50)
@given(st.text("张王李单曾赵欧阳伟娜重", min_size=1, max_size=3), st.text("伟娜重乐芳", max_size=2))
def test_a_chinese_name_is_found_by_every_way_it_sounds(family: str, given_name: str) -> None:
    tree = {"resourceType": "Patient", "name": [{"family": family, "given": [given_name]}]}
    values = EXTRACTOR.extract(tree)
    sounds = [text for param, text in values.strings if param == "name:sound"]

    assert sounds
    assert all(spoken(sound) == sound and holds("Patient", values, ("name", sound)) for sound in sounds)
    assert not holds("Patient", values, ("name", "qqq"))
