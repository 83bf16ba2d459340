"""FHIRPath Patch: five operations on values of every kind, and refusals that name the operation."""

from __future__ import annotations

import copy
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.faults import Fault, Kind
from fhir_server.resources.patch_fhirpath import apply
from tests.strategies import resources


def patient() -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": "1",
        "name": [
            {"use": "official", "family": "W", "given": ["A", "B"], "_given": [None, {"id": "b"}]},
            {"use": "usual", "text": "X"},
        ],
        "birthDate": "2000-01-01",
        "_birthDate": {"id": "d"},
        "deceasedBoolean": False,
        "contact": [{"name": {"text": "C"}}],
        "maritalStatus": {"text": "m"},
    }


def parts(**given: Any) -> list[dict[str, Any]]:
    keys = {"type": "valueCode", "path": "valueString", "name": "valueString"}
    return [
        {"name": name, **value} if name == "value" else {"name": name, keys.get(name, "valueInteger"): value}
        for name, value in given.items()
    ]


def operation(**given: Any) -> dict[str, Any]:
    return {"name": "operation", "part": parts(**given)}


def patched(*operations: Any, tree: dict[str, Any] | None = None) -> dict[str, Any]:
    return apply(tree or patient(), {"resourceType": "Parameters", "parameter": list(operations)})


def refused(kind: Kind, *operations: Any) -> str:
    with pytest.raises(Fault) as caught:
        patched(*operations)
    assert caught.value.kind is kind
    assert caught.value.issues[0].expression == (f"Parameters.parameter[{len(operations) - 1}]",)
    return caught.value.diagnostics


def test_adds_a_single_element_and_a_list_item() -> None:
    tree = patched(
        operation(type="add", path="Patient", name="gender", value={"valueCode": "male"}),
        operation(type="add", path="Patient", name="name", value={"valueHumanName": {"family": "N"}}),
        operation(type="add", path="Patient", name="telecom", value={"valueContactPoint": {"value": "1"}}),
    )

    assert tree["gender"] == "male"
    assert tree["name"][2:] == [{"family": "N"}]
    assert tree["telecom"] == [{"value": "1"}]


@pytest.mark.parametrize("name", ["multipleBirth", "multipleBirth[x]", "multipleBirthBoolean"])
def test_adds_a_choice_under_the_property_of_its_type(name: str) -> None:
    tree = patched(operation(type="add", path="Patient", name=name, value={"valueInteger": 2}))

    assert tree["multipleBirthInteger"] == 2


def test_adds_an_object_built_of_parts() -> None:
    coding = {"coding": [{"code": "N"}]}
    value = {
        "part": [
            {"name": "name", "valueHumanName": {"text": "D"}},
            {"name": "relationship", "valueCodeableConcept": coding},
            {"name": "relationship", "valueCodeableConcept": coding},
            {"name": "gender", "valueCode": "male"},
        ]
    }

    tree = patched(operation(type="add", path="Patient", name="contact", value=value))

    assert tree["contact"][1] == {"name": {"text": "D"}, "relationship": [coding, coding], "gender": "male"}


def test_adds_nested_parts_and_extensions_of_primitives() -> None:
    value = {
        "part": [
            {"name": "family", "valueString": "F"},
            {"name": "given", "valueString": "A"},
            {"name": "given", "valueString": "B", "_valueString": {"id": "x"}},
            {"name": "period", "part": [{"name": "start", "valueDateTime": "2026"}]},
        ]
    }

    assert patched(operation(type="add", path="Patient", name="name", value=value))["name"][2] == {
        "family": "F",
        "given": ["A", "B"],
        "_given": [None, {"id": "x"}],
        "period": {"start": "2026"},
    }


def test_adds_a_contained_resource() -> None:
    basic = {"resourceType": "Basic", "id": "b"}

    tree = patched(operation(type="add", path="Patient", name="contained", value={"resource": basic}))

    assert tree["contained"] == [basic]


def test_adds_an_extension_to_a_primitive() -> None:
    extension = {"url": "u", "valueDecimal": Decimal("1.10")}
    add = {"type": "add", "name": "extension", "value": {"valueExtension": extension}}
    untyped = {"type": "add", "name": "extension", "value": {"part": [{"name": "url", "valueUri": "u"}]}}

    tree = patched(
        operation(**untyped, path="Patient.birthDate"),
        operation(**untyped, path="Patient.deceased"),
        operation(**untyped, path="Patient.name[0].given[0]"),
    )

    assert tree["_birthDate"] == {"id": "d", "extension": [{"url": "u"}]}
    assert tree["_deceasedBoolean"] == {"extension": [{"url": "u"}]}
    assert tree["name"][0]["_given"] == [{"extension": [{"url": "u"}]}, {"id": "b"}]
    refused(Kind.BAD_REQUEST, operation(**add, path="Patient.birthDate"))


