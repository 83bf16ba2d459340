"""The words of texts, for _text and _content. https://hl7.org/fhir/R4/search.html#text"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.search.extract import Extractor
from fhir_server.search.words import content, narrative, sought, words
from tests.unit.search.asking import ZONE

CHINESE = st.text("糖尿病高血压二型的", max_size=6)
TEXTS = st.lists(CHINESE | st.text(max_size=6) | st.just(" "), max_size=5).map("".join)


def test_latin_words_are_folded_and_chinese_is_cut_into_characters_and_pairs() -> None:
    assert words("Müller's 2型糖尿病") == {
        "muller", "s", "2", "型", "糖", "尿", "病", "型糖", "糖尿", "尿病",
    }  # fmt: skip


def test_a_chinese_term_is_sought_by_its_pairs_and_one_character_by_itself() -> None:
    assert sought("糖尿病") == {"糖尿", "尿病"}
    assert sought("病") == {"病"}
    assert sought("Type 2") == {"type", "2"}


@given(TEXTS)
def test_a_text_is_found_by_itself(text: str) -> None:
    assert sought(text) <= words(text)


@given(TEXTS, CHINESE, TEXTS)
def test_a_chinese_term_is_found_wherever_it_stands(before: str, term: str, after: str) -> None:
    assert sought(term) <= words(f"{before}{term}{after}")


@pytest.mark.parametrize("text", ["", " ", "!?,。", "<>"])
def test_signs_are_no_words(text: str) -> None:
    assert words(text) == sought(text) == frozenset()


def test_a_narrative_is_read_as_it_is_shown() -> None:
    div = '<div xmlns="x" class="hidden"><p>one</p><p>tw<b>o</b> &lt;three&gt; &amp;糖尿</p></div>'

    assert narrative({"text": {"div": div}}) == {"one", "two", "three", "糖", "尿", "糖尿"}


@pytest.mark.parametrize("text", [None, {}, {"div": 5}, {"div": "<p"}, {"div": "</x>&#xD800;"}, []])
def test_any_narrative_is_read(text: Any) -> None:
    assert isinstance(narrative({"text": text}), frozenset)


def test_the_content_is_what_a_person_would_read() -> None:
    tree = {
        "resourceType": "Patient",
        "name": [{"family": "Li"}],
        "_birthDate": {"extension": [{"url": "http://secret", "valueString": "spring"}]},
        "identifier": [{"system": "http://hidden", "value": "A7"}],
        "photo": [{"data": "QUJD"}],
        "contained": [{"resourceType": "Basic", "code": {"text": "inner"}}],
        "text": {"status": "generated", "div": "<div>shown</div>"},
    }

    assert content(tree) == {"li", "spring", "a7", "inner", "generated", "shown"}


def test_words_are_extracted_only_when_the_server_keeps_them() -> None:
    tree = {"resourceType": "Basic", "code": {"text": "inner"}, "text": {"div": "<div>shown</div>"}}

    assert Extractor(ZONE).extract(tree).words == []
    assert sorted(Extractor(ZONE, full_text=True).extract(tree).words) == [
        ("_content", "inner"), ("_content", "shown"), ("_text", "shown"),
    ]  # fmt: skip
