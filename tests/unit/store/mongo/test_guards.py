"""Guards: two conditional commits that could see each other's outcome have one in common."""

from __future__ import annotations

import pytest

from fhir_server.crypto.blind import BlindIndex
from fhir_server.crypto.suites import SUITES
from fhir_server.search.predicate import (
    EVERYTHING,
    All,
    AnyOf,
    Chain,
    Has,
    IdIn,
    Not,
    Predicate,
    StringStarts,
    TokenIs,
    Where,
)
from fhir_server.search.values import Values
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import Expectation, Unreferenced
from fhir_server.store.mongo.guards import STRIPES, Guard, asked, written
from fhir_server.store.mongo.keys import Keys

KEYS = Keys(BlindIndex(SUITES["standard"].digest(b"k" * 32)))
ALL = Visibility.everything("test")
MRN = Where("identifier", TokenIs("urn:mrn", "1"))
NAMED = Where("name", StringStarts("li"))


def of(where: Predicate, *ids: str) -> set[Guard]:
    return asked([Expectation("Patient", where, ALL, ids)], KEYS)


def made(*identifiers: tuple[str, str], id_: str = "new", type_: str = "Patient") -> set[Guard]:
    values = Values()
    values.tokens = [("identifier", *each) for each in identifiers]
    return written(type_, KEYS.blind.target(f"{type_}/{id_}"), values, KEYS)


def stripes(type_: str) -> set[str]:
    return {f"{type_} {number}" for number in range(STRIPES)}


def test_who_asks_by_an_identifier_meets_who_writes_it_and_nobody_else() -> None:
    assert of(MRN) & made(("urn:mrn", "1"))
    assert of(MRN) & made(("urn:mrn", "2"), ("urn:mrn", "1"))
    assert not of(MRN) & made(("urn:mrn", "2"))
    assert not of(MRN) & made(("urn:other", "1"))
    assert not of(MRN) & made(("urn:mrn", "1"), type_="Practitioner")
    assert not of(MRN) & stripes("Patient")


def test_an_identifier_may_be_asked_for_without_its_system() -> None:
    bare = Where("identifier", TokenIs(None, "1"))

    assert of(bare) & made(("urn:mrn", "1"))
    assert of(bare) & made(("", "1"))
    assert not of(bare) & made(("urn:mrn", "2"))
    assert not of(bare) & stripes("Patient")


def test_one_of_several_identifiers_is_met_by_each() -> None:
    either = of(AnyOf((MRN, Where("identifier", TokenIs("urn:mrn", "2")))))

    assert either & made(("urn:mrn", "1"))
    assert either & made(("urn:mrn", "2"))
    assert not either & made(("urn:mrn", "3"))
    assert not either & stripes("Patient")


@pytest.mark.parametrize(
    "where",
    [
        NAMED,
        EVERYTHING,
        Not(MRN),
        AnyOf((MRN, NAMED)),
        Where("identifier", TokenIs("urn:mrn", None)),
    ],
)
def test_who_asks_otherwise_meets_whoever_writes_the_type(where: Predicate) -> None:
    assert of(where) >= stripes("Patient")
    assert not of(where) & stripes("Group")


def test_one_condition_among_several_is_enough() -> None:
    assert of(All((NAMED, MRN))) == of(MRN)
    assert of(All((NAMED, NAMED))) == stripes("Patient")


def test_what_is_found_is_met_when_it_is_changed() -> None:
    assert of(MRN, "p") & made(id_="p")
    assert of(IdIn(("p",))) & made(id_="p")
    assert not of(MRN, "p") & made(id_="q")


@pytest.mark.parametrize(
    "link", [Chain("organization", "Organization", NAMED), Has("Organization", "partof", NAMED)]
)
def test_what_links_lead_to_is_met_too(link: Predicate) -> None:
    for where in (link, All((MRN, link)), Not(link)):
        assert of(where) >= stripes("Organization")
    assert of(Chain("a", "A", Chain("b", "B", MRN))) >= stripes("A") | stripes("B")


def test_a_deletion_meets_who_expects_what_is_deleted() -> None:
    gone = written("Patient", KEYS.blind.target("Patient/p"), None, KEYS)

    assert of(MRN, "p") & gone
    assert asked([Unreferenced("Patient", "p")], KEYS) & gone