@pytest.mark.parametrize(("index", "given"), [(0, "NAB"), (1, "ANB"), (2, "ABN")])
def test_inserts_into_a_list_and_keeps_extensions_beside_their_values(index: int, given: str) -> None:
    name = patched(
        operation(type="insert", path="Patient.name[0].given", value={"valueString": "N"}, index=index)
    )["name"][0]

    assert name["given"] == list(given)
    assert name["_given"] == [{"id": "b"} if letter == "B" else None for letter in given]


def test_deletes_an_item_an_element_and_what_is_not_there() -> None:
    tree = patched(
        operation(type="delete", path="Patient.name.where(use = 'usual')"),
        operation(type="delete", path="Patient.name[0].given[1]"),
        operation(type="delete", path="Patient.birthDate"),
        operation(type="delete", path="Patient.deceased"),
        operation(type="delete", path="Patient.contact"),
        operation(type="delete", path="Patient.photo"),
    )

    assert tree == {
        "resourceType": "Patient",
        "id": "1",
        "name": [{"use": "official", "family": "W", "given": ["A"]}],
        "maritalStatus": {"text": "m"},
    }


def test_replaces_primitives_objects_items_and_choices() -> None:
    tree = patched(
        operation(type="replace", path="Patient.birthDate", value={"valueDate": "1999"}),
        operation(
            type="replace", path="Patient.maritalStatus", value={"valueCodeableConcept": {"text": "s"}}
        ),
        operation(type="replace", path="Patient.name[0].given[1]", value={"valueString": "Z"}),
        operation(type="replace", path="Patient.contact[0].name.text", value={"valueString": "Y"}),
        operation(type="replace", path="Patient.deceased", value={"valueDateTime": "2026"}),
    )

    assert (tree["birthDate"], "_birthDate" in tree) == ("1999", False)
    assert tree["maritalStatus"] == {"text": "s"}
    assert tree["name"][0] == {"use": "official", "family": "W", "given": ["A", "Z"]}
    assert tree["contact"] == [{"name": {"text": "Y"}}]
    assert (tree["deceasedDateTime"], "deceasedBoolean" in tree) == ("2026", False)


def test_moves_within_a_list() -> None:
    tree = patched(
        operation(type="move", path="Patient.name", source=0, destination=1),
        operation(type="move", path="Patient.name[1].given", source=1, destination=0),
    )

    assert [name["use"] for name in tree["name"]] == ["usual", "official"]
    assert (tree["name"][1]["given"], tree["name"][1]["_given"]) == (["B", "A"], [{"id": "b"}, None])


def test_leaves_its_arguments_alone_even_when_later_operations_change_an_added_value() -> None:
    tree = patient()
    patch = {
        "resourceType": "Parameters",
        "parameter": [
            operation(type="add", path="Patient", name="name", value={"valueHumanName": {"family": "N"}}),
            operation(type="replace", path="Patient.name[2].family", value={"valueString": "O"}),
        ],
    }
    before = copy.deepcopy(patch)

    assert apply(tree, patch)["name"][2] == {"family": "O"}
    assert apply(tree, patch)["name"][2] == {"family": "O"}
    assert (tree, patch) == (patient(), before)


@pytest.mark.parametrize(
    "given_",
    [
        {"type": "add", "path": "Patient", "name": "birthDate", "value": {"valueDate": "2000"}},
        {"type": "add", "path": "Patient", "name": "deceased", "value": {"valueDateTime": "2000"}},
        {"type": "add", "path": "Patient", "name": "nothing", "value": {"valueDate": "2000"}},
        {"type": "add", "path": "Patient", "name": "gender", "value": {"valueBoolean": True}},
        {"type": "add", "path": "Patient", "name": "multipleBirth", "value": {"valueString": "x"}},
        {"type": "add", "path": "Patient", "name": "gender", "value": {"part": [{"name": "x"}]}},
        {
            "type": "add",
            "path": "Patient",
            "name": "gender",
            "value": {"resource": {"resourceType": "Basic"}},
        },
        {"type": "add", "path": "Patient.photo", "name": "url", "value": {"valueUrl": "x"}},
        {"type": "add", "path": "Patient.name", "name": "text", "value": {"valueString": "x"}},
        {"type": "insert", "path": "Patient.photo", "index": 0, "value": {"valueAttachment": {}}},
        {"type": "insert", "path": "Patient.name", "index": 3, "value": {"valueHumanName": {}}},
        {"type": "insert", "path": "Patient.name", "index": -1, "value": {"valueHumanName": {}}},
        {"type": "insert", "path": "Patient.name[0]", "index": 0, "value": {"valueHumanName": {}}},
        {
            "type": "insert",
            "path": "Patient.name.given | Patient.name.text",
            "index": 0,
            "value": {"valueString": "x"},
        },
        {"type": "insert", "path": "Patient.birthDate", "index": 0, "value": {"valueDate": "2000"}},
        {"type": "delete", "path": "Patient"},
        {"type": "delete", "path": "Patient.name"},
        {"type": "delete", "path": "Patient.name.count()"},
        {"type": "delete", "path": "'x'"},
        {"type": "replace", "path": "Patient.photo", "value": {"valueAttachment": {}}},
        {"type": "replace", "path": "Patient.name", "value": {"valueHumanName": {}}},
        {"type": "replace", "path": "Patient.birthDate", "value": {"valueInteger": 1}},
        {"type": "replace", "path": "Patient.name[0", "value": {"valueHumanName": {}}},
        {"type": "replace", "path": "Patient.nosuch()", "value": {"valueHumanName": {}}},
        {"type": "move", "path": "Patient.name", "source": 2, "destination": 0},
        {"type": "move", "path": "Patient.name", "source": 0, "destination": 2},
    ],
)
def test_refuses_what_does_not_fit_the_resource(given_: dict[str, Any]) -> None:
    refused(Kind.UNPROCESSABLE, operation(type="delete", path="Patient.photo"), operation(**given_))


