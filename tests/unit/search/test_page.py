"""Page links. https://hl7.org/fhir/R4/http.html#paging"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.faults import Fault, Kind
from fhir_server.search.page import Cursor, seal, unseal
from fhir_server.search.query import Position

KEY, SCOPE, SEEN = b"k" * 32, "search/Patient", b"v" * 16
CURSOR = Cursor((("name", "张"), ("_sort", "name")), Position(("zhang", 1, 2.5, None), 7))
TOKEN = seal(KEY, SCOPE, SEEN, CURSOR)
TEXT = st.text(st.characters(codec="utf-8"))


def refusal(key: bytes, scope: str, seen: bytes, token: str) -> Fault:
    with pytest.raises(Fault) as caught:
        unseal(key, scope, seen, token)
    return caught.value


@given(
    st.lists(st.tuples(TEXT, TEXT)).map(tuple),
    st.lists(st.none() | TEXT | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)).map(tuple),
    st.integers(0, 2**63 - 1),
)
def test_a_token_gives_back_what_was_sealed(
    parameters: tuple[tuple[str, str], ...], keys: tuple[int | float | str | None, ...], tie: int
) -> None:
    cursor = Cursor(parameters, Position(keys, tie))

    found = unseal(KEY, SCOPE, SEEN, seal(KEY, SCOPE, SEEN, cursor))

    assert found == cursor
    assert [type(key) for key in found.position.keys] == [type(key) for key in keys]


def test_a_token_is_safe_in_a_url_and_shows_nothing() -> None:
    assert TOKEN.replace("-", "").replace("_", "").isalnum()
    assert "zhang" not in TOKEN
    assert seal(KEY, SCOPE, SEEN, CURSOR) == TOKEN


def test_a_token_of_another_key_search_or_caller_is_not_found() -> None:
    assert refusal(b"x" * 32, SCOPE, SEEN, TOKEN).kind is Kind.NOT_FOUND
    assert refusal(KEY, "search/Observation", SEEN, TOKEN).kind is Kind.NOT_FOUND
    assert refusal(KEY, SCOPE, b"w" * 16, TOKEN).kind is Kind.NOT_FOUND


@given(st.integers(0, len(TOKEN) - 1), st.characters())
def test_no_character_of_a_token_can_be_changed(at: int, character: str) -> None:
    changed = TOKEN[:at] + character + TOKEN[at + 1 :]

    if changed != TOKEN:
        assert refusal(KEY, SCOPE, SEEN, changed).kind is Kind.NOT_FOUND


@given(st.text(max_size=100))
def test_any_other_text_is_not_found(token: str) -> None:
    assert refusal(KEY, SCOPE, SEEN, token).kind is Kind.NOT_FOUND
