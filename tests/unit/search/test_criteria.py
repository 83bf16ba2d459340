"""One criterion: modifiers, chains, reverse chains. https://hl7.org/fhir/R4/search.html#modifiers"""

from __future__ import annotations

import pytest

from fhir_server.faults import Kind
from fhir_server.search.predicate import (
    NOTHING,
    All,
    AnyOf,
    Chain,
    Has,
    IdIn,
    Not,
    Present,
    StringIs,
    StringStarts,
    TokenIs,
    Where,
)
from tests.unit.search.asking import refusal, search, where


def test_repeated_parameters_are_and_and_commas_are_or() -> None:
    found = search("Patient", ("address", "a,b"), ("address", "c")).query.where

    starts = [Where("address", StringStarts(text)) for text in "abc"]
    assert found == All((AnyOf((starts[0], starts[1])), starts[2]))


def test_not_reverses_all_its_values_together() -> None:
    male, female = (Where("gender", TokenIs(None, code)) for code in ("male", "female"))

    assert where("Patient", "gender:not", "male,female") == Not(AnyOf((male, female)))


@pytest.mark.parametrize("modifier", ["text", "nope", "Patient", "identifier"])
def test_refuses_a_modifier_that_it_does_not_know_even_leniently(modifier: str) -> None:
    fault = refusal("Patient", (f"name:{modifier}", "x"), strict=False)

    assert fault.kind is Kind.UNSUPPORTED_PARAMETER


def test_a_logical_reference_is_a_token() -> None:
    assert where("Observation", "subject:identifier", "urn:i|7") == Where(
        "subject:identifier", TokenIs("urn:i", "7")
    )


def test_missing_asks_for_no_value_or_any() -> None:
    present = Where("gender", Present())

    assert where("Patient", "gender:missing", "false") == present
    assert where("Patient", "gender:missing", "true") == Not(present)
    assert where("Patient", "_id:missing", "true") == NOTHING
    assert refusal("Patient", ("gender:missing", "yes")).kind is Kind.BAD_PARAMETER


def test_a_logical_reference_is_not_missing() -> None:
    found = where("Observation", "subject:missing", "false")

    assert found == AnyOf((Where("subject", Present()), Where("subject:identifier", Present())))


def test_ids_are_one_list() -> None:
    assert where("Patient", "_id", "a,b,a") == IdIn(("a", "b"))
    assert where("Patient", "_id:not", "a") == Not(IdIn(("a",)))


def test_a_chain_goes_on_to_every_type_that_knows_the_parameter() -> None:
    inner = Where("name", StringIs("x"))

    found = where("Observation", "subject.name:exact", "x")

    assert isinstance(found, AnyOf)
    assert set(found.items) == {Chain("subject", "Patient", inner), Chain("subject", "Location", inner)}
    assert where("Observation", "subject:Patient.name:exact", "x") == Chain("subject", "Patient", inner)


def test_chains_and_reverse_chains_nest() -> None:
    name = Where("name", StringIs("x"))

    assert where("Observation", "subject:Patient.organization.name:exact", "x") == Chain(
        "subject", "Patient", Chain("organization", "Organization", name)
    )
    assert where("Patient", "_has:Observation:patient:_has:Provenance:target:_id", "1") == Has(
        "Observation", "patient", Has("Provenance", "target", IdIn(("1",)))
    )
    assert where("Encounter", "subject:Patient._has:Observation:patient:_id", "1") == Chain(
        "subject", "Patient", Has("Observation", "patient", IdIn(("1",)))
    )


@pytest.mark.parametrize(
    "name",
    [
        "name.family",
        "organization:Patient.name",
        "_has:Observation:patient",
        "_has:Nope:patient:code",
        "_has:Observation:code:code",
        "_has:Encounter:service-provider:_id",
        "link.link.link.link.link.link.link._id",
        "link:Patient" + ".link:Patient" * 6 + "._id",
    ],
)
def test_refuses_a_chain_that_leads_nowhere_or_too_far(name: str) -> None:
    assert refusal("Patient", (name, "x"), strict=False).kind is Kind.BAD_PARAMETER


def test_a_chain_over_too_many_types_must_name_one() -> None:
    assert refusal("Provenance", ("target._id", "x")).kind is Kind.BAD_PARAMETER
    assert where("Provenance", "target:Patient._id", "x") == Chain("target", "Patient", IdIn(("x",)))
