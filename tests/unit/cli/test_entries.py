"""What is asked of the server for a Bundle or a resource."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.cli.loading.entries import entries, is_transaction
from fhir_server.faults import Fault

Tree = dict[str, Any]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["resourceType", "type", "id", "entry", "resource", "request", "fullUrl", "search", "mode"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def bundle(kind: str, *listed: Tree) -> Tree:
    return {"resourceType": "Bundle", "type": kind, "entry": list(listed)}


def requests(tree: Tree) -> list[tuple[str, str]]:
    return [(entry["request"]["method"], entry["request"]["url"]) for _, entry in entries(tree)]


def test_a_resource_with_an_id_is_put_and_one_without_is_created() -> None:
    assert requests({"resourceType": "Patient", "id": "a"}) == [("PUT", "Patient/a")]
    assert requests({"resourceType": "Patient"}) == [("POST", "Patient")]


def test_the_entries_of_a_batch_keep_their_requests() -> None:
    asked = {
        "resource": {"resourceType": "Patient"},
        "request": {"method": "POST", "url": "Patient", "ifNoneExist": "x=1"},
    }

    assert entries(bundle("batch", asked)) == [("Bundle.entry[0]", asked)]


def test_references_within_a_collection_follow_their_resources() -> None:
    with_id = {"fullUrl": "urn:uuid:1", "resource": {"resourceType": "Patient", "id": "a"}}
    without = {
        "fullUrl": "urn:uuid:2",
        "resource": {"resourceType": "Encounter", "subject": {"reference": "urn:uuid:1"}},
    }
    pointing = {
        "resource": {"resourceType": "Condition", "id": "c", "encounter": {"reference": "urn:uuid:2"}}
    }

    made = [entry for _, entry in entries(bundle("collection", with_id, without, pointing))]

    assert [entry["request"]["url"] for entry in made] == ["Patient/a", "Encounter/2", "Condition/c"]
    assert made[1]["resource"] == {
        "resourceType": "Encounter",
        "id": "2",
        "subject": {"reference": "Patient/a"},
    }
    assert made[2]["resource"]["encounter"] == {"reference": "Encounter/2"}


def test_references_out_of_a_collection_stay_as_they_are() -> None:
    outside = {"resource": {"resourceType": "Condition", "id": "c", "subject": {"reference": "urn:uuid:9"}}}

    ((_, entry),) = entries(bundle("collection", outside))

    assert entry["resource"]["subject"] == {"reference": "urn:uuid:9"}


def test_remarks_in_a_searchset_are_left_out() -> None:
    match = {"resource": {"resourceType": "Patient", "id": "a"}, "search": {"mode": "match"}}
    remark = {"resource": {"resourceType": "OperationOutcome"}, "search": {"mode": "outcome"}}

    assert requests(bundle("searchset", match, remark)) == [("PUT", "Patient/a")]


@pytest.mark.parametrize("kind", ["document", "message"])
def test_documents_and_messages_are_kept_whole(kind: str) -> None:
    whole = bundle(kind, {"resource": {"resourceType": "Composition", "id": "c"}})

    assert [(entry["resource"], entry["request"]["url"]) for _, entry in entries(whole)] == [
        (whole, "Bundle")
    ]


@pytest.mark.parametrize("kind", ["history", "batch-response", "transaction-response", "nonsense"])
def test_bundles_that_tell_what_happened_are_refused(kind: str) -> None:
    with pytest.raises(Fault, match="cannot be loaded"):
        entries(bundle(kind))


def test_only_a_bundle_can_be_a_transaction() -> None:
    assert is_transaction(bundle("transaction"))
    assert not is_transaction({"resourceType": "Patient", "type": "transaction"})


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(["resourceType", "type", "entry", "id"]), JSON))
def test_arbitrary_trees_are_made_requests_or_refused(tree: Tree) -> None:
    try:
        made = entries(tree)
    except Fault:
        return

    assert all(isinstance(entry, dict) and "request" in entry for _, entry in made)


@settings(max_examples=60)
@given(st.lists(JSON, max_size=4), st.sampled_from(["batch", "collection", "searchset"]))
def test_arbitrary_entries_are_made_requests_or_refused(listed: list[Any], kind: str) -> None:
    try:
        made = entries({"resourceType": "Bundle", "type": kind, "entry": listed})
    except Fault:
        return

    assert len(made) <= len(listed)
