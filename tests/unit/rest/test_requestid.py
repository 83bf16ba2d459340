"""Every request has an id: the client's if it is harmless, else one that nobody can guess."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.rest.requestid import RequestIds


def test_ids_are_128_bits_and_differ() -> None:
    ids = RequestIds()
    made = [ids.of({}) for _ in range(1000)]

    assert len(set(made)) == 1000
    assert all(len(bytes.fromhex(each)) == 16 for each in made)


@given(st.from_regex(rb"[A-Za-z0-9\-._]{1,64}", fullmatch=True))
def test_a_harmless_id_is_the_clients_own(given_id: bytes) -> None:
    assert RequestIds().of({b"x-request-id": given_id}) == given_id.decode()


@pytest.mark.parametrize("given_id", [b"", b"a" * 65, b"a b", b"a\n", "张".encode(), b'"', b"a/b"])
def test_any_other_id_is_replaced(given_id: bytes) -> None:
    assert RequestIds().of({b"x-request-id": given_id}).encode() != given_id
