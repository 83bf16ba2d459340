"""Folding: what string search does not tell apart, and what it does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.search.fold import fold


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Müller", "muller"),
        ("  Zhang\t\nWei ", "zhang wei"),
        ("ＺＨＡＮＧ", "zhang"),
        ("Straße", "strasse"),
        ("İstanbul", "istanbul"),
        ("張偉", "張偉"),
        ("ﬁne", "fine"),
        ("", ""),
    ],
)
def test_drops_case_accents_width_and_extra_space(text: str, folded: str) -> None:
    assert fold(text) == folded


def test_keeps_different_letters_apart() -> None:
    assert fold("张") != fold("章")
    assert fold("Li") != fold("Lu")


@given(st.text())
def test_folding_twice_changes_nothing_more(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text())
def test_upper_case_folds_like_lower_case(text: str) -> None:
    plain = text.encode("ascii", "ignore").decode()

    assert fold(plain.upper()) == fold(plain.lower())
