"""SMART scopes: what is understood, what is refused, what grants nothing."""

from __future__ import annotations

from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.access.scopes import MAX_SCOPES, NO_RIGHTS, RELABEL, Scope, grantable, understand
from fhir_server.faults import Fault, Kind
from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.search.parse import Options
from fhir_server.search.predicate import EVERYTHING, TokenIs, Where, all_of

OPTIONS = Options(zone=UTC, now=0)
LAB = "http://terminology.hl7.org/CodeSystem/observation-category|laboratory"


def only(text: str) -> Scope:
    rights = understand(text)
    assert rights.unknown == ()
    [scope] = rights.scopes
    return scope


@pytest.mark.parametrize(
    ("text", "level", "type_", "letters"),
    [
        ("patient/Observation.rs", "patient", "Observation", "rs"),
        ("user/*.cruds", "user", "*", "cruds"),
        ("system/Patient.c", "system", "Patient", "c"),
        ("patient/Observation.read", "patient", "Observation", "rs"),
        ("patient/Observation.write", "patient", "Observation", "cud"),
        ("patient/*.*", "patient", "*", "cruds"),
        ("patient/Observation.d", "patient", "Observation", "d"),
    ],
)
def test_reads_scopes_of_both_versions(text: str, level: str, type_: str, letters: str) -> None:
    scope = only(text)

    assert (scope.level, scope.type, scope.letters) == (level, type_, frozenset(letters))


@pytest.mark.parametrize(
    "text",
    [
        "patient/Observation.dus",  # not in order
        "patient/Observation.sr",
        "patient/Observation.rrs",
        "patient/Observation.",
        "patient/Observation",
        "patient/Observations.rs",
        "patient/observation.rs",  # mind capital letters
        "Patient/Observation.rs",
        "patient/Observation.READ",
        "patient/Observation.readwrite",
        "patient/Observation.rs?",
        "patient/Observation.rs?category",
        "patient/Observation.rs?category=",
        "patient/Observation.read?category=laboratory",  # version 1 takes no parameters
        "patient/Observation.rs?nonsense=1",
        "patient/Observation.rs?category:in=http://example.org/ValueSet/1",
        "patient/Observation.rs?category:not=laboratory",
        "patient/Observation.rs?patient.birthdate=1990",
        "patient/Observation.rs?_has:Group:member:code=x",
        "patient/Observation.rs?_include=Observation:subject",
        "patient/Observation.rs?_revinclude=Provenance:target",
        "patient/Observation.rs?_filter=code%20eq%20a",
        "patient/Observation.rs?_sort=date",
        "patient/Observation.rs?_count=1",
        "patient/Observation.rs?date=yesterday",
        "patient/*.rs?category=laboratory",  # not every type has it
        "patient/Observation%2Fx.rs",
        "tenant/Observation.rs",
        "patient/Observation.rs\u00e9",
    ],
)
def test_what_is_malformed_or_not_supported_grants_nothing(text: str) -> None:
    rights = understand(text)

    assert (rights.scopes, rights.other) == ((), frozenset())
    assert rights.unknown == (text,)
    if text.startswith(("patient/", "user/", "system/")):
        with pytest.raises(Fault) as refused:
            grantable(text)
        assert refused.value.kind is Kind.BAD_REQUEST
        assert refused.value.kind.status == 400


def test_parameters_narrow_and_are_joined_by_and() -> None:
    scope = only(f"patient/Observation.rs?category={LAB}&status=final")
    system, _, code = LAB.partition("|")
    condition = scope.condition("Observation", OPTIONS)

    assert Where("category", TokenIs(system, code)) in condition.items  # type: ignore[union-attr]
    assert only("patient/Observation.rs").condition("Observation", OPTIONS) == EVERYTHING


def test_parameters_may_be_percent_encoded() -> None:
    plain = only("patient/Patient.rs?name=li")
    encoded = only("patient/Patient.rs?name=l%69")

    assert plain.condition("Patient", OPTIONS) == encoded.condition("Patient", OPTIONS)
    assert plain.condition("Patient", OPTIONS) != EVERYTHING


def test_what_all_types_have_narrows_every_type() -> None:
    scope = only("system/*.rs?_tag=urn:t|x")

    assert scope.condition("Patient", OPTIONS) == scope.condition("Device", OPTIONS) != EVERYTHING


@pytest.mark.parametrize("prefix", ["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"])
def test_dates_may_have_any_prefix(prefix: str) -> None:
    assert only(f"patient/Observation.rs?date={prefix}2024-01-01").parameters == (
        ("date", f"{prefix}2024-01-01"),
    )


@pytest.mark.parametrize(
    "text",
    [
        "patient/Observation.read patient/Patient.rs",  # versions
        "patient/Observation.rs user/Patient.rs",  # contexts
        "patient/Observation.rs system/Patient.rs",
        "user/Observation.rs system/Patient.rs",
        " ".join(["patient/Observation.rs"] * (MAX_SCOPES + 1)),
    ],
)
def test_what_does_not_go_together_is_not_granted_together(text: str) -> None:
    with pytest.raises(Fault) as refused:
        grantable(text)

    assert refused.value.kind is Kind.BAD_REQUEST


def test_what_is_asked_for_and_known_is_granted_and_the_rest_left_out() -> None:
    rights = grantable(
        "openid fhirUser launch/patient patient/Observation.rs offline_access relabel telepathy"
    )

    assert rights.granted == "fhirUser launch/patient offline_access openid relabel patient/Observation.rs"
    assert rights.unknown == ("telepathy",)
    assert rights.may_relabel
    assert not NO_RIGHTS.may_relabel
    assert rights.other >= {RELABEL}


@given(st.text())
def test_any_text_is_understood_or_listed_as_unknown(text: str) -> None:
    rights = understand(text)

    assert {*rights.other, *rights.unknown, *(scope.text for scope in rights.scopes)} == set(text.split())


@given(st.text())
def test_asking_for_any_text_is_granted_or_a_bad_request(text: str) -> None:
    try:
        grantable(text)
    except Fault as fault:
        assert fault.kind is Kind.BAD_REQUEST  # noqa: PT017 - the other outcome is that none is raised


@given(st.text(st.sampled_from("patienusrym/*.?=&:,|cd Observation%20_"), max_size=40))
def test_what_nearly_is_a_scope_never_raises_anything_but_a_fault(text: str) -> None:
    assert understand(text).unknown is not None
    try:
        grantable(f"patient/{text}")
    except Fault as fault:
        assert fault.kind is Kind.BAD_REQUEST  # noqa: PT017 - the other outcome is that none is raised


@given(st.sampled_from(sorted(RESOURCE_TYPES)), st.sets(st.sampled_from("cruds"), min_size=1))
def test_letters_of_a_scope_are_those_written(type_: str, letters: set[str]) -> None:
    scope = only(f"user/{type_}.{''.join(sorted(letters, key='cruds'.index))}")

    assert scope.letters == letters
    assert scope.covers(type_)
    assert not scope.covers("Nothing")
    assert all_of([scope.condition(type_, OPTIONS)]) == EVERYTHING
