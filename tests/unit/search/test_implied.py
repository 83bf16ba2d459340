"""A right that a question implies is not tested again; what is seen stays the same, for every type."""

from __future__ import annotations

from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.search import subjects
from fhir_server.search.extract import Extractor
from fhir_server.search.implied import still_to_ask
from fhir_server.search.match import matches
from fhir_server.search.parameters import parameters
from fhir_server.search.predicate import (
    EVERYTHING,
    NOTHING,
    AnyOf,
    Chain,
    IdIn,
    Predicate,
    Present,
    ReferenceIs,
    TokenIs,
    Where,
    all_of,
    any_of,
    negate,
)
from fhir_server.search.targets import reachable
from fhir_server.search.visibility import Visibility
from tests.unit.search.trees import resources

_EXTRACT = Extractor(UTC, "http://me/fhir").extract
_TARGETS = ("Patient/1", "Group/2", "Patient/3", "http://other/fhir/Patient/9")
_WITH_PATIENTS = sorted(each for each in RESOURCE_TYPES if subjects.parameters(each))


def by(param: str, *targets: str) -> Where:
    return Where(param, ReferenceIs(targets))


MINE = any_of((by("subject", "Patient/1"), by("performer", "Patient/1")))


@pytest.mark.parametrize(
    "asked",
    [
        by("patient", "Patient/1"),
        by("subject", "Patient/1"),
        all_of((Where("code", TokenIs(None, "x")), by("patient", "Patient/1"))),
    ],
)
def test_a_right_to_what_is_asked_for_is_not_tested_again(asked: Predicate) -> None:
    assert still_to_ask(MINE, asked, "Observation") == EVERYTHING
    visibility = Visibility("test", {"Observation": MINE})
    assert visibility.restrict("Observation", asked) == asked


@pytest.mark.parametrize(
    "asked",
    [
        EVERYTHING,
        by("patient", "Patient/2"),
        by("patient", "Patient/1", "Patient/2"),
        by("encounter", "Patient/1"),
        by("focus", "Patient/1"),
        Where("patient", Present()),
        Where("patient:identifier", TokenIs("", "Patient/1")),
        Chain("patient", "Patient", IdIn(("1",))),
        any_of((by("patient", "Patient/1"), Where("code", TokenIs(None, "x")))),
        negate(by("patient", "Patient/1")),
        IdIn(("1",)),
    ],
)
def test_a_right_to_something_else_is_tested(asked: Predicate) -> None:
    assert still_to_ask(MINE, asked, "Observation") == MINE
    visibility = Visibility("test", {"Observation": MINE, "Patient": EVERYTHING})
    assert visibility.restrict("Observation", asked) == all_of((MINE, asked))


def test_nothing_stays_nothing_and_each_part_of_a_right_is_looked_at_by_itself() -> None:
    asked = by("patient", "Patient/1")
    label = negate(Where("_security", TokenIs(None, "R")))

    assert still_to_ask(NOTHING, asked, "Observation") == NOTHING
    assert still_to_ask(AnyOf(()), asked, "Observation") == AnyOf(())
    assert still_to_ask(all_of((MINE, label)), asked, "Observation") == label


def test_a_patient_asked_for_by_id_is_had_by_id() -> None:
    assert still_to_ask(IdIn(("1", "2")), IdIn(("1",)), "Patient") == EVERYTHING
    assert still_to_ask(IdIn(("1",)), IdIn(("1", "2")), "Patient") == IdIn(("1",))


def test_a_hop_is_held_to_its_own_right() -> None:
    visibility = Visibility("test", {"Observation": MINE, "Patient": IdIn(("1",))})
    asked = Chain("patient", "Patient", IdIn(("2",)))

    restricted = visibility.restrict("Observation", asked)

    assert restricted == all_of((MINE, Chain("patient", "Patient", all_of((IdIn(("1",)), IdIn(("2",)))))))


@given(st.data())
def test_what_is_left_out_never_lets_anything_in(data: st.DataObject) -> None:
    type_ = data.draw(st.sampled_from(_WITH_PATIENTS))
    values = _EXTRACT(data.draw(resources(type_)))
    codes = sorted(code for code, each in parameters(type_).items() if each.type == "reference")
    one = st.builds(
        Where, st.sampled_from(codes), st.builds(ReferenceIs, st.lists(st.sampled_from(_TARGETS)).map(tuple))
    )
    right, asked = (data.draw(st.lists(one, min_size=1, max_size=3)) for _ in range(2))

    def holds(predicate: Predicate) -> bool:
        return matches(predicate, type_, "1", values, lambda *_: None, lambda *_: ())

    question = all_of(asked)
    whole = holds(all_of((any_of(right), question)))
    assert holds(all_of((still_to_ask(any_of(right), question, type_), question))) == whole


@pytest.mark.parametrize(
    ("type_", "code", "targets"),
    [
        ("Condition", "patient", ("Patient",)),  # by where(resolve() is Patient)
        ("Immunization", "patient", ("Patient",)),  # by what the element may refer to
        ("DeviceUseStatement", "patient", ("Group", "Patient")),
        ("Observation", "subject", ("Group", "Device", "Patient", "Location")),
    ],
)
def test_a_reference_leads_to_the_types_that_it_can_lead_to(
    type_: str, code: str, targets: tuple[str, ...]
) -> None:
    assert parameters(type_)[code].targets == targets


def test_expressions_that_do_not_end_in_references_keep_all_types() -> None:
    assert reachable(("Patient", "Group"), "Observation.code", "Observation") == ("Patient", "Group")
    assert reachable(("Patient",), "Observation.nothing().that", "Observation") == ("Patient",)
    assert reachable(("Library", "Group"), "Bundle.entry[0].resource", "Bundle") == ("Library", "Group")
