"""Entries of a batch or transaction: read whole or refused with the place of every problem."""

from __future__ import annotations

import base64
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.faults import Fault, Kind
from fhir_server.resources.bundle import Entry, duplicates, entries, order, overlaps, require

PATIENT = {"resourceType": "Patient", "id": "1"}


def bundle(*listed: Any, type_: str = "transaction") -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": type_, "entry": list(listed)}


def entry(method: str, url: str, resource: Any = None, **request: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"request": {"method": method, "url": url, **request}}
    return made if resource is None else {**made, "resource": resource}


def read(*listed: Any) -> list[Entry]:
    return require(entries(bundle(*listed), max_entries=100))


def binary(content: bytes, content_type: str = "application/json-patch+json") -> dict[str, str]:
    data = base64.b64encode(content).decode()
    return {"resourceType": "Binary", "contentType": content_type, "data": data}


def test_reads_all_that_a_request_may_say() -> None:
    given_ = entry(
        "PUT",
        "Patient/1",
        PATIENT,
        ifMatch='W/"3", "4"',
        ifNoneMatch="*",
        ifModifiedSince="2026-03-01T08:30:00.125+08:00",
        ifNoneExist="identifier=a|b",
    )

    (found,) = read({**given_, "fullUrl": "urn:uuid:1"})

    assert (found.method, found.url, found.target.name) == ("PUT", "Patient/1", "update")
    assert (found.full_url, found.resource, found.patch) == ("urn:uuid:1", PATIENT, None)
    assert (found.if_match, found.if_none_match, found.if_none_exist) == ("3,4", "*", "identifier=a|b")
    assert found.if_modified_since == 1772325000125
    assert found.path == "Bundle.entry[0]"


def test_reads_a_json_patch_from_a_binary_and_a_fhirpath_patch_from_parameters() -> None:
    json_patch, fhirpath_patch = read(
        entry("PATCH", "Patient/1", binary(b'[{"op":"remove","path":"/active"}]')),
        entry("PATCH", "Patient/2", {"resourceType": "Parameters"}),
    )

    assert (json_patch.patch, json_patch.resource) == ([{"op": "remove", "path": "/active"}], None)
    assert (fhirpath_patch.patch, fhirpath_patch.resource) == (None, {"resourceType": "Parameters"})


def test_leaves_out_the_body_of_a_get_or_delete() -> None:
    assert [e.resource for e in read(entry("GET", "Patient/1", PATIENT), entry("DELETE", "Patient/1"))] == [
        None,
        None,
    ]


def test_operation_may_come_without_a_body() -> None:
    assert [e.resource for e in read(entry("POST", "Patient/1/$everything"))] == [None]


@pytest.mark.parametrize(
    ("given_", "where"),
    [
        ("x", ""),
        ({}, ".request"),
        ({"request": []}, ".request"),
        (entry("TRACE", "Patient/1"), ".request.method"),
        (entry(["GET"], "Patient/1"), ".request.method"),  # type: ignore[arg-type]
        ({"request": {"method": "GET"}}, ".request.url"),
        (entry("GET", "Patien/1"), ".request.url"),
        (entry("PUT", "Patient/1"), ".resource"),
        (entry("POST", "Patient", []), ".resource"),
        (entry("POST", "Patient", {"resourceType": "Basic"}), ".resource"),
        (entry("PATCH", "Patient/1", PATIENT), ".resource"),
        (entry("PATCH", "Patient/1", binary(b"[]", "text/plain")), ".resource.contentType"),
        (entry("PATCH", "Patient/1", {**binary(b""), "data": "?"}), ".resource.data"),
        (entry("PATCH", "Patient/1", binary(b"{}")), ".resource.data"),
        (entry("GET", "Patient/1", ifMatch="3"), ".request.ifMatch"),
        (entry("GET", "Patient/1", ifNoneMatch=3), ".request.ifNoneMatch"),
        (entry("GET", "Patient/1", ifModifiedSince="yesterday"), ".request.ifModifiedSince"),
        (entry("GET", "Patient/1", ifModifiedSince="2026-03-01T08:30:00"), ".request.ifModifiedSince"),
        (entry("POST", "Patient", PATIENT, ifNoneExist=1), ".request.ifNoneExist"),
        ({**entry("POST", "Patient", PATIENT), "fullUrl": "Patient/1"}, ".fullUrl"),
        ({**entry("POST", "Patient", PATIENT), "fullUrl": 1}, ".fullUrl"),
    ],
)
def test_refuses_an_entry_and_says_where(given_: Any, where: str) -> None:
    good, bad = entries(bundle(entry("GET", "Patient/1"), given_), max_entries=9)

    assert isinstance(good, Entry)
    assert isinstance(bad, Fault)
    assert [issue.expression for issue in bad.issues] == [(f"Bundle.entry[1]{where}",)]


