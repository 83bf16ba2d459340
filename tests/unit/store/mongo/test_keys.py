"""Keys of searchable values: equal where they must be, different elsewhere, in order where it counts."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.crypto.blind import BlindIndex
from fhir_server.crypto.suites import SUITES
from fhir_server.faults import Fault, Kind
from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.search.fold import fold
from fhir_server.search.parameters import parameters
from fhir_server.store.mongo import keys as module
from fhir_server.store.mongo.keys import Keys, element, parameter, refuse_collisions, string, strings_from

BLIND = BlindIndex(SUITES["standard"].digest(b"k" * 32))
KEYS = Keys(BLIND)
NUMBERS = st.integers(0, 2**31 - 1)
TEXTS = st.text(max_size=80)


def test_no_two_parameters_of_a_type_have_one_number() -> None:
    for type_ in sorted(RESOURCE_TYPES):
        codes = [*parameters(type_), "_text", "_content", "_contained"]
        modified = [
            f"{code}:{modifier}"
            for code in codes
            for modifier in ("identifier", "of-type", "text", "sound", "below")
        ]
        refuse_collisions(type_, [*codes, *modified])


def test_a_parameter_that_could_not_be_told_from_another_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "parameter", lambda type_, code: len(type_ + code))
    refuse_collisions("Patient", ["ab", "abc", "ab"])

    with pytest.raises(Fault, match="'ab' and 'cd' of Patient") as fault:
        refuse_collisions("Patient", ["ab", "abc", "cd"])

    assert fault.value.kind is Kind.UNPROCESSABLE


def test_numbers_of_parameters_never_change() -> None:
    """They are written into every document: another number would be another parameter."""
    assert parameter("Patient", "name") == 1_331_270_398
    assert parameter("Observation", "code:text") == 1_983_064_002


@given(p=NUMBERS, system=TEXTS, code=TEXTS)
def test_kinds_of_keys_never_meet(p: int, system: str, code: str) -> None:
    digest = BLIND.target(code)
    made = [
        KEYS.code(p, code),
        KEYS.token(p, system, code),
        KEYS.system(p, system),
        KEYS.uri(p, code),
        KEYS.word(p, code),
        KEYS.cell(p, (1, 2, 3)),
        KEYS.text(p, code),
        KEYS.present(p),
        KEYS.reference(p, digest),
        element(p, 9, digest),
        element(p, 10, digest),
    ]

    assert len(set(made)) == len(made)
    assert all(-(2**63) <= key < 2**63 for key in made)


@given(p=NUMBERS, other=NUMBERS, one=st.tuples(TEXTS, TEXTS), two=st.tuples(TEXTS, TEXTS))
def test_a_token_has_the_key_of_no_other(
    p: int, other: int, one: tuple[str, str], two: tuple[str, str]
) -> None:
    assert (KEYS.token(p, *one) == KEYS.token(other, *two)) == ((p, one) == (other, two))
    assert (KEYS.code(p, one[1]) == KEYS.code(other, two[1])) == ((p, one[1]) == (other, two[1]))
    assert (KEYS.system(p, one[0]) == KEYS.system(other, two[0])) == ((p, one[0]) == (other, two[0]))


def test_another_index_key_makes_other_keys() -> None:
    others = Keys(BlindIndex(SUITES["standard"].digest(b"l" * 32)))

    assert KEYS.token(1, "s", "c") == Keys(BLIND).token(1, "s", "c") != others.token(1, "s", "c")


@given(p=NUMBERS, text=TEXTS, start=TEXTS)
def test_strings_that_begin_alike_are_one_range(p: int, text: str, start: str) -> None:
    text, start = fold(text), fold(start)[:64]
    low, high = strings_from(p, BLIND.prefix(start))

    assert (low <= string(p, BLIND.prefix(text)) < high) == text.startswith(start)


@given(p=NUMBERS, prefix=st.binary(max_size=8), rest=st.binary(max_size=8))
def test_the_range_of_a_beginning_ends_before_the_next_parameter(p: int, prefix: bytes, rest: bytes) -> None:
    low, high = strings_from(p, prefix)

    assert low <= string(p, prefix + rest) < high
    assert not low <= string(p + 1, prefix + rest) < high


def test_the_last_of_all_beginnings_has_a_range() -> None:
    low, high = strings_from(7, b"\xff\xff")

    assert low <= string(7, b"\xff\xff\xff") < high <= string(8, b"")


@pytest.mark.parametrize(("one", "two"), list(product(["subject", "patient"], repeat=2)))
def test_a_reference_is_told_by_its_parameter(one: str, two: str) -> None:
    digest = BLIND.target("Patient/p")
    p, q = parameter("Observation", one), parameter("Observation", two)

    assert (KEYS.reference(p, digest) == KEYS.reference(q, digest)) == (one == two)
