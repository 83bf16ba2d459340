"""Conditions and preferences in header fields. https://hl7.org/fhir/R4/http.html#concurrency"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.clock import http_date
from fhir_server.faults import Fault, Kind
from fhir_server.rest.preconditions import Preferences, criteria, etags, modified_since, preferences


@pytest.mark.parametrize(
    ("field", "versions"),
    [(b'W/"3"', "3"), (b'"3"', "3"), (b' w/"3" ', "3"), (b"*", "*"), (b'W/"3", "4",W/"a-b.C"', "3,4,a-b.C")],
)
def test_reads_entity_tags(field: bytes, versions: str) -> None:
    assert etags(field) == versions


@pytest.mark.parametrize(
    "field", [b"", b"3", b'W/3"', b'W/""', b'*, W/"3"', b'W/"3",', b'W/"3\n"', b'W/"3" W/"4"']
)
def test_refuses_malformed_entity_tags(field: bytes) -> None:
    with pytest.raises(Fault) as refused:
        etags(field)

    assert refused.value.kind is Kind.BAD_REQUEST


@given(st.integers(1, 10**18))
def test_reads_back_every_version_it_writes(version: int) -> None:
    assert etags(b'W/"%d"' % version) == str(version)


@given(st.integers(0, 4_000_000_000))
def test_reads_back_every_http_date_it_writes(second: int) -> None:
    assert modified_since(http_date(second * 1000).encode()) == second * 1000


@pytest.mark.parametrize(
    "field", [b"", b"yesterday", b"2026-01-01", b"Tue, 99 Nov 2023 22:13:20 GMT", b"\xff"]
)
def test_ignores_what_is_no_http_date(field: bytes) -> None:
    assert modified_since(field) is None


def test_obsolete_dates_without_a_zone_are_gmt() -> None:
    assert modified_since(b"Tue Nov 14 22:13:20 2023") == 1_700_000_000_000


@pytest.mark.parametrize(
    ("field", "text"),
    [
        (b"identifier=http://x|1", "identifier=http://x|1"),
        (b"?identifier=1", "identifier=1"),
        (b"Patient?identifier=1", "identifier=1"),
        (b"identifier=a?b", "identifier=a?b"),
    ],
)
def test_reads_criteria_of_a_conditional_create(field: bytes, text: str) -> None:
    assert criteria(field) == text


@pytest.mark.parametrize("field", [b"", b" ", b"?", "name=张".encode()])
def test_refuses_empty_and_unencoded_criteria(field: bytes) -> None:
    with pytest.raises(Fault) as refused:
        criteria(field)

    assert refused.value.kind is Kind.BAD_REQUEST


@pytest.mark.parametrize(
    ("field", "wish"),
    [
        (b"return=minimal", Preferences("minimal")),
        (b"return=representation, handling=strict", Preferences("representation", True)),
        (b"handling=lenient; return=OperationOutcome", Preferences("OperationOutcome", False)),
        (b'RETURN="minimal"', Preferences("minimal")),
        (b"return=minimal, return=representation", Preferences("minimal")),
        (b"respond-async", Preferences()),
        (b"return=everything, handling=odd, wait=10", Preferences()),
        (b"", Preferences()),
    ],
)
def test_reads_preferences_and_ignores_unknown_ones(field: bytes, wish: Preferences) -> None:
    assert preferences(field) == wish


@given(st.binary(max_size=60))
def test_any_header_is_understood_or_a_fault(field: bytes) -> None:
    preferences(field)
    modified_since(field)
    for reader in (etags, criteria):
        try:
            assert reader(field)
        except Fault as fault:
            assert fault.kind is Kind.BAD_REQUEST  # noqa: PT017 most are refused
