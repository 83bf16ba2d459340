"""Entries and frames: what is written is what is read, and nothing else is."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.audit.chain import Broken, Chain, frames, hash_of, opened, segment_key
from fhir_server.audit.entry import Entry, Undecodable, decode, encode
from fhir_server.crypto.suites import SUITES, Sealer
from tests.audit.world import entries

SUITE_NAMES = ("standard", "guomi")


def chain(suite: str) -> Chain:
    return Chain(hash_of(suite), hash_of(suite)(b"", b"header"))


def sealer(suite: str, salt: bytes = b"salt") -> Sealer:
    return SUITES[suite].sealer(segment_key(SUITES[suite], bytes(32), salt))


def sealed(suite: str, texts: list[bytes]) -> bytes:
    made = chain(suite)
    return b"".join(made.seal(sealer(suite), text) for text in texts)


@given(entries)
def test_an_entry_comes_back_as_it_was_written(entry: Entry) -> None:
    assert decode(encode(entry)) == entry


@given(st.binary(max_size=60))
def test_what_is_no_entry_is_undecodable_and_nothing_else(data: bytes) -> None:
    with suppress(Undecodable):
        assert decode(encode(decode(data)))


@given(entries)
def test_an_entry_from_before_the_newest_fields_still_reads(entry: Entry) -> None:
    old = msgspec.msgpack.encode(msgspec.msgpack.decode(encode(entry))[:6])

    assert decode(old).agent == entry.agent


@pytest.mark.parametrize("suite", SUITE_NAMES)
@given(texts=st.lists(st.binary(max_size=40), max_size=6))
def test_a_chain_comes_back_as_it_was_sealed(suite: str, texts: list[bytes]) -> None:
    assert [text for _, text in opened(chain(suite), sealer(suite), sealed(suite, texts))] == texts


@given(texts=st.lists(st.binary(max_size=20), min_size=1, max_size=4), data=st.data())
def test_a_changed_bit_breaks_the_chain_there_and_not_before(texts: list[bytes], data: st.DataObject) -> None:
    whole = bytearray(sealed("standard", texts))
    bit = data.draw(st.integers(0, len(whole) * 8 - 1))
    ends = [end for end, _ in frames(bytes(whole))]
    whole[bit // 8] ^= 1 << bit % 8

    read: list[bytes] = []
    with pytest.raises(Broken) as broken:
        read.extend(text for _, text in opened(chain("standard"), sealer("standard"), bytes(whole)))

    hit = sum(end <= bit // 8 for end in ends)
    assert broken.value.number == hit
    assert read == texts[:hit]


@given(texts=st.lists(st.binary(min_size=1, max_size=9), min_size=2, max_size=5, unique=True), data=st.data())
def test_frames_in_another_order_do_not_follow(texts: list[bytes], data: st.DataObject) -> None:
    whole = sealed("standard", texts)
    ends = [0, *(end for end, _ in frames(whole))]
    parts = [whole[a:b] for a, b in pairwise(ends)]
    moved = data.draw(st.permutations(parts).filter(lambda order: order != parts))

    with pytest.raises(Broken):
        list(opened(chain("standard"), sealer("standard"), b"".join(moved)))


def test_a_frame_of_another_segment_does_not_open() -> None:
    with pytest.raises(Broken):
        list(opened(chain("standard"), sealer("standard", b"other"), sealed("standard", [b"text"])))


def test_without_a_key_the_hashes_can_still_be_followed() -> None:
    made, followed = chain("standard"), chain("standard")
    data = made.seal(sealer("standard"), b"one") + made.seal(sealer("standard"), b"two")
    for _, frame in frames(data):
        followed.follow(frame)

    assert followed.last == made.last
