"""$validate: would it be accepted, and if not, why; 200 either way.

https://hl7.org/fhir/R4/resource-operation-validate.html
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.resources.types import RESOURCE_TYPES
from tests.http.samples import observation, patient
from tests.http.server import Server, Tree, load, refused
from tests.strategies import resources


def parameters(resource: Tree | None = None, **simple: str) -> Tree:
    """Return the operation's arguments as Parameters."""
    listed: list[Tree] = [] if resource is None else [{"name": "resource", "resource": resource}]
    for name, value in simple.items():
        listed.append({"name": name, "valueUri" if name == "profile" else "valueCode": value})
    return {"resourceType": "Parameters", "parameter": listed}


def verdict(server: Server, path: str, body: Tree) -> list[Tree]:
    """Return the issues of severity error."""
    answer = server.post(path, body)
    assert answer.status_code == 200, answer.text
    tree = load(answer)
    assert tree["resourceType"] == "OperationOutcome"
    return [issue for issue in tree["issue"] if issue["severity"] in {"error", "fatal"}]


@pytest.mark.parametrize("wrap", [lambda tree: tree, parameters], ids=["bare", "Parameters"])
def test_a_valid_resource_has_no_errors_and_an_invalid_one_tells_each(
    server: Server, wrap: Callable[[Tree], Tree]
) -> None:
    bad = patient(gender="f", birthDate="soon")

    assert verdict(server, "Patient/$validate", wrap(patient())) == []
    places = {issue["expression"][0] for issue in verdict(server, "Patient/$validate", wrap(bad))}
    assert places == {"Patient.gender", "Patient.birthDate"}


def test_nothing_is_stored(server: Server) -> None:
    before = load(server.get("_history?_count=0"))["total"]
    verdict(server, "Patient/$validate", patient())

    assert load(server.get("_history?_count=0"))["total"] == before


@settings(max_examples=2)
@given(data=st.data())
@pytest.mark.parametrize("type_", sorted(RESOURCE_TYPES))
def test_every_type_is_validated(server: Server, type_: str, data: st.DataObject) -> None:
    tree = data.draw(resources(type_))

    issues = load(server.post(f"{type_}/$validate", tree))["issue"]

    # The strategy minds shape, not invariants nor what may be referred to.
    shape = [i for i in issues if i["severity"] == "error" and i["code"] in {"structure", "required"}]
    assert shape == []
    broken = {**tree, "notAnElement": True}
    assert any("notAnElement" in str(i) for i in verdict(server, f"{type_}/$validate", broken))


@pytest.mark.parametrize(
    ("mode", "resource", "ok"),
    [
        ("create", patient(), True),
        ("create", patient(id="x"), True),
        ("create", patient(gender="f"), False),
        ("update", patient(id="x"), True),
        ("update", patient(), False),
        ("update", patient(id="x", gender="f"), False),
    ],
)
def test_the_mode_says_which_interaction_is_meant(
    server: Server, mode: str, resource: Tree, *, ok: bool
) -> None:
    by_body = verdict(server, "Patient/$validate", parameters(resource, mode=mode))
    by_url = verdict(server, f"Patient/$validate?mode={mode}", resource)

    assert (by_body == []) is ok
    assert (by_url == []) is ok


def test_an_update_of_an_instance_needs_its_id(server: Server, patient_id: str) -> None:
    path = f"Patient/{patient_id}/$validate?mode=update"

    assert verdict(server, path, patient(id=patient_id)) == []
    assert [i["expression"] for i in verdict(server, path, patient(id="other"))] == [["Patient.id"]]


def test_an_instance_is_validated_as_it_is_stored(server: Server, patient_id: str) -> None:
    by_get = load(server.get(f"Patient/{patient_id}/$validate"))

    assert {issue["severity"] for issue in by_get["issue"]} <= {"warning", "information"}
    assert verdict(server, f"Patient/{patient_id}/$validate", parameters()) == []
    refused(server.get("Patient/nobody/$validate"), 404, "not-found")


def test_mode_delete_says_whether_a_delete_would_pass(serve: Callable[..., Server]) -> None:
    server = serve(referential_integrity=True)
    id_ = server.create(patient())["id"]
    path = f"Patient/{id_}/$validate"

    assert verdict(server, path, parameters(mode="delete")) == []
    server.create(observation(f"Patient/{id_}"))
    assert [issue["code"] for issue in verdict(server, path, parameters(mode="delete"))] == ["conflict"]
    assert server.delete(f"Patient/{id_}").status_code == 409


def test_mode_delete_needs_an_instance_that_exists(server: Server, patient_id: str) -> None:
    server.delete(f"Patient/{patient_id}")

    refused(server.post("Patient/$validate?mode=delete", parameters()), 400, "invalid")
    refused(server.get(f"Patient/{patient_id}/$validate?mode=delete"), 410, "deleted")


def test_a_resource_of_another_type_is_an_error(server: Server) -> None:
    assert verdict(server, "Patient/$validate", {"resourceType": "Basic", "code": {"text": "x"}})
    assert verdict(server, "Basic/$validate", {"resourceType": "Basic", "code": {"text": "x"}}) == []


def test_a_profile_that_is_not_known_is_an_error_and_the_base_definition_is_none(server: Server) -> None:
    base = "http://hl7.org/fhir/StructureDefinition/Patient"

    assert verdict(server, "Patient/$validate", parameters(patient(), profile=base)) == []
    unknown = verdict(server, "Patient/$validate", parameters(patient(), profile="http://x.example/p"))
    assert [issue["code"] for issue in unknown] == ["not-supported"]


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("Patient/$validate?mode=destroy", patient(), "value"),
        ("Patient/$validate?modus=create", patient(), "not-supported"),
        ("Patient/$validate", parameters(), "invalid"),
        ("Patient/$validate", {"resourceType": "Parameters", "parameter": [{"name": "resource"}]}, "invalid"),
    ],
)
def test_arguments_that_make_no_sense_are_400(server: Server, path: str, body: Tree, code: str) -> None:
    refused(server.post(path, body), 400, code)


def test_parameters_themselves_can_be_validated(server: Server) -> None:
    good = {"resourceType": "Parameters", "parameter": [{"name": "x", "valueString": "y"}]}
    bad = {"resourceType": "Parameters", "parameter": [{"valueString": "y"}]}

    for wrap in (parameters, dict):
        assert verdict(server, "Parameters/$validate", wrap(good)) == []
        assert verdict(server, "Parameters/$validate", wrap(bad))
    assert verdict(server, "Parameters/$validate?mode=update", good), "an update needs an id"
    assert verdict(server, "Parameters/$validate", {"resourceType": "Parameters", "parameter": "x"})
