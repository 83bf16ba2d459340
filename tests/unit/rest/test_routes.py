"""The route table. https://hl7.org/fhir/R4/http.html#summary"""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fhir_server.faults import Fault, Kind
from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.rest.routes import ROUTES, Target, allowed, match

INTERACTIONS = [
    ("GET", "/metadata", Target("capabilities")),
    ("GET", "/", Target("search-system")),
    ("POST", "/", Target("batch")),
    ("POST", "/_search", Target("search-system")),
    ("GET", "/_history", Target("history-system")),
    ("GET", "/$meta", Target("operation", operation="$meta")),
    ("POST", "/$meta", Target("operation", operation="$meta")),
    ("GET", "/Patient", Target("search-type", "Patient")),
    ("POST", "/Patient/_search", Target("search-type", "Patient")),
    ("POST", "/Patient", Target("create", "Patient")),
    ("PUT", "/Patient", Target("update", "Patient")),
    ("PATCH", "/Patient", Target("patch", "Patient")),
    ("DELETE", "/Patient", Target("delete", "Patient")),
    ("GET", "/Patient/_history", Target("history-type", "Patient")),
    ("POST", "/Patient/$validate", Target("operation", "Patient", operation="$validate")),
    ("GET", "/Patient/a-1.B", Target("read", "Patient", "a-1.B")),
    ("HEAD", "/Patient/1", Target("read", "Patient", "1")),
    ("PUT", "/Patient/1", Target("update", "Patient", "1")),
    ("PATCH", "/Patient/1", Target("patch", "Patient", "1")),
    ("DELETE", "/Patient/1", Target("delete", "Patient", "1")),
    ("GET", "/Patient/1/_history", Target("history-instance", "Patient", "1")),
    ("GET", "/Patient/1/_history/2", Target("vread", "Patient", "1", "2")),
    ("GET", "/Patient/1/$everything", Target("operation", "Patient", "1", operation="$everything")),
    ("GET", "/Patient/1/_history/2/$meta", Target("operation", "Patient", "1", "2", "$meta")),
    (
        "GET",
        "/Patient/1/Observation",
        Target("search-compartment", "Observation", compartment=("Patient", "1")),
    ),
    (
        "POST",
        "/Patient/1/Observation/_search",
        Target("search-compartment", "Observation", compartment=("Patient", "1")),
    ),
    ("GET", "/Patient/1/*", Target("search-compartment", compartment=("Patient", "1"))),
    ("POST", "/Patient/1/_search", Target("search-compartment", compartment=("Patient", "1"))),
]


@pytest.mark.parametrize(("method", "path", "target"), INTERACTIONS)
def test_every_interaction_has_its_path(method: str, path: str, target: Target) -> None:
    assert match(method, path) == target


def test_the_cases_above_reach_every_route_name() -> None:
    assert {route.name for route in ROUTES} == {target.name for _, _, target in INTERACTIONS}


@pytest.mark.parametrize(("method", "path", "target"), INTERACTIONS)
def test_a_trailing_slash_is_tolerated(method: str, path: str, target: Target) -> None:
    assert match(method, path.removesuffix("/") + "/") == target


def test_a_percent_encoded_path_means_the_same() -> None:
    assert match("GET", "/P%61tient/%31/%24everything") == match("GET", "/Patient/1/$everything")


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/Patent", Kind.UNKNOWN_TYPE),
        ("GET", "/patient/1", Kind.UNKNOWN_TYPE),
        ("DELETE", "/Resource/1", Kind.UNKNOWN_TYPE),
        ("GET", "/Patient/1/Observations", Kind.UNKNOWN_TYPE),
        ("GET", "/Patient/a_b", Kind.BAD_REQUEST),
        ("GET", f"/Patient/{'a' * 65}", Kind.BAD_REQUEST),
        ("GET", "/Patient/1%0A", Kind.BAD_REQUEST),
        ("GET", "/Patient/..", Kind.BAD_REQUEST),
        ("GET", "/Patient/%2e%2E", Kind.BAD_REQUEST),
        ("GET", "/Patient/1%2F_history", Kind.BAD_REQUEST),
        ("GET", "/Patient%5C1", Kind.BAD_REQUEST),
        ("GET", "/Patient/%zz", Kind.BAD_REQUEST),
        ("GET", "/Patient/%", Kind.BAD_REQUEST),
        ("GET", "/Patient/%ff", Kind.BAD_REQUEST),
        ("GET", "/Patient/%C0%AF", Kind.BAD_REQUEST),
        ("GET", "/Patient//1", Kind.NOT_FOUND),
        ("GET", "//", Kind.NOT_FOUND),
        ("GET", "/_unknown", Kind.NOT_FOUND),
        ("GET", "/Patient/1/_history/2/3", Kind.NOT_FOUND),
        ("GET", "/Patient/1/Observation/2", Kind.NOT_FOUND),
        ("GET", "/Observation/1/Patient", Kind.NOT_FOUND),
        ("GET", "/$", Kind.NOT_FOUND),
        ("POST", "/Patient/$a b", Kind.NOT_FOUND),
        ("POST", "/Patient/1", Kind.METHOD_NOT_ALLOWED),
        ("DELETE", "/", Kind.METHOD_NOT_ALLOWED),
        ("PUT", "/metadata", Kind.METHOD_NOT_ALLOWED),
        ("DELETE", "/Patient/1/_history/2", Kind.METHOD_NOT_ALLOWED),
        ("get", "/Patient/1", Kind.METHOD_NOT_ALLOWED),
    ],
)
def test_refuses_what_is_no_interaction(method: str, path: str, kind: Kind) -> None:
    with pytest.raises(Fault) as refused:
        match(method, path)

    assert refused.value.kind is kind


def test_405_names_the_methods_that_would_do() -> None:
    with pytest.raises(Fault) as refused:
        match("POST", "/Patient/1")

    assert refused.value.headers == (("Allow", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"),)


def test_allow_leaves_out_head_where_there_is_no_get() -> None:
    assert allowed("/Patient/_search") == "OPTIONS, POST"


def test_a_refusal_never_repeats_the_path() -> None:
    with pytest.raises(Fault) as refused:
        match("GET", "/ZhangWei/1")

    assert "ZhangWei" not in refused.value.diagnostics


@given(
    st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "BREW", ""]),
    st.lists(
        st.one_of(
            st.text(max_size=20),
            st.sampled_from(
                ["Patient", "1", "_history", "_search", "$meta", "*", "metadata", "%2e", "%E5%BC%A0"]
            ),
        ),
        max_size=6,
    ),
)
@example("GET", ["Patient", "1", "Patient", "_history"])
def test_any_path_is_an_interaction_or_a_fault(method: str, segments: list[str]) -> None:
    try:
        target = match(method, "/" + "/".join(segments))
    except Fault:
        return
    assert target.type is None or target.type in RESOURCE_TYPES
    assert target.id is None or 1 <= len(target.id) <= 64
