"""Identities: joined keys come apart, urn:uuids follow RFC 4122, conditional addresses are read back."""

from __future__ import annotations

from uuid import UUID, uuid5

from hypothesis import given
from hypothesis import strategies as st

from mappings.engine import ids

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@given(st.lists(_TEXT, min_size=1, max_size=4))
def test_a_joined_key_comes_apart_again(values: list[str]) -> None:
    assert ids.split(ids.join(tuple(values)), len(values)) == tuple(values)


def test_a_key_of_another_number_of_parts_is_no_key() -> None:
    assert ids.split("a/b/c", 2) is None
    assert ids.split("a", 2) is None
    assert ids.split("a/b", 1) == ("a/b",)


@given(_TEXT, _TEXT)
def test_a_full_url_is_a_version_5_uuid_of_the_identity(system: str, value: str) -> None:
    namespace = UUID("5f2f3a56-6f0b-5c39-9b9f-0d5f0f6c9d3e")

    assert (
        ids.full_url("Patient", system, value) == f"urn:uuid:{uuid5(namespace, f'Patient|{system}|{value}')}"
    )


@given(_TEXT, _TEXT)
def test_a_conditional_address_tells_its_identity_again(system: str, value: str) -> None:
    assert ids.parse_condition(ids.condition("Patient", system, value)) == ("Patient", system, value)


def test_what_is_not_asked_by_identifier_tells_no_identity() -> None:
    for reference in (
        "Patient/1",
        "urn:uuid:x",
        "Patient?name=x",
        "Patient?identifier=a|b&x=y",
        "Patient?identifier=ab",
    ):
        assert ids.parse_condition(reference) is None
    found = ids.parse_condition("Patient?_has:Encounter:patient:identifier=a%7Cb")
    assert found == ("Patient", "a", "b")
