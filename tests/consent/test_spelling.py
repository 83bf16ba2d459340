"""A record whose subject is spelt so that it is nobody's is not stored: no consent would protect it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.http.server import BASE, bundle, entry, load, refused
from tests.leak.house import ROOT, Guarded, guarded, value
from tests.leak.test_consent import beside, provenance

NOBODY = [
    "Patient/mine#x",
    "Patient/mine/",
    "Patient/mine/_history/1/x",
    "patient/mine",
    f"{BASE}/Patient/mine/",
]
PLACE = "Observation.subject.reference"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Serve the two patients."""
    with guarded(tmp_path_factory.mktemp("data")) as server, server.as_(ROOT):
        yield server


def written(reference: str, **more: Any) -> Any:
    return {**value("written", "mine", "1111-1", "1.5", **more), "subject": {"reference": reference}}


@pytest.mark.parametrize("reference", NOBODY)
def test_it_is_refused_with_its_place_however_it_is_written(house: Guarded, reference: str) -> None:
    tree = written(reference)

    refused(house.put("Observation/written", tree), 422, "value", PLACE)
    refused(house.post("Observation", {**tree, "id": "x"}), 422, "value", PLACE)
    patch = [{"op": "replace", "path": "/subject/reference", "value": reference}]
    answer = house("PATCH", "Observation/mine-1", patch, content_type="application/json-patch+json")
    refused(answer, 422, "value", PLACE)
    sent = bundle("transaction", [entry("PUT", "Observation/written", tree)])
    assert house.post("", sent).status_code == 422
    assert house.get("Observation/written").status_code == 404


@pytest.mark.parametrize(
    "reference",
    ["Patient/mine", "Patient/mine/_history/1", f"{BASE}/Patient/mine", "https://x.example.org/Patient/1/"],
)
def test_what_names_a_patient_or_is_elsewhere_is_stored(house: Guarded, reference: str) -> None:
    assert house.put("Observation/written", written(reference)).status_code in (200, 201)
    assert load(house.get("Observation/written"))["subject"]["reference"] == reference
    assert house.delete("Observation/written").status_code == 204


def test_elements_that_say_nothing_of_whom_a_record_is_about_are_left_alone(house: Guarded) -> None:
    tree = written("Patient/mine", focus=[{"reference": "patient/mine"}])

    assert house.put("Observation/written", tree).status_code in (200, 201)
    assert house.delete("Observation/written").status_code == 204


def test_the_same_for_what_is_in_no_compartment(house: Guarded) -> None:
    task = {**beside("some", "mine")[0], "for": {"reference": "Patient/mine#x"}}
    told = provenance("some-trace", "Organization/here", source="Patient/mine/")

    refused(house.put("Task/some-task", task), 422, "value", "Task.for.reference")
    refused(house.put("Provenance/some-trace", told), 422, "value", "Provenance.entity[0].what.reference")
