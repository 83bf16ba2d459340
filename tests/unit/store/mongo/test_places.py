"""Which compartments of a sharded cluster a question is put to."""

from __future__ import annotations

import pytest
from bson.int64 import Int64

from fhir_server.crypto.blind import BlindIndex
from fhir_server.crypto.suites import SUITES
from fhir_server.search.predicate import (
    EVERYTHING,
    All,
    AnyOf,
    Chain,
    IdIn,
    Not,
    Predicate,
    ReferenceIs,
    TokenIs,
    Where,
)
from fhir_server.store.mongo.compile import Compiler
from fhir_server.store.mongo.keys import Keys
from fhir_server.store.mongo.places import SEVERAL, places
from fhir_server.store.mongo.question import Question

KEYS = Keys(BlindIndex(SUITES["standard"].digest(b"k" * 32)))
CODE = Where("code", TokenIs("s", "a"))
ONE = Where("subject", ReferenceIs(("Patient/1",)))
TWO = Where("patient", ReferenceIs(("Patient/2",)))
NAMED = Chain("patient", "Patient", Where("identifier", TokenIs("s", "1")))


def digest(id_: str) -> Int64:
    return Int64(KEYS.blind.target(f"Patient/{id_}"))


def asked(where: Predicate, type_: str = "Observation") -> frozenset[Int64] | None:
    return places(type_, where, {}, KEYS)


def test_records_of_a_patient_lie_in_its_compartment_or_in_that_of_several() -> None:
    assert asked(ONE) == {SEVERAL, digest("1")}
    assert asked(Where("subject", ReferenceIs(("Patient/1", "Patient/2")))) == {
        SEVERAL,
        digest("1"),
        digest("2"),
    }
    assert asked(AnyOf((ONE, TWO))) == {SEVERAL, digest("1"), digest("2")}
    assert asked(All((CODE, Not(TWO), ONE))) == {SEVERAL, digest("1")}


def test_a_patient_lies_in_its_own() -> None:
    assert asked(IdIn(("1", "2")), "Patient") == {digest("1"), digest("2")}


def test_a_chain_to_few_patients_names_theirs_once_they_are_known() -> None:
    assert asked(NAMED) is None
    assert places("Observation", NAMED, {id(NAMED): [digest("1")]}, KEYS) == {SEVERAL, digest("1")}


@pytest.mark.parametrize(
    ("type_", "where"),
    [
        ("Observation", EVERYTHING),
        ("Observation", CODE),
        ("Observation", Not(ONE)),
        ("Observation", AnyOf((ONE, CODE))),
        ("Observation", IdIn(("1",))),
        ("Observation", Where("subject", ReferenceIs(("Patient/1", "Group/1")))),
        # A reference to a patient whom the record is not about.
        ("Observation", Where("focus", ReferenceIs(("Patient/1",)))),
        # A Patient lies by its own id, whoever else it refers to.
        ("Patient", Where("link", ReferenceIs(("Patient/1",)))),
    ],
)
def test_what_may_lie_anywhere_is_asked_everywhere(type_: str, where: Predicate) -> None:
    assert asked(where, type_) is None


def test_only_a_cluster_is_asked_by_compartments() -> None:
    question = Question.of("Observation", ONE, KEYS)

    in_cluster = Compiler(KEYS, 0, is_cluster=True).plan(question).pre
    assert {"c": {"$in": sorted([SEVERAL, digest("1")])}} in in_cluster["$and"]
    assert "'c'" not in str(Compiler(KEYS, 0).plan(question).pre)
