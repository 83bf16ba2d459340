"""Strict percent-decoding of paths, queries and forms."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.faults import Fault, Kind
from fhir_server.rest.percent import MAX_PARAMETERS, decode_segment, parse_query

WORDS = st.text(st.characters(codec="utf-8"), max_size=20)


@given(st.lists(st.tuples(WORDS.filter(bool), WORDS), max_size=10))
def test_reads_back_what_a_browser_encodes(pairs: list[tuple[str, str]]) -> None:
    assert parse_query(urlencode(pairs).encode()) == tuple(pairs)


def test_keeps_repeated_names_in_order() -> None:
    assert parse_query(b"date=ge2020&name=%E5%BC%A0&date=lt2021") == (
        ("date", "ge2020"),
        ("name", "张"),
        ("date", "lt2021"),
    )


def test_a_name_without_a_value_has_an_empty_one_and_empty_pieces_are_skipped() -> None:
    assert parse_query(b"&_summary&&a=b=c&") == (("_summary", ""), ("a", "b=c"))


@pytest.mark.parametrize("raw", [b"name=%", b"name=%4", b"name=%GG", b"%zz=1", b"name=%ff", b"name=\xff"])
def test_refuses_what_cannot_be_decoded(raw: bytes) -> None:
    with pytest.raises(Fault) as refused:
        parse_query(raw)

    assert refused.value.kind is Kind.BAD_REQUEST


def test_takes_the_most_parameters_and_refuses_one_more() -> None:
    most = b"&".join([b"a=1"] * MAX_PARAMETERS)

    assert len(parse_query(most)) == MAX_PARAMETERS
    with pytest.raises(Fault) as refused:
        parse_query(most + b"&a=1")
    assert refused.value.kind is Kind.TOO_LARGE


@given(st.binary(max_size=60))
def test_any_bytes_are_parameters_or_a_fault(raw: bytes) -> None:
    try:
        pairs = parse_query(raw)
    except Fault:
        return
    for name, value in pairs:
        (name + value).encode("utf-8")


@given(st.text(max_size=30))
def test_any_segment_is_decoded_or_a_fault(raw: str) -> None:
    try:
        assert "/" not in decode_segment(raw)
    except Fault as fault:
        assert fault.kind is Kind.BAD_REQUEST  # noqa: PT017 decoding may well succeed
