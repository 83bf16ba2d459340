"""JSON Patch: RFC 6902 on trees, decimals kept; refusals name the operation and quote nothing."""

from __future__ import annotations

import copy
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.faults import Fault, Kind
from fhir_server.resources.codec import encode
from fhir_server.resources.patch_json import apply


def tree() -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": "1",
        "active": True,
        "name": [{"family": "Secretname", "given": ["A", "B"]}],
        "extension": [{"url": "u", "valueDecimal": Decimal("1.10")}],
        "a/b~c": 1,
    }


def refused(kind: Kind, *operations: Any) -> str:
    with pytest.raises(Fault) as caught:
        apply(tree(), list(operations))
    assert caught.value.kind is kind
    assert "Secretname" not in caught.value.diagnostics
    return caught.value.diagnostics


@pytest.mark.parametrize(
    ("operation", "changed"),
    [
        ({"op": "add", "path": "/gender", "value": "male"}, {"gender": "male"}),
        ({"op": "add", "path": "/active", "value": False}, {"active": False}),
        (
            {"op": "add", "path": "/name/0/given/1", "value": "X"},
            {"name": [{"family": "Secretname", "given": ["A", "X", "B"]}]},
        ),
        (
            {"op": "add", "path": "/name/-", "value": {}},
            {"name": [{"family": "Secretname", "given": ["A", "B"]}, {}]},
        ),
        ({"op": "remove", "path": "/name/0/given"}, {"name": [{"family": "Secretname"}]}),
        ({"op": "replace", "path": "/id", "value": "2"}, {"id": "2"}),
        (
            {"op": "move", "from": "/name/0/given/0", "path": "/name/0/given/1"},
            {"name": [{"family": "Secretname", "given": ["B", "A"]}]},
        ),
        ({"op": "copy", "from": "/active", "path": "/x"}, {"x": True}),
        ({"op": "test", "path": "/active", "value": True}, {}),
        ({"op": "test", "path": "/extension/0/valueDecimal", "value": Decimal("1.1")}, {}),
        ({"op": "test", "path": "/a~1b~0c", "value": 1}, {}),
    ],
)
def test_does_each_operation(operation: Any, changed: dict[str, Any]) -> None:
    assert apply(tree(), [operation]) == {**tree(), **changed}


def test_keeps_the_digits_of_decimals() -> None:
    patched = apply(tree(), [{"op": "copy", "from": "/extension/0", "path": "/extension/-"}])

    assert encode(patched).count(b"1.10") == 2


def test_does_operations_in_order_and_leaves_its_arguments_alone() -> None:
    given_ = tree()
    patch = [
        {"op": "add", "path": "/contact", "value": [{"name": {}}]},
        {"op": "add", "path": "/contact/0/name/text", "value": "x"},
    ]
    before = copy.deepcopy(patch)

    assert apply(given_, patch)["contact"] == [{"name": {"text": "x"}}]
    assert (given_, patch) == (tree(), before)


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/gender"},
        {"op": "replace", "path": "/gender", "value": 1},
        {"op": "add", "path": "/contact/0/name", "value": 1},
        {"op": "add", "path": "/name/3", "value": 1},
        {"op": "add", "path": "/name/01", "value": 1},
        {"op": "remove", "path": "/name/-1"},
        {"op": "add", "path": "/active/x", "value": 1},
        {"op": "test", "path": "/active", "value": 1},
        {"op": "test", "path": "/name/0/family", "value": "x"},
        {"op": "test", "path": "/gender", "value": None},
        {"op": "move", "from": "/name", "path": "/name/0/x"},
        {"op": "copy", "from": "/nothing", "path": "/x"},
        {"op": "remove", "path": ""},
        {"op": "replace", "path": "", "value": []},
    ],
)
def test_refuses_what_does_not_fit_the_resource(operation: dict[str, Any]) -> None:
    refused(Kind.UNPROCESSABLE, operation)


@pytest.mark.parametrize(
    "operation",
    [
        "x",
        None,
        [],
        {},
        {"op": "add", "path": "/x"},
        {"op": "add", "value": 1},
        {"op": "smash", "path": "/x"},
        {"op": ["add"], "path": "/x", "value": 1},
        {"op": "add", "path": 5, "value": 1},
        {"op": "add", "path": "x", "value": 1},
        {"op": "add", "path": "/a~2", "value": 1},
        {"op": "copy", "path": "/x"},
        {"op": "copy", "path": "/x", "from": 1},
        {"op": "replace", "path": "/name/-", "value": 1},
    ],
)
def test_refuses_a_malformed_operation_and_says_which(operation: Any) -> None:
    words = refused(Kind.BAD_REQUEST, {"op": "test", "path": "/active", "value": True}, operation)

    assert words.startswith("Operation 2 of the patch")


def test_refuses_copies_that_grow_without_end() -> None:
    doubling = [
        {"op": "copy", "from": "/name", "path": "/name/0/x"},
        {"op": "copy", "from": "/name", "path": "/name/0/y"},
    ]

    assert "copies too much" in refused(Kind.UNPROCESSABLE, *(doubling * 40))


def test_refuses_a_result_that_nests_too_deep() -> None:
    deep: Any = "x"
    for _ in range(60):
        deep = [deep]
    into = {"op": "add", "path": "/name/0/x", "value": deep}
    further = {"op": "add", "path": "/name/0/x" + "/0" * 50 + "/-", "value": deep}

    apply(tree(), [into])
    assert "deeper" in refused(Kind.UNPROCESSABLE, into, further)


POINTERS = st.text("/0-a~1name", max_size=8) | st.sampled_from(["/name/0/given/0", "/active", "/name", ""])


@given(
    st.lists(
        st.fixed_dictionaries(
            {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]), "path": POINTERS},
            optional={"from": POINTERS, "value": st.none() | st.integers() | st.just({"a": [1]})},
        ),
        max_size=4,
    )
)
def test_any_patch_gives_a_tree_or_a_fault(patch: list[Any]) -> None:
    with suppress(Fault):
        assert type(apply(tree(), patch)) is dict
