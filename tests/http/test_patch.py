"""JSON Patch and FHIRPath Patch, addressed and conditional.

https://hl7.org/fhir/R4/http.html#patch and https://hl7.org/fhir/R4/fhirpatch.html
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.http.samples import patient, tagged, unique
from tests.http.server import Server, Tree, load, refused

PATCH_XML = b"""<Parameters xmlns="http://hl7.org/fhir"><parameter><name value="operation"/>
<part><name value="type"/><valueCode value="replace"/></part>
<part><name value="path"/><valueString value="Patient.gender"/></part>
<part><name value="value"/><valueCode value="male"/></part></parameter></Parameters>"""


def operation(type_: str, path: str, **parts: Any) -> Tree:
    """Return one operation of a FHIRPath Patch; ``parts``: name, index, source, destination, value[x]."""
    given = [{"name": "type", "valueCode": type_}, {"name": "path", "valueString": path}]
    for name, value in parts.items():
        if name in {"index", "source", "destination"}:
            given.append({"name": name, "valueInteger": value})
        elif name == "name":
            given.append({"name": name, "valueString": value})
        else:
            given.append({"name": "value", name: value})
    return {"name": "operation", "part": given}


def fhirpath(*operations: Tree) -> Tree:
    """Return a FHIRPath Patch."""
    return {"resourceType": "Parameters", "parameter": list(operations)}


@pytest.fixture
def named(server: Server) -> str:
    """Create a Patient with three given names."""
    tree = server.create(patient(name=[{"family": "F", "given": ["a", "b", "c"]}]))
    return f"Patient/{tree['id']}"


def given(server: Server, address: str) -> list[str]:
    """Return the given names as they now are."""
    names: list[str] = load(server.get(address))["name"][0]["given"]
    return names


@pytest.mark.parametrize(
    ("patch", "names"),
    [
        ([{"op": "add", "path": "/name/0/given/1", "value": "x"}], ["a", "x", "b", "c"]),
        ([{"op": "add", "path": "/name/0/given/-", "value": "x"}], ["a", "b", "c", "x"]),
        ([{"op": "remove", "path": "/name/0/given/0"}], ["b", "c"]),
        ([{"op": "replace", "path": "/name/0/given/2", "value": "x"}], ["a", "b", "x"]),
        ([{"op": "move", "from": "/name/0/given/2", "path": "/name/0/given/0"}], ["c", "a", "b"]),
        ([{"op": "copy", "from": "/name/0/given/0", "path": "/name/0/given/-"}], ["a", "b", "c", "a"]),
        (
            [
                {"op": "test", "path": "/name/0/given/0", "value": "a"},
                {"op": "replace", "path": "/name/0/given/0", "value": "x"},
            ],
            ["x", "b", "c"],
        ),
    ],
)
def test_json_patch_changes_what_it_names(
    server: Server, named: str, patch: list[Tree], names: list[str]
) -> None:
    answer = server.patch(named, patch)

    assert (answer.status_code, answer.headers["etag"]) == (200, 'W/"2"'), answer.text
    assert given(server, named) == names


@pytest.mark.parametrize(
    "patch",
    [
        [{"op": "test", "path": "/name/0/given/0", "value": "z"}],
        [{"op": "remove", "path": "/name/0/given/9"}],
        [{"op": "remove", "path": "/nickname"}],
        [{"op": "replace", "path": "/name/7/given/0", "value": "z"}],
        [{"op": "add", "path": "/name/0/given/01", "value": "z"}],
        [{"op": "move", "from": "/name", "path": "/name/0"}],
        [{"op": "add", "path": "/name/0/given/-"}],
        [{"op": "jump", "path": "/name"}],
        [{"path": "/name"}],
        [{"op": "remove", "path": "name"}],
        [{"op": "add", "path": "/birthDate", "value": "soon"}],
        [{"op": "remove", "path": "/resourceType"}],
        [{"op": "replace", "path": "/id", "value": "other"}],
        [{"op": "replace", "path": "", "value": []}],
        ["remove"],
        [{"op": "remove", "path": "/active"}, {"op": "remove", "path": "/active"}],
    ],
)
def test_a_json_patch_that_cannot_be_applied_changes_nothing(
    server: Server, named: str, patch: list[Any]
) -> None:
    answer = server.patch(named, patch)

    assert answer.status_code in {400, 422}, answer.text
    assert server.get(named).headers["etag"] == 'W/"1"'


def test_json_patch_keeps_digits(server: Server, patient_id: str) -> None:
    body = b'[{"op":"add","path":"/extension","value":[{"url":"http://x.example","valueDecimal":1.10}]}]'

    answer = server.patch(f"Patient/{patient_id}", body, content_type="application/json-patch+json")

    assert answer.status_code == 200
    assert b'"valueDecimal":1.10}' in server.get(f"Patient/{patient_id}").content


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (operation("add", "Patient.name[0]", name="given", valueString="x"), ["a", "b", "c", "x"]),
        (operation("insert", "Patient.name[0].given", index=1, valueString="x"), ["a", "x", "b", "c"]),
        (operation("delete", "Patient.name[0].given[0]"), ["b", "c"]),
        (operation("replace", "Patient.name[0].given[2]", valueString="x"), ["a", "b", "x"]),
        (operation("move", "Patient.name[0].given", source=2, destination=0), ["c", "a", "b"]),
        (
            operation("replace", "Patient.name.where(family='F').given.first()", valueString="x"),
            ["x", "b", "c"],
        ),
    ],
)
def test_fhirpath_patch_changes_what_it_names(
    server: Server, named: str, change: Tree, names: list[str]
) -> None:
    answer = server.patch(named, fhirpath(change))

    assert (answer.status_code, answer.headers["etag"]) == (200, 'W/"2"'), answer.text
    assert given(server, named) == names


def test_fhirpath_patch_adds_and_deletes_whole_elements(server: Server, patient_id: str) -> None:
    address = f"Patient/{patient_id}"

    answer = server.patch(
        address,
        fhirpath(
            operation("delete", "Patient.telecom"),
            operation("replace", "Patient.birthDate", valueDate="1980-02-03"),
            operation("add", "Patient", name="maritalStatus", valueCodeableConcept={"text": "wed"}),
            operation("delete", "Patient.deceased"),
        ),
    )

    tree = load(answer)
    assert answer.status_code == 200
    assert "telecom" not in tree
    assert tree["birthDate"] == "1980-02-03"
    assert tree["maritalStatus"] == {"text": "wed"}


def test_fhirpath_patch_adds_a_choice_under_its_json_name(server: Server, patient_id: str) -> None:
    answer = server.patch(
        f"Patient/{patient_id}", fhirpath(operation("add", "Patient", name="deceased", valueBoolean=True))
    )

    assert load(answer)["deceasedBoolean"] is True


@pytest.mark.parametrize(
    "change",
    [
        operation("replace", "Patient.name[0].given", valueString="x"),
        operation("replace", "Patient.nothing[", valueString="x"),
        operation("insert", "Patient.name[0].given", index=9, valueString="x"),
        operation("move", "Patient.name[0].given", source=7, destination=0),
        operation("add", "Patient", name="nickname", valueString="x"),
        operation("replace", "Patient.gender", valueCode="f"),
        operation("replace", "Patient.id", valueId="other"),
        operation("replace", "Patient.contact.name", valueString="x"),
        operation("jump", "Patient.gender"),
        {"name": "operation", "part": []},
        {"name": "operation"},
        {"name": "other", "part": [{"name": "type", "valueCode": "add"}]},
    ],
)
def test_a_fhirpath_patch_that_cannot_be_applied_changes_nothing(
    server: Server, named: str, change: Tree
) -> None:
    answer = server.patch(named, fhirpath(change))

    assert answer.status_code in {400, 422}, answer.text
    assert server.get(named).headers["etag"] == 'W/"1"'


def test_fhirpath_patch_works_in_xml(server: Server, patient_id: str) -> None:
    answer = server.patch(f"Patient/{patient_id}", PATCH_XML, content_type="application/fhir+xml")

    assert answer.status_code == 200, answer.text
    assert load(server.get(f"Patient/{patient_id}"))["gender"] == "male"


def test_a_patch_that_changes_nothing_makes_no_version(server: Server, patient_id: str) -> None:
    answer = server.patch(f"Patient/{patient_id}", [{"op": "replace", "path": "/gender", "value": "female"}])

    assert (answer.status_code, answer.headers["etag"]) == (200, 'W/"1"')


def test_if_match_holds_for_a_patch(server: Server, patient_id: str) -> None:
    change = [{"op": "replace", "path": "/gender", "value": "male"}]

    refused(server.patch(f"Patient/{patient_id}", change, if_match='W/"2"'), 412, "conflict")
    assert server.patch(f"Patient/{patient_id}", change, if_match='W/"1"').status_code == 200


def test_patching_the_unknown_is_404_and_the_deleted_410(server: Server, patient_id: str) -> None:
    change = [{"op": "remove", "path": "/gender"}]
    server.delete(f"Patient/{patient_id}")

    refused(server.patch(f"Patient/{unique()}", change), 404, "not-found")
    refused(server.patch(f"Patient/{patient_id}", change), 410, "deleted")


def test_a_conditional_patch_changes_its_one_match(server: Server) -> None:
    tag = unique()
    id_ = server.create(patient(tag))["id"]

    answer = server.patch(f"Patient?{tagged(tag)}", fhirpath(operation("delete", "Patient.gender")))

    assert (answer.status_code, load(answer)["id"]) == (200, id_)
    assert "gender" not in load(server.get(f"Patient/{id_}"))


def test_a_conditional_patch_with_no_or_several_matches_is_refused(server: Server) -> None:
    tag = unique()
    change = [{"op": "remove", "path": "/gender"}]

    refused(server.patch(f"Patient?{tagged(tag)}", change), 404, "not-found")
    ids = [server.create(patient(tag))["id"] for _ in range(2)]
    refused(server.patch(f"Patient?{tagged(tag)}", change), 412, "multiple-matches")

    assert [server.get(f"Patient/{id_}").headers["etag"] for id_ in ids] == ['W/"1"'] * 2


def test_a_patch_of_another_kind_is_refused(server: Server, patient_id: str) -> None:
    address = f"Patient/{patient_id}"

    refused(server.patch(address, patient()), 400, "invalid")
    refused(server.patch(address, b"{}", content_type="application/merge-patch+json"), 415, "not-supported")
    refused(server.patch(address, b"[]", content_type="application/fhir+json"), 400, "structure")
    refused(server.patch(address, b"{}", content_type="application/json-patch+json"), 400, "structure")
