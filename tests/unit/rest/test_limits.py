"""Bodies are read whole, unzipped and limited, however they arrive."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.faults import Fault, Kind
from fhir_server.rest.limits import Disconnected, read_body

LIMIT = 200


def read(chunks: list[bytes], fields: dict[bytes, bytes], *, left: bool = False) -> bytes:
    """Read a body that arrives in ``chunks``; ``left``: the client goes before the last one."""
    messages: list[Any] = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.disconnect"} if left else {"type": "http.request"})

    async def receive() -> Any:
        return messages.pop(0)

    return asyncio.run(read_body(receive, fields, LIMIT))


def pieces(body: bytes, cuts: list[int]) -> list[bytes]:
    """Cut ``body`` at places given as any numbers."""
    places = sorted({cut % (len(body) + 1) for cut in cuts})
    return [body[start:end] for start, end in zip([0, *places], [*places, len(body)], strict=True)]


CUTS = st.lists(st.integers(0, 1000), max_size=5)


@given(st.binary(max_size=2 * LIMIT), CUTS, st.booleans())
def test_any_body_in_any_pieces_comes_out_whole_or_is_too_large(
    body: bytes, cuts: list[int], zipped: bool
) -> None:
    sent = gzip.compress(body, mtime=0) if zipped else body
    fields = {b"content-encoding": b"GZIP"} if zipped else {}

    try:
        received = read(pieces(sent, cuts), fields)
    except Fault as fault:
        assert fault.kind is Kind.TOO_LARGE  # noqa: PT017 half of the bodies are
        assert len(body) > LIMIT or len(sent) > LIMIT
    else:
        assert received == body
        assert len(body) <= LIMIT


@given(st.binary(min_size=1, max_size=LIMIT), CUTS)
def test_any_bytes_that_say_they_are_gzip_are_read_or_refused(body: bytes, cuts: list[int]) -> None:
    try:
        read(pieces(body, cuts), {b"content-encoding": b"gzip"})
    except Fault as fault:
        assert fault.kind in {Kind.SYNTAX, Kind.TOO_LARGE}  # noqa: PT017 nearly all are refused


@given(st.integers(1, 10_000), CUTS)
def test_a_bomb_is_refused_wherever_it_is_cut(size: int, cuts: list[int]) -> None:
    bomb = gzip.compress(b" " * (LIMIT + size), mtime=0)

    with pytest.raises(Fault) as refused:
        read(pieces(bomb, cuts), {b"content-encoding": b"gzip"})

    assert refused.value.kind is Kind.TOO_LARGE


def test_a_client_that_leaves_is_noticed() -> None:
    with pytest.raises(Disconnected):
        read([b"{"], {}, left=True)


@pytest.mark.parametrize("length", [b"", b"-1", b"1.5", b"1_0", b"9" * 19, "１".encode()])
def test_a_content_length_that_is_no_number_is_refused(length: bytes) -> None:
    with pytest.raises(Fault) as refused:
        read([b"{}"], {b"content-length": length})

    assert refused.value.kind is Kind.BAD_REQUEST
