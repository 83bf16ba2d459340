"""JSON and XML in and out of every interaction; _format, _pretty, Accept, gzip both ways.

https://hl7.org/fhir/R4/http.html#mime-type and https://hl7.org/fhir/R4/xml.html
"""

from __future__ import annotations

import gzip
import zlib

import httpx
import pytest

from fhir_server.resources.xml import encode_xml
from tests.http.samples import observation, patient, tagged, unique
from tests.http.server import Server, Tree, bundle, entry, load, matches, refused, statuses, xml_of, zipped

XML = "application/fhir+xml"
FHIR = "{http://hl7.org/fhir}"


def is_xml(response: httpx.Response, type_: str) -> bool:
    """Tell whether a response is FHIR XML of a type, as its headers say too."""
    assert response.headers["content-type"] == f"{XML}; charset=utf-8"
    return xml_of(response.content).tag == FHIR + type_


def send(server: Server, method: str, path: str, tree: Tree, **headers: str) -> httpx.Response:
    """Send a resource as XML and ask for XML."""
    return server(method, path, encode_xml(tree), content_type=XML, accept=XML, **headers)


def test_every_interaction_speaks_xml(server: Server) -> None:
    tag = unique()
    created = send(server, "POST", "Patient", patient(tag))
    id_ = load(created)["id"]
    address = f"Patient/{id_}"
    updated = send(server, "PUT", address, {**patient(tag, active=False), "id": id_})
    assert (created.status_code, updated.status_code) == (201, 200)
    assert is_xml(created, "Patient")
    assert is_xml(updated, "Patient")
    for path, type_ in {
        address: "Patient",
        f"{address}/_history/1": "Patient",
        f"{address}/_history": "Bundle",
        "Patient/_history?_count=2": "Bundle",
        "_history?_count=2": "Bundle",
        f"Patient?{tagged(tag)}": "Bundle",
        "metadata": "CapabilityStatement",
        f"{address}/$meta": "Parameters",
        f"{address}/$validate": "OperationOutcome",
        f"{address}/$everything": "Bundle",
    }.items():
        answer = server.get(path, accept=XML)
        assert answer.status_code == 200, path
        assert is_xml(answer, type_), path
        assert load(answer) == load(server.get(path)), path


def test_batch_and_transaction_speak_xml(server: Server) -> None:
    for type_ in ("batch", "transaction"):
        sent = bundle(type_, [entry("POST", "Patient", patient()), entry("GET", "Patient?_count=1")])
        answer = send(server, "POST", "", sent)

        assert is_xml(answer, "Bundle")
        assert statuses(load(answer)) == [201, 200]
        inner = xml_of(answer.content).find(f"{FHIR}entry[2]/{FHIR}resource/{FHIR}Bundle")
        assert inner is not None


def test_operations_take_xml(server: Server, patient_id: str) -> None:
    labels = {
        "resourceType": "Parameters",
        "parameter": [{"name": "meta", "valueMeta": {"tag": [{"system": "http://x", "code": "y"}]}}],
    }

    added = send(server, "POST", f"Patient/{patient_id}/$meta-add", labels)
    judged = send(server, "POST", "Patient/$validate", patient(gender="f"))

    assert added.status_code == 200
    assert load(server.get(f"Patient/{patient_id}"))["meta"]["tag"] == [{"system": "http://x", "code": "y"}]
    assert [i["expression"] for i in load(judged)["issue"] if i["severity"] == "error"] == [
        ["Patient.gender"]
    ]


def test_conditional_interactions_and_delete_work_for_xml_clients(server: Server) -> None:
    tag = unique()

    first = send(server, "POST", "Patient", patient(tag), if_none_exist=tagged(tag))
    again = send(server, "POST", "Patient", patient(tag), if_none_exist=tagged(tag))
    update = send(server, "PUT", f"Patient?{tagged(tag)}", patient(tag, active=False))
    found = server.post(
        "Patient/_search",
        f"identifier=urn:tag|{tag}".encode(),
        content_type="application/x-www-form-urlencoded",
        accept=XML,
    )
    deleted = server.delete(f"Patient?{tagged(tag)}", accept=XML)

    assert [a.status_code for a in (first, again, update, deleted)] == [201, 200, 200, 204]
    assert len(matches(load(found))) == 1


def test_a_refusal_speaks_the_language_of_its_client(server: Server) -> None:
    for answer in (
        server.get("Patient/nobody", accept=XML),
        server.get("Patient/nobody?_format=xml"),
        send(server, "POST", "Patient", patient(gender="f")),
        server.get("Nothing", accept=XML),
    ):
        assert is_xml(answer, "OperationOutcome")
        assert answer.status_code in {404, 422}


def test_what_came_as_xml_goes_as_json_and_back(server: Server) -> None:
    sent = observation(
        "Patient/1",
        value="1.10",
        extension=[{"url": "http://x.example", "valueDecimal": 1}],
        _status={"extension": [{"url": "http://x.example", "valueString": "why"}]},
        contained=[{"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/1"}}],
        focus=[{"reference": "#c"}],
        text={
            "status": "generated",
            "div": '<div xmlns="http://www.w3.org/1999/xhtml"><p>a &lt; b é</p></div>',
        },
    )

    answer = send(server, "POST", "Observation", sent)
    assert answer.status_code == 201, answer.text
    tree = load(server.get(answer.headers["location"], accept="application/fhir+json"))

    assert {key: tree[key] for key in sent} == sent
    assert b'"value":1.10,' in server.get(answer.headers["location"]).content
    assert b'<value value="1.10"/>' in server.get(answer.headers["location"], accept=XML).content


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "json"),
        ("application/json", "json"),
        ("text/json", "json"),
        ("application/fhir+json; fhirVersion=4.0", "json"),
        ("application/xml", "xml"),
        ("text/xml", "xml"),
        ("application/fhir+json;q=0.1, application/fhir+xml", "xml"),
        ("text/html, application/xhtml+xml, */*;q=0.8", "json"),
    ],
)
def test_accept_chooses_the_format(server: Server, patient_id: str, accept: str, kind: str) -> None:
    answer = server.get(f"Patient/{patient_id}", accept=accept)

    assert answer.headers["content-type"] == f"application/fhir+{kind}; charset=utf-8"
    assert "accept" in answer.headers["vary"]


