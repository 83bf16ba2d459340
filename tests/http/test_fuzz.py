"""Whatever a client sends, the real server answers: no 500, no hang, no refusal without an OperationOutcome.

The helper that sends checks each answer (see ``tests.http.server.check_answer``).
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.http.samples import patient
from tests.http.server import Server, Tree, bundle, dump
from tests.strategies import resources

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    [
        "resourceType",
        "id",
        "meta",
        "name",
        "given",
        "entry",
        "request",
        "method",
        "url",
        "fullUrl",
        "resource",
        "parameter",
        "part",
        "valueString",
        "type",
        "contained",
        "text",
        "div",
        "extension",
        "reference",
        "_id",
    ]
)
FHIRISH = st.recursive(
    JSON_VALUES
    | st.sampled_from(["Patient", "Bundle", "Parameters", "transaction", "batch", "POST", "Patient/1", "#a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
CONTENT_TYPES = st.sampled_from(
    [
        "application/fhir+json",
        "application/fhir+xml",
        "application/json-patch+json",
        "text/plain",
        "application/json",
        "application/x-www-form-urlencoded",
        "",
    ]
)
BODIES = (
    st.binary(max_size=64)
    | st.text(max_size=64).map(lambda t: t.encode(errors="replace"))
    | FHIRISH.map(lambda value: json.dumps(value).encode())
)
WRITES = st.sampled_from(
    [
        ("POST", "Patient"),
        ("PUT", "Patient/1"),
        ("PUT", "Patient?identifier=x"),
        ("PATCH", "Patient/kept"),
        ("POST", ""),
        ("POST", "Patient/$validate"),
        ("POST", "Patient/kept/$meta-add"),
        ("POST", "Patient/_search"),
        ("POST", "Patient/kept/$everything"),
        ("DELETE", "Patient/1"),
    ]
)


@pytest.fixture(autouse=True)
def _kept(server: Server) -> None:
    server.put("Patient/kept", {**patient(), "id": "kept"})


@settings(max_examples=300)
@given(write=WRITES, body=BODIES, content_type=CONTENT_TYPES)
def test_arbitrary_bodies_never_break_the_server(
    server: Server, write: tuple[str, str], body: bytes, content_type: str
) -> None:
    server(*write, body, content_type=content_type)


@settings(max_examples=150)
@given(tree=FHIRISH, type_=st.sampled_from(["Patient", "Bundle", "Parameters", "Basic", "Observation"]))
def test_trees_that_look_like_fhir_never_break_the_server(server: Server, tree: Any, type_: str) -> None:
    body = {**(tree if isinstance(tree, dict) else {"x": tree}), "resourceType": type_}

    for method, path in (("POST", type_), ("PUT", f"{type_}/1"), ("POST", f"{type_}/$validate")):
        server(method, path, json.dumps(body).encode(), content_type="application/fhir+json")


REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "method": st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]) | JSON_VALUES,
        "url": st.sampled_from(
            [
                "Patient",
                "Patient/kept",
                "Patient?identifier=x",
                "Patient?_id=kept",
                "",
                "metadata",
                "$meta",
                "Patient/1",
                "Patient/$validate",
                "Patient/kept/_history/1",
                "Observation/x",
                "Patient/kept/$meta-add",
                "_history",
            ]
        )
        | JSON_VALUES,
        "ifMatch": st.sampled_from(['W/"1"', "*", "x"]) | JSON_VALUES,
        "ifNoneExist": st.sampled_from(["identifier=x", "nickname=x", ""]) | JSON_VALUES,
        "ifNoneMatch": st.sampled_from(['W/"1"', "*"]) | JSON_VALUES,
        "ifModifiedSince": st.sampled_from(["2024-01-01T00:00:00Z", "soon"]) | JSON_VALUES,
    },
)
ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "request": REQUESTS | JSON_VALUES,
        "resource": FHIRISH | resources() | st.just(patient()) | st.just({**patient(), "id": "kept"}),
        "fullUrl": st.sampled_from(
            ["urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0", "http://x.example/Patient/1"]
        )
        | JSON_VALUES,
    },
)


@settings(max_examples=200)
@given(entries=st.lists(ENTRIES | JSON_VALUES, max_size=3), type_=st.sampled_from(["batch", "transaction"]))
def test_arbitrary_entries_never_break_a_batch_or_transaction(
    server: Server, entries: list[Any], type_: str
) -> None:
    server("POST", "", dump(bundle(type_, entries)), content_type="application/fhir+json")


PATCH_OPERATIONS = st.fixed_dictionaries(
    {},
    optional={
        "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]) | JSON_VALUES,
        "path": st.sampled_from(
            ["/name/0", "/name/-", "/gender", "", "/id", "/meta", "/~1", "/name/0/given/00"]
        )
        | JSON_VALUES,
        "from": st.sampled_from(["/name", "/name/0/family", "/"]) | JSON_VALUES,
        "value": FHIRISH,
    },
)


@settings(max_examples=150)
@given(patch=st.lists(PATCH_OPERATIONS | JSON_VALUES, max_size=3))
def test_arbitrary_json_patches_never_break_the_server(server: Server, patch: list[Any]) -> None:
    server.patch("Patient/kept", json.dumps(patch).encode(), content_type="application/json-patch+json")


EXPRESSIONS = st.sampled_from(
    [
        "Patient.name",
        "Patient.name[0].given",
        "Patient",
        "Patient.where(",
        "1/0",
        "'x'",
        "%resource",
        "Patient.id",
        "$this",
        "Patient.descendants()",
        "Patient.name.repeat(given)",
        "Patient.birthDate + 'x'",
        "now()",
        "Patient.name.given.first()",
    ]
) | st.text(max_size=12)
PARTS = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from(["type", "path", "name", "value", "index", "source", "destination"])},
        optional={
            "valueCode": st.sampled_from(["add", "insert", "delete", "replace", "move"]) | JSON_VALUES,
            "valueString": EXPRESSIONS,
            "valueInteger": st.integers(-3, 3),
            "valueHumanName": FHIRISH,
        },
    ),
    max_size=5,
)


@settings(max_examples=150)
@given(operations=st.lists(PARTS, min_size=1, max_size=2))
def test_arbitrary_fhirpath_patches_never_break_the_server(server: Server, operations: list[Any]) -> None:
    listed: list[Tree] = [{"name": "operation", "part": parts} for parts in operations]

    server.patch("Patient/kept", {"resourceType": "Parameters", "parameter": listed})


SEARCH_NAMES = st.sampled_from(
    [
        "_id",
        "name",
        "birthdate",
        "identifier",
        "_sort",
        "_count",
        "_include",
        "_revinclude",
        "_has:Observation:patient:code",
        "general-practitioner.name",
        "_lastUpdated",
        "_summary",
        "_elements",
        "_total",
        "gender:not",
        "family:exact",
        "_page",
        "organization:missing",
        "_since",
        "_at",
        "_format",
        "_type",
        "link",
        "_profile",
        "_contained",
        "phonetic:missing",
    ]
) | st.text(max_size=10)
SEARCH_VALUES = st.sampled_from(
    [
        "1",
        "ge2024",
        "2024-02-30",
        "a|b|c",
        "Patient:link",
        "*",
        "true",
        "\\",
        "a,b",
        "-",
        "0",
        "9" * 30,
        "ap1e400",
        "Patient/1",
    ]
) | st.text(max_size=10)


@settings(max_examples=250)
@given(
    pairs=st.lists(st.tuples(SEARCH_NAMES, SEARCH_VALUES), max_size=3),
    path=st.sampled_from(
        ["Patient", "Observation", "RiskAssessment", "Patient/kept/Observation", "Patient/_history"]
    )
    | st.sampled_from(["Patient/kept", "Patient/kept/$everything", "_history", "", "Patient/$meta"]),
    prefer=st.sampled_from(["handling=lenient", "handling=strict", "return=minimal"]),
)
def test_arbitrary_parameters_never_break_a_search(
    server: Server, pairs: list[tuple[str, str]], path: str, prefer: str
) -> None:
    form = "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in pairs)

    server.get(f"{path}?{form}", prefer=prefer)


def _quoted(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode(errors="replace"))


FIELDS = (
    "accept",
    "accept_encoding",
    "content_encoding",
    "if_match",
    "if_modified_since",
    "if_none_exist",
    "if_none_match",
    "prefer",
    "x_request_id",
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        name: st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)
        | st.sampled_from(
            ['W/"1"', "*", "gzip", "application/fhir+xml", "*/*;q=0", "Sat, 01 Jan 2000 00:00:00 GMT"]
        )
        for name in FIELDS
    },
)


@settings(max_examples=150)
@given(headers=HEADERS, method=st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS"]))
def test_arbitrary_header_fields_never_break_the_server(
    server: Server, headers: dict[str, str], method: str
) -> None:
    body = dump({**patient(), "id": "2"}) if method in {"PUT", "POST"} else None
    path = "Patient" if method == "POST" else "Patient/2"

    server(method, path, body, content_type="application/fhir+json", **headers)