@pytest.mark.parametrize(
    "bad",
    [
        "x",
        {"name": "operation"},
        {"name": "other", "part": []},
        {"name": "operation", "part": ["x"]},
        {"name": "operation", "part": [{"name": "unknown", "valueString": "x"}]},
        operation(path="Patient"),
        operation(type="smash", path="Patient"),
        operation(type="delete"),
        operation(type="delete", path=""),
        operation(type="delete", path=1),
        operation(type="add", path="Patient", value={"valueCode": "male"}),
        operation(type="add", path="Patient", name="gender"),
        operation(type="add", path="Patient", name="gender", value={}),
        operation(type="add", path="Patient", name="gender", value={"valueCode": "male", "valueString": "x"}),
        operation(type="add", path="Patient", name="contact", value={"part": []}),
        operation(type="add", path="Patient", name="contact", value={"part": ["x"]}),
        operation(type="insert", path="Patient.name", value={"valueHumanName": {}}),
        operation(type="insert", path="Patient.name", value={"valueHumanName": {}}, index=True),
        operation(type="move", path="Patient.name", source=0),
        {"name": "operation", "part": parts(type="delete", path="x") + parts(path="y")},
    ],
)
def test_refuses_a_malformed_operation_and_says_which(bad: Any) -> None:
    words = refused(Kind.BAD_REQUEST, operation(type="delete", path="Patient.photo"), bad)

    assert words.startswith("Operation 2 of the patch")


@pytest.mark.parametrize("listed", [None, [], {}, "x"])
def test_refuses_a_patch_without_operations(listed: Any) -> None:
    with pytest.raises(Fault) as caught:
        apply(patient(), {"resourceType": "Parameters", "parameter": listed})
    assert caught.value.kind is Kind.BAD_REQUEST


def test_refuses_a_result_that_nests_too_deep() -> None:
    url = {"name": "url", "valueUri": "u"}
    parts_ = [url]
    for _ in range(20):
        parts_ = [url, {"name": "extension", "part": parts_}]
    add = operation(type="add", path="Patient", name="extension", value={"part": parts_})
    further = operation(
        type="add",
        path="Patient.extension" + ".extension" * 20,
        name="extension",
        value={"part": parts_},
    )

    patched(add)
    with pytest.raises(Fault, match="deeper"):
        patched(add, further)


ANY = st.none() | st.integers(-1, 3) | st.text(max_size=3) | st.just([{"name": "text", "valueString": "x"}])
PATHS = st.sampled_from(
    ["Patient", "Patient.name", "Patient.name[0].given", "name.given[0]", "Patient.deceased", "x("]
)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"type": st.sampled_from(["add", "insert", "delete", "replace", "move"]), "path": PATHS},
            optional={
                "name": st.sampled_from(["name", "given", "extension", "text"]) | ANY,
                "value": st.dictionaries(
                    st.sampled_from(["valueString", "_valueString", "part", "resource"]), ANY
                ),
                "index": ANY,
                "source": ANY,
                "destination": ANY,
            },
        ),
        min_size=1,
        max_size=3,
    )
)
def test_any_patch_gives_a_tree_or_a_fault(listed: list[dict[str, Any]]) -> None:
    with suppress(Fault):
        assert patched(*(operation(**given_) for given_ in listed))["resourceType"] == "Patient"


@given(resources("Patient"))
def test_adding_and_deleting_again_changes_nothing(tree: dict[str, Any]) -> None:
    add = operation(type="add", path="Patient", name="name", value={"valueHumanName": {"text": "new"}})
    delete = operation(type="delete", path="Patient.name.last()")

    assert patched(add, delete, tree=tree) == tree