@pytest.mark.parametrize(
    "accept",
    ["text/turtle", "application/pdf", "application/fhir+json;q=0", "application/fhir+json; fhirVersion=3.0"],
)
def test_an_accept_that_cannot_be_met_is_406_and_nothing_is_done(server: Server, accept: str) -> None:
    tag = unique()

    refused(server.post("Patient", patient(tag), accept=accept), 406, "not-supported")

    assert server.find(f"Patient?{tagged(tag)}") == []


@pytest.mark.parametrize(
    "format_", ["xml", "text/xml", "application/xml", "application/fhir+xml", "application/fhir%2Bxml"]
)
def test_format_overrides_accept(server: Server, patient_id: str, format_: str) -> None:
    answer = server.get(f"Patient/{patient_id}?_format={format_}", accept="application/fhir+json")

    assert is_xml(answer, "Patient")


def test_an_unknown_format_is_406_and_an_unknown_pretty_400(server: Server, patient_id: str) -> None:
    refused(server.get(f"Patient/{patient_id}?_format=ttl"), 406, "not-supported")
    refused(server.get(f"Patient/{patient_id}?_pretty=yes"), 400, "value")


@pytest.mark.parametrize("format_", ["json", "xml"])
def test_pretty_adds_lines_and_changes_nothing_else(server: Server, patient_id: str, format_: str) -> None:
    path = f"Patient/{patient_id}?_format={format_}"

    pretty, plain = server.get(f"{path}&_pretty=true"), server.get(f"{path}&_pretty=false")

    assert pretty.text.count("\n") > 10
    assert plain.text.count("\n") <= 1
    assert load(pretty) == load(plain)


def test_pretty_keeps_digits(server: Server) -> None:
    id_ = server.create(observation("Patient/1", value="1.100"))["id"]

    assert '"value": 1.100,' in server.get(f"Observation/{id_}?_pretty=true").text


def test_a_gzipped_body_is_read(server: Server) -> None:
    answer = server.post(
        "Patient", zipped(patient()), content_type="application/fhir+json", content_encoding="gzip"
    )

    assert answer.status_code == 201
    assert load(answer)["gender"] == "female"


def test_a_large_answer_is_zipped_for_who_takes_it_and_a_small_one_is_not(server: Server) -> None:
    for _ in range(5):
        server.create(patient())

    zipped_answer = server.get("Patient?_count=5", accept_encoding="gzip")
    plain = server.get("Patient?_count=5", accept_encoding="identity")
    small = server.get("Patient/nobody", accept_encoding="gzip")

    assert zipped_answer.headers["content-encoding"] == "gzip"
    assert int(zipped_answer.headers["content-length"]) < int(plain.headers["content-length"])
    assert "content-encoding" not in plain.headers
    assert "content-encoding" not in small.headers
    assert zipped_answer.content == plain.content
    assert "accept-encoding" in plain.headers["vary"]


@pytest.mark.parametrize(
    ("body", "encoding", "status", "code"),
    [
        (b"not gzip", "gzip", 400, "structure"),
        (zipped(patient())[:-9], "gzip", 400, "structure"),
        (zipped(patient()) + b"more", "gzip", 400, "structure"),
        (zlib.compress(b"{}"), "deflate", 415, "not-supported"),
        (b"{}", "br", 415, "not-supported"),
        (gzip.compress(gzip.compress(b"{}", mtime=0), mtime=0), "gzip, gzip", 415, "not-supported"),
    ],
    ids=["no gzip", "truncated", "more after the end", "deflate", "brotli", "twice"],
)
def test_an_encoding_that_cannot_be_undone_is_refused(
    server: Server, body: bytes, encoding: str, status: int, code: str
) -> None:
    answer = server.post("Patient", body, content_type="application/fhir+json", content_encoding=encoding)

    refused(answer, status, code)


def test_what_json_can_hold_and_xml_cannot_never_becomes_a_server_error(server: Server) -> None:
    answer = server.post("Basic", {"resourceType": "Basic", "code": {"text": "a\ufffeb"}})

    if answer.status_code == 201:
        refused(server.get(answer.headers["location"], accept=XML), 406, "not-supported")
    else:
        refused(answer, 422, load(answer)["issue"][0]["code"], "Basic.code.text")


@pytest.mark.parametrize("key", [r"\u0001", r"a\ufffeb", r"\u0000", "a b", "<x>"])
def test_a_refusal_that_xml_cannot_hold_keeps_its_status(server: Server, key: str) -> None:
    body = f'{{"resourceType":"Patient","{key}":"x"}}'.encode()

    refusal = server.post("Patient", body, content_type="application/fhir+json", accept=XML)
    verdict = server.post("Patient/$validate", body, content_type="application/fhir+json", accept=XML)

    assert refusal.status_code == 422
    assert load(refusal)["resourceType"] == "OperationOutcome"
    assert verdict.status_code in {200, 406}
    assert load(verdict)["resourceType"] == "OperationOutcome"
