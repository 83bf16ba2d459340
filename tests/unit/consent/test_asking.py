"""Who asks, how it stands to the record, and what silence permits it."""

from __future__ import annotations

import pytest

from fhir_server.consent.asking import Asking, silence_permits
from fhir_server.consent.policy import ACT_CODE, policy, purposes_above, sensitivities_below
from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.search.parameters import parameters

B = "Organization/b"


@pytest.mark.parametrize(
    ("purpose", "permitted"),
    [
        ("TREAT", True),
        ("ETREAT", True),
        ("BTG", True),
        ("COC", True),
        ("HPAYMT", False),
        ("HRESCH", False),
        (None, False),
        ("X", False),
    ],
)
def test_by_default_silence_permits_strangers_treatment_alone(purpose: str | None, permitted: bool) -> None:
    assert silence_permits(Asking(organization=B, purpose=purpose), "treatment") is permitted


@pytest.mark.parametrize("purpose", [None, "TREAT", "HRESCH", "X"])
def test_a_house_that_permits_or_denies_asks_for_no_purpose(purpose: str | None) -> None:
    asking = Asking(organization=B, purpose=purpose)

    assert silence_permits(asking, "permit")
    assert not silence_permits(asking, "deny")


@pytest.mark.parametrize(
    ("purpose", "permitted"),
    [
        (None, True),
        ("TREAT", True),
        ("HPAYMT", True),
        ("COVAUTH", True),
        ("CAREMGT", True),
        ("PUBHLTH", True),
        ("HRESCH", False),
        ("HMARKT", False),
        ("cross-border", False),
        ("X", False),
    ],
)
@pytest.mark.parametrize("overarching", ["treatment", "permit", "deny"])
def test_a_custodian_does_its_own_business_and_nothing_else(
    purpose: str | None, permitted: bool, overarching: str
) -> None:
    asking = Asking(organization=B, purpose=purpose, custodian=True)

    assert silence_permits(asking, overarching) is permitted  # type: ignore[arg-type]
    assert (asking.standing == "custodian") is permitted


@pytest.mark.parametrize(("purpose", "permitted"), [(None, True), ("FAMRQT", True), ("HRESCH", False)])
def test_a_proxy_asks_for_the_family(purpose: str | None, permitted: bool) -> None:
    assert silence_permits(Asking(user="RelatedPerson/1", purpose=purpose), "deny") is permitted


def test_a_stranger_without_a_known_purpose_is_vague_and_others_are_not() -> None:
    assert Asking(organization=B).is_vague
    assert Asking(organization=B, purpose="X").is_vague
    assert not Asking(organization=B, purpose="TREAT").is_vague
    assert not Asking(organization=B, custodian=True).is_vague
    assert not Asking(user="RelatedPerson/1").is_vague


def test_to_read_another_s_record_is_to_have_it_disclosed() -> None:
    assert Asking().actions == {"access", "disclose", "use"}
    assert Asking(custodian=True).actions == {"access", "use"}
    assert Asking(action="correct").actions == {"correct"}


def test_a_purpose_is_included_by_those_above_it() -> None:
    assert purposes_above("BTG") == {"BTG", "ETREAT", "TREAT"}
    assert purposes_above("TREAT") == {"TREAT"}
    assert purposes_above("X") == frozenset()


def test_a_sensitivity_includes_those_below_it() -> None:
    assert sensitivities_below(ACT_CODE, "ETH") == {"ETH", "SUD", "ETHUD", "OPIOIDUD"}
    assert sensitivities_below(ACT_CODE, "HIV") == {"HIV"}
    assert sensitivities_below("urn:x", "HIV") == frozenset()


def test_the_policy_names_types_and_parameters_that_r4_has() -> None:
    known = {code for type_ in RESOURCE_TYPES for code in parameters(type_)}

    assert policy().code_parameters <= known
    assert policy().author_parameters <= known
    assert policy().standing | policy().contexts <= RESOURCE_TYPES
    for table in (policy().document_parameters, policy().content_parameters):
        assert all(param in parameters(type_) for type_, param in table.items())


def test_every_parent_in_the_policy_is_a_code_of_its_system() -> None:
    for table in (policy().purposes, policy().sensitivities):
        for codes in table.values():
            assert {above for each in codes.values() for above in each.split()} <= set(codes)
    for listed in policy().silence.values():
        assert all(purposes_above(each) for each in listed)
    for each in policy().ordered.values():
        assert each.unlabelled in each.order
