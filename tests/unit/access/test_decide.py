"""Decisions: what each ground reaches, and that rights only ever add up from scopes."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.access.actor import AUDIT_ADMINISTRATOR, SYSTEM_ADMINISTRATOR, Actor
from fhir_server.access.agreements import Agreement
from fhir_server.access.decide import LETTERS, NOBODY, Decision, Facts, decide
from fhir_server.access.policy import policy
from fhir_server.access.scopes import understand
from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.search.extract import Extractor
from fhir_server.search.match import matches
from fhir_server.search.predicate import (
    EVERYTHING,
    NOTHING,
    Chain,
    Everything,
    Has,
    Nothing,
    Predicate,
    any_of,
)
from fhir_server.search.visibility import Visibility
from tests.leak.house import world

NOW = 1_800_000_000_000
EXTRACT = Extractor(UTC).extract
WORLD = {(tree["resourceType"], tree["id"]): EXTRACT(tree) for tree in world()}


def decided(scope: str, facts: Facts | None = None, **actor: Any) -> Decision:
    return decide(Actor("app", rights=understand(scope), **actor), NOW, facts or Facts(), UTC)


def reached(predicate: Predicate, type_: str) -> set[str]:
    """Return the ids of the world that a predicate holds for."""

    def referrers(by: str, param: str, target: str) -> list[Any]:
        return [(i, v) for (t, i), v in WORLD.items() if t == by and (param, target) in v.references]

    return {
        id_
        for (kind, id_), values in WORLD.items()
        if kind == type_ and matches(predicate, type_, id_, values, lambda t, i: WORLD.get((t, i)), referrers)
    }


ACTORS: list[dict[str, Any]] = [
    {"patient": "mine"},
    {"user": "Patient/mine"},
    {"user": "Practitioner/doctor"},
    {"user": "Practitioner/doctor", "organization": "Organization/here"},
    {"organization": "Organization/here"},
    {},
]
TYPES = ["Patient", "Observation", "Device", "Organization", "Binary", "AuditEvent", "ValueSet"]
scope_strings = st.lists(
    st.builds(
        "{}/{}.{}".format,
        st.sampled_from(["patient", "user", "system"]),
        st.sampled_from([*TYPES, "*"]),
        st.sampled_from(["c", "r", "u", "d", "s", "rs", "cruds"]),
    ),
    max_size=3,
)


@given(
    scope_strings, scope_strings, st.sampled_from(ACTORS), st.sampled_from(TYPES), st.sampled_from(LETTERS)
)
def test_more_scopes_never_reach_less_and_each_adds_what_it_reaches_alone(
    some: list[str], more: list[str], actor: dict[str, Any], type_: str, letter: Any
) -> None:
    one, other, both = (decided(" ".join(s), **actor) for s in (some, more, some + more))
    alone = [reached(each.visibility(letter).of(type_), type_) for each in (one, other)]

    assert reached(both.visibility(letter).of(type_), type_) == alone[0] | alone[1]
    assert both.permits(letter, type_) == (one.permits(letter, type_) or other.permits(letter, type_))


@given(scope_strings, st.sampled_from(ACTORS), st.sampled_from(LETTERS))
def test_what_no_scope_speaks_of_is_nothing(scopes: list[str], actor: dict[str, Any], letter: Any) -> None:
    decision = decided(" ".join(scopes), **actor)

    for type_ in RESOURCE_TYPES:
        if not decision.permits(letter, type_):
            assert decision.visibility(letter).of(type_) == NOTHING
    assert decision.visibility(letter).of("NoSuchType") in (NOTHING, EVERYTHING)
    assert decision.permits(letter, None) == any(decision.permits(letter, t) for t in RESOURCE_TYPES)


@given(scope_strings, st.sampled_from(ACTORS[:-1]), st.sampled_from(["c", "u", "d"]))
def test_nobody_with_a_context_writes_everything_or_the_audit(
    scopes: list[str], actor: dict[str, Any], letter: Any
) -> None:
    level = "system" if "organization" in actor and "user" not in actor else "user"
    decision = decided(" ".join(f"{level}/{each.partition('/')[2]}" for each in scopes), **actor)

    assert not any(isinstance(decision.visibility(letter).of(t), Everything) for t in RESOURCE_TYPES)
    assert decision.visibility(letter).of("AuditEvent") == NOTHING
    assert not decision.may_create_under("Patient")
    assert not decision.is_everything


def test_the_developer_may_do_everything_and_nobody_nothing() -> None:
    development = decide(Actor.development(), NOW, Facts(), UTC)
    nobody = decide(NOBODY, NOW, Facts(), UTC)

    assert development.is_everything
    assert development.may_administer
    assert not any(nobody.permits(letter, None) for letter in LETTERS)
    assert not nobody.may_administer
    assert all(isinstance(nobody.visibility(letter).of(t), Nothing) for letter in LETTERS for t in TYPES)


def test_the_wildcard_leaves_out_what_must_be_named() -> None:
    wild, named = decided("system/*.rs"), decided("system/AuditEvent.rs")

    assert policy().explicit == {"AuditEvent"}
    assert not wild.permits("r", "AuditEvent")
    assert isinstance(named.visibility("r").of("AuditEvent"), Everything)


def test_roles_reach_what_they_are_for_and_no_patient() -> None:
    auditor = decided(
        "user/AuditEvent.rs user/Patient.rs", roles=frozenset({AUDIT_ADMINISTRATOR}), user="Person/1"
    )
    system = decided("user/*.cruds", roles=frozenset({SYSTEM_ADMINISTRATOR}), user="Person/1")

    assert isinstance(auditor.visibility("s").of("AuditEvent"), Everything)
    assert auditor.visibility("s").of("Patient") == NOTHING
    assert not auditor.may_administer
    assert system.may_administer
    assert system.visibility("s").of("Patient") == NOTHING


def test_an_agreement_in_force_adds_and_its_refusal_is_told_to_the_audit() -> None:
    made = {
        "receiver": "Organization/here",
        "grantors": ("Organization/there",),
        "types": frozenset({"Observation"}),
        "purposes": frozenset({"TREAT"}),
        "start": NOW - 1,
        "end": NOW + 1,
        "status": "executed",
        "is_signed": True,
    }
    facts = Facts(agreements=(Agreement(id="good", **made), Agreement(id="bad", **{**made, "end": NOW - 1})))
    hospital = {"organization": "Organization/here"}
    with_purpose = decided("system/*.cruds", facts, purpose="TREAT", **hospital)
    without = decided("system/*.cruds", facts, **hospital)

    assert "hidden-1" in reached(with_purpose.visibility("s").of("Observation"), "Observation")
    assert "hidden-1" not in reached(with_purpose.visibility("u").of("Observation"), "Observation")
    assert "hidden" not in reached(with_purpose.visibility("s").of("Patient"), "Patient")
    assert "hidden-1" not in reached(without.visibility("s").of("Observation"), "Observation")
    assert with_purpose.reasons == ("Contract/bad: expired",)
    assert without.reasons == ("Contract/good: out of scope: purpose of use", "Contract/bad: expired")


@pytest.mark.parametrize(
    "change", [{"patient": "b"}, {"user": "Patient/x"}, {"organization": "Organization/x"}]
)
def test_two_holders_have_two_fingerprints(change: dict[str, Any]) -> None:
    first = decided("system/*.rs", patient="a").visibility("s")
    again = decided("system/*.rs", patient="a").visibility("s")
    other = decided("system/*.rs", **{"patient": "a", **change}).visibility("s")

    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert first.fingerprint != decided("system/Patient.rs", patient="a").visibility("s").fingerprint


def test_a_hop_is_closed_where_nothing_at_all_may_be_seen() -> None:
    blind = Visibility("test", {"Observation": EVERYTHING, "Device": EVERYTHING})
    patient, device = (Chain("subject", type_, EVERYTHING) for type_ in ("Patient", "Device"))

    assert blind.closed_hop(patient) == "Patient"
    assert blind.closed_hop(device) is None
    assert blind.closed_hop(any_of((patient, device))) is None  # subject.x: one way is open
    assert blind.closed_hop(any_of((patient, Chain("performer", "Device", EVERYTHING)))) == "Patient"
    assert blind.closed_hop(Has("Observation", "subject", patient)) == "Patient"
    assert blind.closed_hop(Has("Encounter", "subject", EVERYTHING)) == "Encounter"
    assert blind.closed_hop(Chain("device", "Device", Has("Patient", "link", EVERYTHING))) == "Patient"
    assert Visibility.everything("test").closed_hop(patient) is None
