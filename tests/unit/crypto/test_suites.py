"""Both suites: what is sealed opens, and nothing else does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.crypto.suites import DIGEST_BYTES, SUITES, TAG_BYTES, Forged

KEYS = {name: bytes(range(suite.data_key_bytes)) for name, suite in SUITES.items()}
NONCE = bytes(12)
both = pytest.mark.parametrize("name", sorted(SUITES))


@both
@given(plain=st.binary(max_size=300), bound=st.binary(max_size=40), nonce=st.binary(min_size=12, max_size=12))
def test_opens_what_it_sealed(name: str, plain: bytes, bound: bytes, nonce: bytes) -> None:
    sealer = SUITES[name].sealer(KEYS[name])

    sealed = sealer.seal(nonce, plain, bound)

    assert len(sealed) == len(plain) + TAG_BYTES
    assert sealer.open(nonce, sealed, bound) == plain


@both
@given(data=st.data())
def test_refuses_altered_bytes(name: str, data: st.DataObject) -> None:
    sealer = SUITES[name].sealer(KEYS[name])
    sealed = bytearray(sealer.seal(NONCE, b"a record", b"Patient/1"))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))

    with pytest.raises(Forged):
        sealer.open(NONCE, bytes(sealed), b"Patient/1")


@both
def test_refuses_another_key_other_data_and_stumps(name: str) -> None:
    suite = SUITES[name]
    sealer, other = suite.sealer(KEYS[name]), suite.sealer(bytes(suite.data_key_bytes))
    sealed = sealer.seal(NONCE, b"a record", b"Patient/1")

    wrong = ((other, b"Patient/1", sealed), (sealer, b"Patient/2", sealed), (sealer, b"", b"x"))
    for opener, bound, stump in wrong:
        with pytest.raises(Forged):
            opener.open(NONCE, stump, bound)


@both
@given(data=st.binary(max_size=100))
def test_digests_depend_on_key_and_data_alone(name: str, data: bytes) -> None:
    suite = SUITES[name]
    digest, again, other = (suite.digest(bytes([seed]) * suite.index_key_bytes) for seed in (1, 1, 2))

    assert digest(data) == again(data) == digest(data)
    assert len(digest(data)) == DIGEST_BYTES
    assert digest(data) != other(data)
    assert digest(data) != digest(data + b"x")


def test_guomi_is_the_published_algorithm() -> None:
    """RFC 8998 appendix A.1: SM4-GCM test vector."""
    key = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
    nonce = bytes.fromhex("00001234567800000000ABCD")
    bound = bytes.fromhex("FEEDFACEDEADBEEFFEEDFACEDEADBEEFABADDAD2")
    words = ("AA" * 8, "BB" * 8, "CC" * 8, "DD" * 8, "EE" * 8, "FF" * 8, "EE" * 8, "AA" * 8)
    plain = bytes.fromhex("".join(words))

    sealed = SUITES["guomi"].sealer(key).seal(nonce, plain, bound)

    assert sealed[-16:].hex() == "83de3541e4c2b58177e065a9bf7b62ec"
