"""Whose record a resource is: the compartment's parameters decide, and the extractor agrees."""

from __future__ import annotations

from datetime import UTC

from fhir_server.audit.patients import Patients, patients_of
from fhir_server.demo import bundles
from fhir_server.resources.codec import decode, encode
from fhir_server.search.extract import Extractor
from fhir_server.search.subjects import parameters
from fhir_server.store.api import Stored


def of(tree: dict[str, object], base: str = "") -> tuple[str, ...]:
    return patients_of(str(tree["resourceType"]), "x", encode(tree), base)


def ref(target: str) -> dict[str, str]:
    return {"reference": target}


def test_the_subject_is_the_patient() -> None:
    assert of({"resourceType": "Observation", "subject": ref("Patient/1")}) == ("1",)


def test_the_focus_confers_nothing() -> None:
    assert of({"resourceType": "Observation", "focus": [ref("Patient/2")]}) == ()


def test_every_patient_is_named_once_and_others_are_not() -> None:
    tree = {
        "resourceType": "Observation",
        "subject": ref("Patient/1"),
        "performer": [ref("Practitioner/9"), ref("Patient/2"), ref("Patient/1/_history/3")],
    }
    assert of(tree) == ("1", "2")


def test_elements_below_others_are_found() -> None:
    tree = {
        "resourceType": "Appointment",
        "participant": [{"actor": ref("Patient/5")}, {"status": "accepted"}],
    }

    assert of(tree) == ("5",)


def test_an_absolute_reference_to_this_server_counts_and_to_another_does_not() -> None:
    own = {"resourceType": "Observation", "subject": ref("https://a.example/fhir/Patient/1")}

    assert of(own, "https://a.example/fhir") == ("1",)
    assert of(own, "https://b.example/fhir") == ()


def test_a_patient_is_in_its_own_record_also_when_deleted() -> None:
    assert of({"resourceType": "Patient"}) == ("x",)
    assert patients_of("Patient", "x", b"") == ("x",)


def test_a_shape_that_is_not_its_types_names_too_many_rather_than_too_few() -> None:
    assert of({"resourceType": "Observation", "subject": "?", "focus": [ref("Patient/2")]}) == ("2",)


def test_what_is_in_no_compartment_is_in_the_record_of_whom_it_is_about() -> None:
    assert of({"resourceType": "Task", "for": ref("Patient/1"), "owner": ref("Patient/2")}) == ("1",)
    assert of({"resourceType": "Provenance", "entity": [{"what": ref("Patient/1")}]}) == ("1",)


def test_versions_are_remembered_each_by_itself() -> None:
    known = Patients(remembered=1)
    first = Stored("Observation", "o", 1, 0, "PUT", encode({"subject": ref("Patient/1")}))
    second = Stored("Observation", "o", 2, 0, "PUT", encode({"subject": ref("Patient/2")}))

    assert [known.of(each, "") for each in (first, second, first)] == [("1",), ("2",), ("1",)]


def test_the_extractor_agrees_on_the_demo_data() -> None:
    extractor = Extractor(UTC)
    compared = 0
    for _, bundle in bundles(seed=1):
        for entry in bundle["entry"]:
            # Within its Bundle all is known by urn:uuid; here every reference leads to a Patient.
            text = encode({**entry["resource"], "id": "x"}).replace(b"urn:uuid:", b"Patient/")
            tree = decode(text)
            type_ = tree["resourceType"]
            codes = parameters(type_)
            found = {
                target.removeprefix("Patient/")
                for code, target in extractor.extract(tree).references
                if code in codes and target.startswith("Patient/")
            }
            assert set(of(tree)) == found | ({"x"} if type_ == "Patient" else set())
            compared += bool(found)
    assert compared > 100
