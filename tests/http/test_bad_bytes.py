"""Bytes that are no resource: each gets its status and issue code, nothing of it is stored or repeated."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import pytest

from tests.http.samples import FAMILY
from tests.http.server import Server, load, refused

JSON = "application/fhir+json"
XML = "application/fhir+xml"
PATIENT = f'{{"resourceType":"Patient","name":[{{"family":"{FAMILY}"}}]}}'.encode()
XML_PATIENT = (
    f'<Patient xmlns="http://hl7.org/fhir"><name><family value="{FAMILY}"/></name></Patient>'.encode()
)


def nested(depth: int, opening: bytes = b'{"contact":[', closing: bytes = b"]}") -> bytes:
    """Return a Patient that holds itself ``depth`` levels down."""
    return b'{"resourceType":"Patient","x":' + opening * depth + closing * depth + b"}"


JSON_CASES = {
    "byte order mark": (b"\xef\xbb\xbf" + PATIENT, 400, "structure"),
    "NaN": (b'{"resourceType":"Basic","x":NaN}', 400, "structure"),
    "Infinity": (b'{"resourceType":"Basic","x":-Infinity}', 400, "structure"),
    "lone high surrogate": (rb'{"resourceType":"Patient","name":[{"family":"\ud800"}]}', 400, "structure"),
    "lone low surrogate": (rb'{"resourceType":"Patient","name":[{"family":"\udc00x"}]}', 400, "structure"),
    "no UTF-8": (b'{"resourceType":"Patient","name":[{"family":"\xff\xfe"}]}', 400, "structure"),
    "UTF-16": (PATIENT.decode().encode("utf-16"), 400, "structure"),
    "overlong UTF-8": (b'{"resourceType":"Patient","name":[{"family":"\xc0\xaf"}]}', 400, "structure"),
    "depth 10,000": (nested(10_000), 400, "structure"),
    "depth 10,000 of arrays": (
        b'{"resourceType":"Patient","x":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        400,
        "structure",
    ),
    "unclosed depth": (b"[" * 100_000, 400, "structure"),
    "duplicate keys": (b'{"resourceType":"Patient","gender":"male","gender":"female"}', 400, "structure"),
    "duplicate keys within": (
        b'{"resourceType":"Patient","name":[{"family":"a","family":"b"}]}',
        400,
        "structure",
    ),
    "two documents": (PATIENT + PATIENT, 400, "structure"),
    "truncated": (PATIENT[:-2], 400, "structure"),
    "trailing comma": (b'{"resourceType":"Patient",}', 400, "structure"),
    "comment": (b'{"resourceType":"Patient"/* x */}', 400, "structure"),
    "single quotes": (b"{'resourceType':'Patient'}", 400, "structure"),
    "array": (b"[]", 400, "structure"),
    "string": (b'"Patient"', 400, "structure"),
    "null": (b"null", 400, "structure"),
    "number": (b"7", 400, "structure"),
    "blank": (b"   ", 400, "invalid"),
    "empty": (b"", 400, "invalid"),
    "control character": (b'{"resourceType":"Patient","name":[{"family":"a\x00b"}]}', 400, "structure"),
    "XML as JSON": (XML_PATIENT, 400, "structure"),
    "a number of a million digits": (
        b'{"resourceType":"Basic","x":' + b"9" * 1_000_000 + b"}",
        400,
        "structure",
    ),
    "a huge exponent": (b'{"resourceType":"Basic","x":1e999999999}', 400, "structure"),
    "escaped control character": (
        rb'{"resourceType":"Patient","name":[{"family":"a\u0000b"}]}',
        422,
        "value",
    ),
    "null element": (b'{"resourceType":"Patient","gender":null}', 422, "structure"),
    "unknown element": (b'{"resourceType":"Patient","nickname":"x"}', 422, "structure"),
    "empty object": (b'{"resourceType":"Patient","maritalStatus":{}}', 422, "invariant"),
    "wrong kind": (b'{"resourceType":"Patient","active":"true"}', 422, "value"),
    "no type": (b'{"name":[]}', 400, "invalid"),
}

XML_CASES = {
    "external entity": (
        b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
        b'<Patient xmlns="http://hl7.org/fhir"><language value="&e;"/></Patient>'
    ),
    "external DTD": b'<!DOCTYPE Patient SYSTEM "http://127.0.0.1:9/x.dtd"><Patient xmlns="http://hl7.org/fhir"/>',
    "billion laughs": (
        b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>'
        b'<Patient xmlns="http://hl7.org/fhir"><language value="&c;"/></Patient>'
    ),
    "empty document type": b'<!DOCTYPE Patient><Patient xmlns="http://hl7.org/fhir"/>',
    "no namespace": b'<Patient><gender value="male"/></Patient>',
    "another namespace": b'<Patient xmlns="urn:hl7-org:v3"/>',
    "truncated": XML_PATIENT[:-5],
    "two roots": XML_PATIENT * 2,
    "text": b'<Patient xmlns="http://hl7.org/fhir">hello</Patient>',
    "unknown element": b'<Patient xmlns="http://hl7.org/fhir"><nickname value="x"/></Patient>',
    "unknown attribute": b'<Patient xmlns="http://hl7.org/fhir"><gender value="male" colour="x"/></Patient>',
    "unknown type": b'<Patiant xmlns="http://hl7.org/fhir"/>',
    "another encoding": b'<?xml version="1.0" encoding="UTF-16"?><Patient xmlns="http://hl7.org/fhir"/>',
    "depth 10,000": b'<Patient xmlns="http://hl7.org/fhir">'
    + b"<contact>" * 10_000
    + b"</contact>" * 10_000
    + b"</Patient>",
    "no bytes of XML": b"\x00\x01\x02",
    "JSON as XML": PATIENT,
}


@pytest.mark.parametrize("name", JSON_CASES)
def test_bad_json_has_its_status_and_code(server: Server, name: str) -> None:
    body, status, code = JSON_CASES[name]
    type_ = "Basic" if b'"Basic"' in body else "Patient"

    refused(server.post(type_, body, content_type=JSON), status, code)
    assert server.put(f"{type_}/x", body, content_type=JSON).status_code in {400, 422}
    assert server.post("", body, content_type=JSON).status_code in {400, 422}
    assert server.get(f"{type_}/x").status_code == 404


@pytest.mark.parametrize("name", XML_CASES)
def test_bad_xml_is_400_and_no_entity_is_followed(server: Server, name: str) -> None:
    answer = server.post("Patient", XML_CASES[name], content_type=XML)

    assert answer.status_code in {400, 422}, answer.text
    assert "root:" not in answer.text
    assert load(server.get("Patient?_summary=count"))["total"] == 0


def test_the_good_twin_of_each_is_taken(serve: Callable[..., Server]) -> None:
    server = serve()

    assert server.post("Patient", PATIENT, content_type=JSON).status_code == 201
    assert server.post("Patient", XML_PATIENT, content_type=XML).status_code == 201
    assert server.post("Patient", b" \n" + PATIENT + b"\n ", content_type=JSON).status_code == 201
    pair = rb'{"resourceType":"Patient","name":[{"family":"\ud83d\ude00"}]}'
    assert load(server.post("Patient", pair, content_type=JSON))["name"][0]["family"] == "\N{GRINNING FACE}"


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/pdf",
        "application/octet-stream",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
        "application/json-patch+json",
        "application/fhir+json; charset=utf-16",
        "application/fhir+json; fhirVersion=5.0",
        "nonsense",
        "",
    ],
)
def test_another_content_type_is_415(server: Server, content_type: str) -> None:
    refused(server.post("Patient", PATIENT, content_type=content_type), 415, "not-supported")


@pytest.mark.parametrize(
    "content_type", ["application/json", "text/json", "application/fhir+json; charset=UTF-8; fhirVersion=4.0"]
)
def test_json_by_its_other_names_is_read(server: Server, content_type: str) -> None:
    assert (
        server.post(
            "Basic", b'{"resourceType":"Basic","code":{"text":"x"}}', content_type=content_type
        ).status_code
        == 201
    )


def test_bodies_beyond_the_limit_are_413_plain_or_zipped_and_up_to_it_are_taken(
    serve: Callable[..., Server],
) -> None:
    server = serve(max_body_bytes=4096)
    head = b'{"resourceType":"Basic","code":{"text":"'
    fits = head + b"x" * (4096 - len(head) - 3) + b'"}}'
    bomb = gzip.compress(head + b"x" * 50_000_000 + b'"}}')
    assert len(bomb) > 4096

    assert server.post("Basic", fits, content_type=JSON).status_code == 201
    refused(server.post("Basic", fits[:-3] + b'x"}}', content_type=JSON), 413, "too-long")
    refused(server.post("Basic", bomb, content_type=JSON, content_encoding="gzip"), 413, "too-long")
    small_bomb = gzip.compress(b" " * 1_000_000)
    assert len(small_bomb) < 4096
    refused(server.post("Basic", small_bomb, content_type=JSON, content_encoding="gzip"), 413, "too-long")


@pytest.mark.parametrize(
    "path", ["Patient/%", "Patient/%zz", "Patient?name=%ff", "Patient?name=%zz", "Patient/a%2Fb"]
)
def test_a_broken_address_is_400(server: Server, path: str) -> None:
    refused(server.get(path), 400, "invalid")


def test_a_host_of_another_name_is_refused_without_authentication(server: Server) -> None:
    refused(server.get("Patient", host="attacker.example"), 400, "invalid")
    assert server.get("Patient", host="localhost").status_code == 200
