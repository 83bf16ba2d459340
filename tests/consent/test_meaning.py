"""How Consents, levels and elements combine, who is bound, and for what; a sentence a test.

https://hl7.org/fhir/R4/consent.html
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhir_server.consent.asking import Asking
from fhir_server.consent.plain import decide
from fhir_server.consent.plain_records import Record
from fhir_server.consent.policy import ACT_CODE
from fhir_server.consent.provisions import ACTION_SYSTEM
from fhir_server.consent.source import stored_directive
from tests.consent.ruling import (
    NOW,
    A,
    B,
    C,
    actor,
    deny,
    label,
    labelled,
    note,
    permit,
    purpose,
    ruling,
    sees,
)
from tests.consent.wishes import ZONE, Shelf, Tree, coding, concept, consent, refers

# How Consents, levels and elements combine


def test_silence_is_the_house_s_policy() -> None:
    assert sees([], note())
    assert not sees([], note(), replace(B, purpose="HRESCH"))
    assert not sees([], note(), overarching="deny")
    assert sees([], note(), replace(B, purpose="HRESCH"), overarching="permit")


def test_elements_of_a_provision_are_joined_by_and() -> None:
    root = permit(deny(securityLabel=label("PSY", system=ACT_CODE), actor=actor("Organization/b")))

    assert not sees(root, labelled("PSY", system=ACT_CODE))
    assert sees(root, labelled("PSY", system=ACT_CODE), C)
    assert sees(root, note())


def test_values_of_an_element_are_joined_by_or() -> None:
    root = permit(deny(securityLabel=label("PSY", "HIV", system=ACT_CODE)))

    assert not sees(root, labelled("PSY", system=ACT_CODE))
    assert not sees(root, labelled("HIV", system=ACT_CODE))
    assert sees(root, labelled("STD", system=ACT_CODE))


def test_siblings_are_joined_by_or() -> None:
    root = permit(deny(actor=actor("Organization/b")), deny(securityLabel=label("R")))

    assert not sees(root, note())
    assert not sees(root, labelled("R"), C)
    assert sees(root, note(), C)


@pytest.mark.parametrize(
    ("depth", "permitted"), [(1, True), (2, False), (3, True), (4, False), (5, True), (6, False)]
)
def test_each_level_is_an_exception_to_the_one_above(depth: int, permitted: bool) -> None:
    root: Tree = {"type": "permit" if depth % 2 else "deny"}
    for level in range(depth - 1, 0, -1):
        root = {"type": "permit" if level % 2 else "deny", "provision": [root]}

    assert sees(root, note()) is permitted


def test_an_exception_holds_only_within_the_provision_around_it() -> None:
    root = deny(permit(securityLabel=label("R")), actor=actor("Organization/b"))

    assert sees(root, labelled("R"))
    assert not sees(root, labelled("V"))
    assert sees(root, labelled("V"), C)


def test_a_denial_outweighs_a_permission_of_another_consent() -> None:
    assert not sees([permit(), deny(actor=actor("Organization/b"))], note())
    assert sees([permit(), deny(actor=actor("Organization/b"))], note(), C)


def test_permissions_of_several_consents_add_up() -> None:
    both = [permit(securityLabel=label("N")), permit(securityLabel=label("R"), actor=actor("Organization/b"))]

    assert sees(both, labelled("R"))
    assert not sees(both, labelled("R"), C)


def test_who_is_permitted_something_gets_nothing_more_by_silence() -> None:
    root = permit(securityLabel=label("N"), actor=actor("Organization/b"))

    assert ruling(root, labelled("R")).reason == "limited"
    assert sees(root, labelled("R"), C)


def test_outside_its_period_a_consent_says_nothing() -> None:
    root = deny(period={"start": "2024-01-01", "end": "2024-12-31"})
    first, last = 1_704_038_400_000, 1_735_660_799_999

    assert [sees(root, note(), instant=at) for at in (first - 1, first, last, last + 1)] == [
        True,
        False,
        False,
        True,
    ]


def test_outside_its_period_an_exception_says_nothing() -> None:
    root = permit(deny(period={"end": "2024-12-31"}))

    assert sees(root, note())
    assert not sees(root, note(), instant=NOW - 86_400_000)


def test_a_consent_that_cannot_be_understood_any_more_denies_and_says_so() -> None:
    found = stored_directive(consent(permit(purpose=[coding("urn:x", "odd")])), ZONE)
    assert found is not None
    shelf = Shelf((note(),))
    record = Record("Observation", "1", shelf.records["Observation", "1"], shelf.resolve)

    assert decide([found], B, record, NOW).reason == "unreadable"
    assert not decide([found], B, record, NOW).permit


# Who


@pytest.mark.parametrize(
    "asking",
    [
        Asking(organization="Organization/b", purpose="TREAT"),
        Asking(user="Practitioner/1", purpose="TREAT"),
        Asking(user="PractitionerRole/1", others=frozenset({"Practitioner/1"}), purpose="TREAT"),
        Asking(device="Device/1", purpose="TREAT"),
        Asking(user="RelatedPerson/1"),
    ],
)
def test_an_actor_is_named_by_any_reference_it_answers_to(asking: Asking) -> None:
    named = actor("Organization/b", "Practitioner/1", "Device/1", "RelatedPerson/1")

    assert not sees(deny(actor=named), note(), asking)
    assert sees(deny(actor=actor("Organization/x")), note(), asking)


def test_a_role_means_all_who_have_it_and_with_a_reference_those_there() -> None:
    doctor = concept(coding("http://terminology.hl7.org/CodeSystem/practitioner-role", "doctor"))
    anywhere = deny(actor=[{"role": doctor, "reference": {"display": "any doctor"}}])
    there = deny(actor=[{"role": doctor, "reference": refers("Organization/b")}])
    is_doctor = frozenset({"doctor"})

    assert not sees(anywhere, note(), replace(C, roles=is_doctor))
    assert sees(anywhere, note(), C)
    assert not sees(there, note(), replace(B, roles=is_doctor))
    assert sees(there, note(), replace(C, roles=is_doctor))
    assert sees(there, note(), B)


def test_a_custodian_is_bound_by_what_names_it_and_by_nothing_else() -> None:
    assert sees(deny(), note(), A, own=True)
    assert not sees(deny(), note(), A)
    assert not sees(deny(actor=actor("Organization/a")), note(), A, own=True)
    assert not sees(
        permit(deny(securityLabel=label("R")), actor=actor("Organization/a")), labelled("R"), A, own=True
    )
    assert sees(permit(deny(securityLabel=label("R"))), labelled("R"), A, own=True)


def test_a_custodian_that_asks_for_other_purposes_is_bound_like_anybody() -> None:
    research = replace(A, purpose="HRESCH")

    assert not sees([], note(), research, own=True)
    assert sees(permit(purpose=purpose("HRESCH")), note(), research, own=True)
    assert not sees(
        [permit(purpose=purpose("HRESCH")), deny(securityLabel=label("R"))], labelled("R"), research, own=True
    )


def test_a_proxy_is_bound_by_what_names_it_or_its_role() -> None:
    mother = Asking(user="RelatedPerson/1", roles=frozenset({"MTH"}))
    role = concept(coding("http://terminology.hl7.org/CodeSystem/v3-RoleCode", "MTH"))

    assert sees([], note(), mother)
    assert sees(deny(), note(), mother)
    assert not sees(deny(actor=actor("RelatedPerson/1")), note(), mother)
    assert not sees(deny(actor=[{"role": role, "reference": {"display": "mother"}}]), note(), mother)


# What for


def test_a_purpose_covers_those_below_it() -> None:
    assert not sees(deny(purpose=purpose("TREAT")), note(), replace(B, purpose="ETREAT"))
    assert sees(deny(purpose=purpose("ETREAT")), note(), B)
    assert sees(permit(purpose=purpose("HRESCH")), note(), replace(B, purpose="CLINTRCH"))
    assert not sees(permit(purpose=purpose("CLINTRCH")), note(), replace(B, purpose="HRESCH"))


def test_a_stranger_without_a_purpose_may_have_any_that_is_denied_and_none_that_is_permitted() -> None:
    vague = replace(B, purpose=None)

    assert not sees(deny(purpose=purpose("HRESCH")), note(), vague, overarching="permit")
    assert not sees(permit(purpose=purpose("TREAT")), note(), vague)
    assert sees(permit(), note(), vague)


@pytest.mark.parametrize(
    ("action", "permitted"), [("access", False), ("use", False), ("disclose", False), ("correct", True)]
)
def test_to_read_is_to_access_to_use_and_to_receive(action: str, permitted: bool) -> None:
    assert sees(deny(action=[concept(coding(ACTION_SYSTEM, action))]), note()) is permitted


def test_a_correction_is_denied_by_its_own_action() -> None:
    root = deny(action=[concept(coding(ACTION_SYSTEM, "correct"))])

    assert not sees(root, note(), replace(B, action="correct"))


# Breaking the glass

BROKEN = Asking(organization="Organization/b", purpose="BTG", lifts=True)


def test_broken_glass_lifts_a_denial() -> None:
    assert ruling(deny(), note(), BROKEN).reason == "lifted"
    assert not sees(deny(), note(), replace(BROKEN, lifts=False))


def test_broken_glass_does_not_lift_a_denial_that_names_the_emergency() -> None:
    assert not sees(deny(purpose=purpose("BTG")), note(), BROKEN)
    assert sees(deny(purpose=purpose("TREAT")), note(), BROKEN)


def test_broken_glass_does_not_open_what_stays_closed() -> None:
    sealed = labelled("PSYTHPN", system=ACT_CODE)

    assert ruling(deny(), sealed, BROKEN).reason == "sealed"
    assert sees([], sealed, BROKEN)


def test_glass_breaks_for_no_other_purpose() -> None:
    assert not sees(deny(), note(), replace(BROKEN, purpose="HRESCH"))


def test_an_exception_that_is_over_does_not_make_its_provision_speak_of_collecting() -> None:
    """Who may not see a record may record one, unless a provision in force names an action."""
    access = [concept(coding(ACTION_SYSTEM, "access"))]
    over = {"start": "2020", "end": "2020"}
    collecting = replace(B, action="collect")

    assert sees(deny(), note(), collecting)
    assert sees(deny(permit(action=access, period=over)), note(), collecting)
    assert not sees(deny(permit(action=access)), note(), collecting)
