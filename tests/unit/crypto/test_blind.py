"""The blind index: equal values meet, common beginnings stay common, nothing else does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fhir_server.crypto.blind import CHUNK_BYTES, PREFIX_CHARACTERS, BlindIndex, following
from fhir_server.crypto.suites import SUITES

BLIND = BlindIndex(SUITES["standard"].digest(bytes(32)))
OTHER = BlindIndex(SUITES["standard"].digest(bytes(31) + b"\1"))
TEXTS = st.text(alphabet="ab张İ ", max_size=PREFIX_CHARACTERS + 4)


@given(text=TEXTS, start=TEXTS)
def test_a_key_begins_with_the_key_of_every_beginning_and_of_nothing_else(text: str, start: str) -> None:
    short = start[:PREFIX_CHARACTERS]

    assert BLIND.prefix(text).startswith(BLIND.prefix(short)) == text.startswith(short)


@given(text=TEXTS, other=TEXTS)
def test_keys_are_equal_when_texts_are_however_long(text: str, other: str) -> None:
    assert (BLIND.prefix(text) == BLIND.prefix(other)) == (text == other)


@given(text=st.text(alphabet="ab", min_size=1, max_size=70), tail=st.binary(max_size=8))
def test_the_range_of_a_beginning_holds_all_keys_that_begin_so(text: str, tail: bytes) -> None:
    least = BLIND.prefix(text[:PREFIX_CHARACTERS])
    beyond = following(least)

    assert least <= least + tail
    assert beyond is None or (least + tail < beyond and not beyond.startswith(least))


def test_following_carries_over_full_bytes() -> None:
    assert following(b"a\xff\xff") == b"b"
    assert following(b"\xff\xff") is None
    assert following(b"") is None


def test_a_character_costs_its_chunk_and_the_rest_one_digest() -> None:
    assert len(BLIND.prefix("abc")) == 3 * CHUNK_BYTES
    assert len(BLIND.prefix("a" * 500)) == PREFIX_CHARACTERS * CHUNK_BYTES + 8


def test_the_same_letter_looks_different_after_different_beginnings() -> None:
    after_a, after_b = BLIND.prefix("ax")[CHUNK_BYTES:], BLIND.prefix("bx")[CHUNK_BYTES:]

    assert after_a != after_b


@given(text=st.text(max_size=30))
def test_kinds_and_keys_never_meet(text: str) -> None:
    kinds = [BLIND.code(text), BLIND.system(text), BLIND.target(text), BLIND.text(text)]

    assert len(set(kinds)) == len(kinds)
    assert all(-(2**63) <= digest < 2**63 for digest in kinds)
    assert BLIND.code(text) != OTHER.code(text)
    assert BLIND.code(text) == BLIND._code(text)


def test_caches_are_bounded() -> None:
    for cached in (BLIND.code, BLIND.system, BLIND.target, BLIND.text, BLIND.prefix):
        assert cached.cache_info().maxsize is not None
