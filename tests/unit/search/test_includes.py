"""What a search brings along. https://hl7.org/fhir/R4/search.html#include"""

from __future__ import annotations

import pytest

from fhir_server.faults import Kind
from fhir_server.search.parse import Include
from tests.unit.search.asking import refusal, search


def test_includes_go_forward_back_and_on() -> None:
    found = search(
        "Observation",
        ("_include", "Observation:subject"),
        ("_include", "Observation:subject:Patient"),
        ("_include", "Observation:*"),
        ("_include", "*"),
        ("_include:iterate", "Patient:organization"),
        ("_revinclude", "Provenance:target"),
    )

    assert found.includes == (
        Include("Observation", "subject"),
        Include("Observation", "subject", "Patient"),
        Include("Observation", "*"),
        Include("*", "*"),
        Include("Patient", "organization", iterate=True),
        Include("Provenance", "target", reverse=True),
    )


def test_everything_that_refers_to_the_matches_is_named_by_type() -> None:
    found = search("Patient", ("_revinclude", "*")).includes
    types = {include.type for include in found}

    assert {"Observation", "Encounter", "Provenance"} < types
    assert "Medication" not in types
    assert all(include.reverse and include.param == "*" for include in found)


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("_include", "Patient:nope", Kind.UNSUPPORTED_PARAMETER),
        ("_include", "Patient:name", Kind.BAD_PARAMETER),
        ("_include", "Nope:x", Kind.BAD_PARAMETER),
        ("_include", "Patient", Kind.BAD_PARAMETER),
        ("_include", "Patient:", Kind.BAD_PARAMETER),
        ("_include", "Patient:organization:Patient", Kind.BAD_PARAMETER),
        ("_include", "a:b:c:d", Kind.BAD_PARAMETER),
        ("_include:nope", "Patient:organization", Kind.UNSUPPORTED_PARAMETER),
        ("_revinclude:iterate", "*", Kind.UNSUPPORTED_PARAMETER),
    ],
)
def test_refuses_an_include_of_what_is_no_reference(name: str, value: str, kind: Kind) -> None:
    assert refusal("Patient", (name, value)).kind is kind


def test_an_include_that_starts_elsewhere_is_ignored_aloud() -> None:
    found = search("Patient", ("_include", "Observation:subject"))

    assert (found.includes, len(found.ignored)) == ((), 1)
