"""Templates: each makes a Consent that can be enforced and means what its words say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fhir_server.consent.asking import Asking
from fhir_server.consent.policy import ACT_CODE
from fhir_server.consent.source import refusals
from fhir_server.consent.templates import fill, templates
from fhir_server.faults import Fault, Kind
from fhir_server.validation import errors
from tests.consent.ruling import NOW, B, C, labelled, note, sees
from tests.consent.wishes import ZONE, refers

WHEN = "2024-12-31T00:00:00.000Z"
VALUES = {
    "organization": ["Organization/b"],
    "label": ["HIV", "PSY"],
    "record": ["Observation/1"],
    "start": ["2024-01-01"],
    "end": ["2026-01-01"],
    "document": ["DocumentReference/1"],
    "verified-with": ["Patient/p"],
}
ANYTHING = note()
CLAIM = note("Claim", patient=refers("Patient/p"))
SAD = labelled("PSY", system=ACT_CODE)
ENTRUSTED = Asking(organization="Organization/b", purpose="HPAYMT")


def filled(code: str, **given: str) -> dict[str, Any]:
    return fill(code, {name: [value] for name, value in given.items()}, "Patient/p", WHEN)


def root(code: str, **given: str) -> dict[str, Any]:
    found: dict[str, Any] = filled(code, **given)["provision"]
    return found


@pytest.mark.parametrize("code", templates())
@pytest.mark.parametrize("whole", [True, False])
def test_every_template_can_be_filed_with_all_parameters_and_with_the_fewest(
    code: str, *, whole: bool
) -> None:
    known = templates()[code].parameters
    given = {name: VALUES[name] for name, each in known.items() if whole or each.required}
    tree = fill(code, given, "Patient/p", WHEN)

    assert "{" not in str(tree["provision"]).replace("{'", "")
    assert errors(tree) == []
    assert refusals(tree, ZONE) == ()
    assert ("verification" in tree, "sourceReference" in tree, "period" in tree["provision"]) == (whole,) * 3


def test_share_with_one_and_nobody_else_gains() -> None:
    wish = root("share-with", organization="Organization/b")

    assert sees(wish, SAD, B, overarching="deny")
    assert not sees(wish, SAD, C, overarching="deny")
    assert not sees(wish, SAD, replace(B, purpose="HRESCH"))


def test_share_except_leaves_out_mental_health_unless_other_labels_are_named() -> None:
    wish = root("share-except", organization="Organization/b")
    other = root("share-except", organization="Organization/b", label="HIV")

    assert (sees(wish, ANYTHING), sees(wish, SAD)) == (True, False)
    assert (sees(other, SAD), sees(other, labelled("HIV", system=ACT_CODE))) == (True, False)


def test_an_insurer_sees_claims_and_not_notes() -> None:
    wish = root("insurer-claims", organization="Organization/b")

    assert sees(wish, CLAIM, ENTRUSTED)
    assert not sees(wish, ANYTHING, ENTRUSTED)
    assert not sees(wish, CLAIM, replace(ENTRUSTED, organization="Organization/c"))


def test_research_and_transfer_abroad_are_yes_or_no_for_one_or_for_anybody() -> None:
    for topic, purpose in (("research", "HRESCH"), ("cross-border", "cross-border")):
        asking = replace(B, purpose=purpose)
        assert sees(root(f"{topic}-yes"), ANYTHING, asking)
        assert sees(root(f"{topic}-yes", organization="Organization/b"), ANYTHING, asking)
        assert not sees(root(f"{topic}-yes", organization="Organization/c"), ANYTHING, asking)
        assert not sees(root(f"{topic}-no"), ANYTHING, asking, overarching="permit")
        assert sees(root(f"{topic}-no"), ANYTHING, B)


def test_health_management_is_a_purpose_of_its_own() -> None:
    wish = root("health-management", organization="Organization/b")

    assert sees(wish, ANYTHING, replace(B, purpose="CAREMGT"))
    assert not sees(wish, ANYTHING, replace(C, purpose="CAREMGT"))


def test_nobody_binds_all_but_the_custodian() -> None:
    assert not sees(root("nobody"), ANYTHING, overarching="permit")
    assert sees(root("nobody"), ANYTHING, own=True)


def test_one_record_is_hidden_from_everybody_else_or_from_one() -> None:
    assert not sees(root("hide-record", record="Observation/1"), ANYTHING)
    assert sees(root("hide-record", record="Observation/2"), ANYTHING)
    assert sees(root("hide-record", record="Observation/1", organization="Organization/c"), ANYTHING)


def test_a_period_begins_and_ends_it() -> None:
    assert not sees(
        root("share-with", organization="Organization/b", end="2024-12-30"), ANYTHING, overarching="deny"
    )
    early = root("share-with", organization="Organization/b", start="2024-12-30")
    assert sees(early, ANYTHING, overarching="deny")
    assert not sees(early, ANYTHING, overarching="deny", instant=NOW - 10 * 86_400_000)


def test_what_is_about_the_same_replaces_and_what_is_not_stands_beside() -> None:
    def policy(code: str, **given: str) -> str:
        return str(filled(code, **given)["policy"][0]["uri"])

    assert policy("share-with", organization="Organization/b") == policy(
        "share-except", organization="Organization/b"
    )
    assert policy("research-yes") == policy("research-no")
    assert policy("research-yes") != policy("research-yes", organization="Organization/b")
    assert policy("share-with", organization="Organization/b") != policy(
        "share-with", organization="Organization/c"
    )


@pytest.mark.parametrize(
    ("code", "given"),
    [
        ("share", {}),
        ("share-with", {}),
        ("share-with", {"organization": [""]}),
        ("share-with", {"organization": ["Patient/1"]}),
        ("share-with", {"organization": ["Organization/b", "Organization/c"]}),
        ("share-with", {"organization": ["Organization/b"], "label": ["HIV"]}),
        ("share-except", {"organization": ["Organization/b"], "label": [""]}),
        ("nobody", {"patient": ["Patient/2"]}),
    ],
)
def test_what_cannot_be_filled_is_refused(code: str, given: dict[str, list[str]]) -> None:
    with pytest.raises(Fault) as caught:
        fill(code, given, "Patient/p", WHEN)

    assert caught.value.kind is Kind.BAD_PARAMETER


def test_a_value_that_looks_like_a_blank_stays_a_value() -> None:
    tree = filled("hide-record", record="{patient}")

    assert tree["provision"]["data"][0]["reference"]["reference"] == "{patient}"
    assert refusals(tree, ZONE)