def test_tells_every_problem_of_every_entry_at_once() -> None:
    with pytest.raises(Fault) as caught:
        read(entry("GET", "Patien/1", ifMatch="x"), entry("GET", "Patient/1"), {})

    assert [issue.expression[0] for issue in caught.value.issues] == [
        "Bundle.entry[0].request.ifMatch",
        "Bundle.entry[0].request.url",
        "Bundle.entry[2].request",
    ]


@pytest.mark.parametrize(
    ("tree", "kind"),
    [
        ({"resourceType": "Patient"}, Kind.BAD_REQUEST),
        ({"resourceType": "Bundle", "type": "searchset"}, Kind.BAD_REQUEST),
        ({"resourceType": "Bundle"}, Kind.BAD_REQUEST),
        ({"resourceType": "Bundle", "type": "batch", "entry": {}}, Kind.BAD_REQUEST),
        (bundle({}, {}, {}), Kind.TOO_LARGE),
    ],
)
def test_refuses_what_is_no_batch_or_transaction_or_too_long(tree: dict[str, Any], kind: Kind) -> None:
    with pytest.raises(Fault) as caught:
        entries(tree, max_entries=2)
    assert caught.value.kind is kind


def test_takes_a_bundle_without_entries() -> None:
    assert entries({"resourceType": "Bundle", "type": "batch"}, max_entries=2) == []


def test_orders_deletes_creates_updates_reads_and_keeps_the_order_within() -> None:
    listed = read(
        entry("GET", "Patient/1"),
        entry("PUT", "Patient/1", PATIENT),
        entry("POST", "Patient", PATIENT),
        entry("PATCH", "Patient/2", binary(b"[]")),
        entry("HEAD", "Patient/3"),
        entry("DELETE", "Patient/4"),
        entry("POST", "Basic", {"resourceType": "Basic"}),
    )

    assert [e.index for e in order(listed)] == [5, 2, 6, 1, 3, 0, 4]


def test_refuses_two_writes_to_one_resource() -> None:
    with pytest.raises(Fault, match="Entries 0 and 2") as caught:
        overlaps(
            read(entry("PUT", "Patient/1", PATIENT), entry("GET", "Patient/1"), entry("DELETE", "Patient/1"))
        )

    assert caught.value.kind is Kind.BAD_REQUEST
    assert caught.value.issues[0].expression == ("Bundle.entry[0].request.url", "Bundle.entry[2].request.url")


def test_refuses_a_conditional_write_that_turns_out_to_overlap() -> None:
    listed = read(entry("PUT", "Patient/1", PATIENT), entry("DELETE", "Patient?_id=1"))

    overlaps(listed)
    with pytest.raises(Fault, match="Entries 0 and 1"):
        overlaps(listed, {1: "Patient/1"})


def test_takes_writes_to_different_resources() -> None:
    overlaps(
        read(
            entry("PUT", "Patient/1", PATIENT), entry("DELETE", "Basic/1"), entry("POST", "Patient", PATIENT)
        )
    )


def test_refuses_one_full_url_twice_and_takes_missing_ones() -> None:
    named = {**entry("POST", "Patient", PATIENT), "fullUrl": "urn:uuid:1"}
    unnamed = entry("POST", "Patient", PATIENT)

    duplicates(read(named, unnamed, unnamed, {**named, "fullUrl": "urn:uuid:2"}))
    with pytest.raises(Fault, match="same fullUrl"):
        duplicates(read(named, named))


ODD = st.none() | st.integers() | st.text(max_size=5) | st.lists(st.text(max_size=2), max_size=2)


@given(
    st.lists(
        ODD
        | st.fixed_dictionaries(
            {},
            optional={
                "fullUrl": ODD,
                "resource": ODD | st.just(PATIENT),
                "request": ODD
                | st.fixed_dictionaries(
                    {"method": st.sampled_from(["PUT", "PATCH", "POST", "GET"]) | ODD},
                    optional={
                        name: ODD | st.just("Patient/1")
                        for name in ("url", "ifMatch", "ifNoneMatch", "ifModifiedSince", "ifNoneExist")
                    },
                ),
            },
        ),
        max_size=3,
    )
)
def test_any_entry_is_read_or_refused(listed: list[Any]) -> None:
    with suppress(Fault):
        assert len(require(entries(bundle(*listed), max_entries=9))) == len(listed)
