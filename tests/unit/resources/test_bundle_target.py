"""The URL of a bundle's entry is read as HTTP would read it."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.faults import Fault, Kind
from fhir_server.resources.bundle import Target, target

BASE = "https://a.example/fhir"


@pytest.mark.parametrize(
    ("method", "url", "expected"),
    [
        ("GET", "Patient/1", Target("read", "Patient", "1")),
        ("HEAD", "/Patient/1", Target("read", "Patient", "1")),
        ("GET", f"{BASE}/Patient/1", Target("read", "Patient", "1")),
        ("GET", "Patient/metadata", Target("read", "Patient", "metadata")),
        ("GET", "Patient/1/_history/2", Target("vread", "Patient", "1", "2")),
        ("GET", "Patient/1/_history", Target("history-instance", "Patient", "1")),
        (
            "GET",
            "Patient/_history?_count=2",
            Target("history-type", "Patient", parameters=(("_count", "2"),)),
        ),
        ("GET", "_history", Target("history-system")),
        ("GET", "metadata", Target("capabilities")),
        ("GET", "?_type=Patient", Target("search-system", parameters=(("_type", "Patient"),))),
        ("GET", "Patient", Target("search-type", "Patient")),
        (
            "GET",
            "Patient?name=%E7%8E%8B&name=a+b&_format=xml",
            Target("search-type", "Patient", parameters=(("name", "王"), ("name", "a b"))),
        ),
        (
            "GET",
            "Patient/1/Observation",
            Target("search-compartment", "Observation", compartment=("Patient", "1")),
        ),
        ("GET", "Patient/1/*", Target("search-compartment", compartment=("Patient", "1"))),
        ("GET", "Patient/1/$everything", Target("operation", "Patient", "1", operation="$everything")),
        ("POST", "Patient/$validate", Target("operation", "Patient", operation="$validate")),
        ("POST", "$convert", Target("operation", operation="$convert")),
        ("POST", "Patient", Target("create", "Patient")),
        ("PUT", "Patient/1", Target("update", "Patient", "1")),
        ("PUT", "Patient?_id=1", Target("update", "Patient", parameters=(("_id", "1"),))),
        ("PATCH", "Patient/1", Target("patch", "Patient", "1")),
        ("DELETE", "Patient?_id=1", Target("delete", "Patient", parameters=(("_id", "1"),))),
    ],
)
def test_reads_method_and_url(method: str, url: str, expected: Target) -> None:
    assert target(method, url, BASE) == expected


@pytest.mark.parametrize(
    ("method", "url", "word"),
    [
        ("PUT", "Patient", "criteria"),
        ("DELETE", "Patient", "criteria"),
        ("PUT", "Patient/1/Observation", "does not work"),
        ("POST", "Patient/1", "does not work"),
        ("POST", "Patient/_search", "GET with its parameters"),
        ("POST", "", "another batch"),
        ("TRACE", "Patient/1", "must be one of"),
        ("GET", "Patien/1", "no resource type"),
        ("GET", "Patient/a b", "An id is"),
        ("GET", "Patient/..", "An id is"),
        ("GET", "Patient//x", "An id is"),
        ("GET", "Patient/%FF", "UTF-8"),
        ("GET", "Patient?name=%FF", "UTF-8"),
        ("GET", "Patient/$a b", "operation"),
        ("GET", "Medication/1/Observation", "no compartment"),
        ("GET", "https://b.example/Patient/1", "another server"),
        ("GET", "urn:uuid:1", "another server"),
    ],
)
def test_refuses_what_http_would_refuse(method: str, url: str, word: str) -> None:
    with pytest.raises(Fault, match=word) as caught:
        target(method, url, BASE)
    assert caught.value.kind in {Kind.BAD_REQUEST, Kind.UNKNOWN_TYPE}


@given(st.sampled_from(["GET", "POST", "PUT", "X"]), st.text() | st.text("Patient/?&=%$_history*1."))
def test_any_url_gives_a_target_or_a_fault(method: str, url: str) -> None:
    with suppress(Fault):
        assert target(method, url, BASE).name
