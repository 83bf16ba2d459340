"""Compartments: membership by search parameter, as the definitions say."""

from __future__ import annotations

import pytest

from fhir_server.resources.compartment import member_types, parameters
from fhir_server.resources.types import RESOURCE_TYPES, compartments


def test_tells_the_parameters_that_make_a_member() -> None:
    assert parameters("Patient", "Observation") == ("subject", "performer")
    assert parameters("Patient", "Patient") == ("link",)


def test_tells_none_for_a_type_outside() -> None:
    assert parameters("Patient", "Medication") == ()


def test_never_names_the_placeholder_of_the_definitions() -> None:
    assert parameters("Encounter", "Encounter") == ()
    assert not any("{" in p for c in compartments() for t in RESOURCE_TYPES for p in parameters(c, t))


def test_lists_member_types_with_the_own_type_among_them() -> None:
    types = member_types("Encounter")

    assert {"Encounter", "Observation"} <= set(types)
    assert "Medication" not in types
    assert list(types) == sorted(types)


def test_unknown_compartment_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(KeyError):
        parameters("Medication", "Observation")
