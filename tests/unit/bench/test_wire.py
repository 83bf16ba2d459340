"""The load generator reads replies however they are cut, and refuses what is none."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.wire import NotHttpError, Reply, ReplyReader, request

_BODIES = st.binary(max_size=300)


def _fixed(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d Some Reason\r\nServer: x\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


def _chunked(status: int, chunks: list[bytes]) -> bytes:
    head = b"HTTP/1.1 %d OK\r\ntransfer-encoding: chunked\r\n\r\n" % status
    return head + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks if chunk) + b"0\r\n\r\n"


def _feed(reader: ReplyReader, data: bytes, cuts: list[int]) -> list[Reply | None]:
    edges = [0, *sorted({cut % len(data) for cut in cuts} - {0}), len(data)]
    return [reader.feed(data[start:end]) for start, end in itertools.pairwise(edges)]


@given(st.integers(200, 599).filter(lambda s: s not in (204, 304)), _BODIES, st.lists(st.integers(0, 2000)))
def test_reads_a_reply_of_known_length_wherever_it_is_cut(status: int, body: bytes, cuts: list[int]) -> None:
    *before, last = _feed(ReplyReader(), _fixed(status, body), cuts)

    assert last == Reply(status, body)
    assert before == [None] * len(before)


@given(st.lists(_BODIES, max_size=5), st.lists(st.integers(0, 2000)))
def test_reads_a_chunked_reply_wherever_it_is_cut(chunks: list[bytes], cuts: list[int]) -> None:
    *before, last = _feed(ReplyReader(), _chunked(200, chunks), cuts)

    assert last == Reply(200, b"".join(chunks))
    assert before == [None] * len(before)


@given(st.lists(_BODIES, min_size=2, max_size=4))
def test_reads_one_reply_after_another_on_a_connection(bodies: list[bytes]) -> None:
    reader = ReplyReader()

    assert [reader.feed(_fixed(200, body)) for body in bodies] == [Reply(200, body) for body in bodies]


def test_reads_a_reply_that_never_has_a_body() -> None:
    assert ReplyReader().feed(b"HTTP/1.1 204 No Content\r\nserver: x\r\n\r\n") == Reply(204, b"")


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-server\r\n\r\n",
        b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nserver: says no length\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nmore",
        b"x" * 70_000,
    ],
)
def test_refuses_what_is_no_reply(data: bytes) -> None:
    with pytest.raises(NotHttpError):
        ReplyReader().feed(data)


@given(st.binary(max_size=200))
def test_either_waits_or_refuses_whatever_bytes_come(data: bytes) -> None:
    try:
        assert ReplyReader().feed(data) is None
    except NotHttpError:
        assert b"\r\n\r\n" in data


def test_a_request_with_a_body_says_its_length_and_one_without_does_not() -> None:
    post = request("POST", "/fhir", "127.0.0.1:1", "é".encode())
    get = request("GET", "/fhir/Patient/1", "127.0.0.1:1")

    assert post.startswith(b"POST /fhir HTTP/1.1\r\nHost: 127.0.0.1:1\r\n")
    assert b"Content-Length: 2\r\n" in post
    assert post.endswith("\r\n\r\né".encode())
    assert b"Content-Length" not in get
    assert get.endswith(b"\r\n\r\n")
