"""Binary in its own media type. https://hl7.org/fhir/R4/binary.html#rest"""

from __future__ import annotations

import base64
import gzip

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.http.server import Server, Tree, load, refused, served

PDF = b"%PDF-1.7\n\x00\xff\xfe bytes that are no text"
PAGE = b"<html><script>alert(document.cookie)</script></html>"
FHIR = "application/fhir+json"


def sent(server: Server, content: bytes, content_type: str, **headers: str) -> Tree:
    """Post content as it is; return the Binary that it became."""
    response = server.post("Binary", content, content_type=content_type, accept=FHIR, **headers)
    assert response.status_code == 201, response.text
    return load(response)


def stored(server: Server, content: bytes, content_type: str) -> str:
    """Post a Binary as a resource; return its path."""
    data = base64.b64encode(content).decode()
    tree = {"resourceType": "Binary", "contentType": content_type, "data": data}
    return f"Binary/{server.create(tree)['id']}"


def test_content_comes_back_byte_for_byte(server: Server) -> None:
    tree = sent(server, PDF, "application/pdf")
    answer = server.get(f"Binary/{tree['id']}")

    assert tree["contentType"] == "application/pdf"
    assert answer.status_code == 200
    assert answer.content == PDF
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["content-length"] == str(len(PDF))
    assert answer.headers["etag"] == 'W/"1"'
    assert "last-modified" in answer.headers


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=1, max_size=3000), st.sampled_from(["image/png", "text/plain", "application/json"]))
def test_any_bytes_survive(server: Server, content: bytes, media: str) -> None:
    tree = sent(server, content, media)

    assert base64.b64decode(tree["data"]) == content
    assert server.get(f"Binary/{tree['id']}", accept=media).content == content


def test_what_was_stored_as_a_resource_is_served_as_content_and_the_reverse(server: Server) -> None:
    path = stored(server, PDF, "application/pdf")

    assert server.get(path).content == PDF
    assert load(server.get(path, accept=FHIR))["data"] == base64.b64encode(PDF).decode()


@pytest.mark.parametrize(
    ("accept", "given"),
    [
        (None, "application/pdf"),
        ("*/*", "application/pdf"),
        ("application/pdf", "application/pdf"),
        ("APPLICATION/PDF", "application/pdf"),
        ("application/*", "application/pdf"),
        ("image/png, application/pdf;q=0.1", "application/pdf"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/pdf"),
        ("application/pdf, application/fhir+json;q=0.5", "application/pdf"),
        (FHIR, FHIR),
        ("application/fhir+json, */*", FHIR),
        ("application/fhir+json, application/pdf", FHIR),
        ("application/fhir+json;q=0.5, application/pdf;q=0.4", FHIR),
        ("application/fhir+xml", "application/fhir+xml"),
        ("application/json", FHIR),
        ("text/xml", "application/fhir+xml"),
        ("application/pdf;q=0, application/json", FHIR),
    ],
)
def test_accept_chooses_between_the_content_and_the_resource(
    server: Server, accept: str | None, given: str
) -> None:
    path = stored(server, PDF, "application/pdf")
    headers = {} if accept is None else {"accept": accept}
    answer = server.request("GET", path, headers=headers)

    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == given
    assert "accept" in answer.headers["vary"]


@pytest.mark.parametrize("accept", ["image/png", "text/html", "application/pdf;q=0", "*/*;q=0"])
def test_what_accept_excludes_is_406(server: Server, accept: str) -> None:
    path = stored(server, PDF, "application/pdf")

    issue = refused(server.get(path, accept=accept), 406, "not-supported")
    assert "application/fhir+json" in issue["diagnostics"]


@pytest.mark.parametrize("media", ["application/json", "text/xml"])
def test_a_generic_type_means_the_content_if_it_is_of_that_type(server: Server, media: str) -> None:
    path = stored(server, b'{"a": 1}', media)

    assert server.get(path, accept=media).content == b'{"a": 1}'


@pytest.mark.parametrize("query", ["_format=json", "_pretty=true", "_elements=contentType", "_summary=true"])
def test_parameters_ask_for_the_resource(server: Server, query: str) -> None:
    path = stored(server, PDF, "application/pdf")
    answer = server.get(f"{path}?{query}")

    assert answer.headers["content-type"].startswith(FHIR)
    assert load(answer)["resourceType"] == "Binary"


@pytest.mark.parametrize("route", ["Binary?_id={}", "Binary/{}/_history"])
def test_bundles_hold_the_resource(server: Server, route: str) -> None:
    id_ = sent(server, PDF, "application/pdf")["id"]
    bundle = load(server.get(route.format(id_)))

    assert bundle["entry"][0]["resource"]["contentType"] == "application/pdf"


def test_every_version_is_served_as_it_was(server: Server) -> None:
    id_ = sent(server, b"one", "text/plain")["id"]
    changed = server.put(f"Binary/{id_}", b"two", content_type="text/csv", if_match='W/"1"')

    assert changed.status_code == 200
    first, second = (server.get(f"Binary/{id_}/_history/{version}") for version in (1, 2))
    assert (first.content, first.headers["content-type"]) == (b"one", "text/plain")
    assert (second.content, second.headers["content-type"]) == (b"two", "text/csv")
    refused(server.put(f"Binary/{id_}", b"three", content_type="text/csv", if_match='W/"1"'), 412, "conflict")


def test_put_creates_under_the_id_of_the_address(server: Server) -> None:
    answer = server.put("Binary/chosen", PDF, content_type="application/pdf")

    assert answer.status_code == 201
    assert server.get("Binary/chosen").content == PDF


def test_head_tells_the_length_and_sends_nothing(server: Server) -> None:
    path = stored(server, PDF, "application/pdf")
    answer = server("HEAD", path)

    assert answer.status_code == 200
    assert answer.content == b""
    assert answer.headers["content-length"] == str(len(PDF))
    assert answer.headers["content-type"] == "application/pdf"


def test_a_copy_that_is_current_is_304_and_another_is_sent(server: Server) -> None:
    path = stored(server, PDF, "application/pdf")

    assert server.get(path, if_none_match='W/"1"').status_code == 304
    assert server.get(path, if_none_match='W/"2"').content == PDF


def test_what_was_deleted_or_never_was_is_told_as_fhir(server: Server) -> None:
    path = stored(server, PDF, "application/pdf")
    assert server.delete(path).status_code == 204

    refused(server.get(path, accept="application/pdf"), 410, "deleted")
    refused(server.get("Binary/unknown", accept="application/pdf"), 404, "not-found")


ACTIVE = ["text/html", "image/svg+xml", "application/xhtml+xml", "text/xml", "application/javascript", "x/y"]


@pytest.mark.parametrize("media", [*ACTIVE, "TEXT/HTML; charset=utf-8"])
def test_nothing_that_could_act_is_opened_in_a_browser(server: Server, media: str) -> None:
    answer = server.get(stored(server, PAGE, media))

    assert answer.content == PAGE
    assert answer.headers["content-disposition"] == "attachment"


@pytest.mark.parametrize("media", [*ACTIVE, "image/png", "application/pdf", "text/plain; charset=utf-8"])
def test_every_content_is_sandboxed_and_not_sniffed(server: Server, media: str) -> None:
    answer = server.get(stored(server, PAGE, media))

    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert ("content-disposition" in answer.headers) == (media in ACTIVE)


@pytest.mark.parametrize("media", ["text/html\nx", "a b", "nothing", "text/html;\tx=1", "文本/html"])
def test_a_stored_type_that_is_no_media_type_makes_no_header(server: Server, media: str) -> None:
    got = server.get(stored(server, PAGE, media))

    assert got.headers["content-type"] == "application/octet-stream"
    assert got.headers["content-disposition"] == "attachment"


def test_a_binary_without_data_is_empty(server: Server) -> None:
    id_ = server.create({"resourceType": "Binary", "contentType": "text/plain"})["id"]
    answer = server.get(f"Binary/{id_}")

    assert (answer.status_code, answer.content) == (200, b"")


def test_the_security_context_goes_in_and_out_in_its_header(server: Server) -> None:
    patient = server.create({"resourceType": "Patient"})
    reference = f"Patient/{patient['id']}"
    tree = sent(server, PDF, "application/pdf", x_security_context=reference)

    assert tree["securityContext"] == {"reference": reference}
    assert server.get(f"Binary/{tree['id']}").headers["x-security-context"] == reference
    bare = sent(server, PDF, "application/pdf")
    assert "x-security-context" not in server.get(f"Binary/{bare['id']}").headers


@pytest.mark.parametrize("context", ["", "Patient/1, Patient/2", "Patient / 1", "Patient/1\xff", "x" * 2001])
def test_a_context_that_is_no_reference_is_refused(server: Server, context: str) -> None:
    answer = server.request(
        "POST",
        "Binary",
        content=PDF,
        headers={"content-type": "application/pdf", "x-security-context": context.encode("latin-1")},
    )

    refused(answer, 400, "invalid", "Binary.securityContext.reference")


def test_a_context_beside_a_resource_is_refused(server: Server) -> None:
    tree = {"resourceType": "Binary", "contentType": "text/plain", "data": "cXVpY2s="}

    refused(server.post("Binary", tree, x_security_context="Patient/1"), 400, "invalid")


@pytest.mark.parametrize("content_type", [FHIR, "application/json"])
def test_a_resource_of_another_type_is_content(server: Server, content_type: str) -> None:
    """The spec: whatever is written is content, FHIR included, unless it is a Binary itself."""
    content = b'{"resourceType": "Patient", "active": true}'
    tree = sent(server, content, content_type)

    assert tree["contentType"] == content_type
    assert base64.b64decode(tree["data"]) == content


@pytest.mark.parametrize("content", [b"{", b'{"resourceType": "Binary",', b"<Binary/>", b"\xef\xbb\xbf{}"])
def test_what_only_claims_to_be_fhir_is_refused(server: Server, content: bytes) -> None:
    refused(server.post("Binary", content, content_type=FHIR), 400, "structure")


def test_a_binary_that_breaks_rules_is_refused_as_any_resource(server: Server) -> None:
    refused(server.post("Binary", {"resourceType": "Binary", "data": "****"}), 422, "value")


@pytest.mark.parametrize("content_type", ["", "pdf", "text/", "/plain", "a/b; x", "a/b; x=\x01"])
def test_content_without_a_media_type_is_refused(server: Server, content_type: str) -> None:
    refused(server.post("Binary", PDF, content_type=content_type), 415, "not-supported")


def test_nothing_is_no_content(server: Server) -> None:
    refused(server.post("Binary", b"", content_type="application/pdf"), 400, "invalid")


def test_zipped_content_is_stored_unzipped(server: Server) -> None:
    tree = sent(server, gzip.compress(PDF), "application/pdf", content_encoding="gzip")

    assert base64.b64decode(tree["data"]) == PDF


def test_content_is_zipped_for_who_takes_it_so(server: Server) -> None:
    path = stored(server, b"again and " * 500, "text/plain")
    answer = server.get(path, accept_encoding="gzip")

    assert answer.headers["content-encoding"] == "gzip"
    assert answer.content == b"again and " * 500


def test_conditional_create_takes_content_too(server: Server) -> None:
    first = {"resourceType": "Binary", "contentType": "text/plain", "meta": {"source": "urn:one"}}
    server.create(first)
    answers = [
        server.post("Binary", b"new", content_type="text/plain", if_none_exist=f"_source=urn:{which}")
        for which in ("one", "two")
    ]

    assert [answer.status_code for answer in answers] == [200, 201]


def test_types_other_than_binary_take_fhir_alone(server: Server) -> None:
    refused(server.post("Patient", PDF, content_type="application/pdf"), 415, "not-supported")
    patient = server.create({"resourceType": "Patient"})
    refused(server.get(f"Patient/{patient['id']}", accept="application/pdf"), 406, "not-supported")


def test_content_has_a_limit_that_leaves_room_for_base64(tmp_path_factory: pytest.TempPathFactory) -> None:
    with served(tmp_path_factory.mktemp("small"), max_body_bytes=4096) as small:
        assert small.post("Binary", bytes(3072), content_type="image/png").status_code == 201
        refused(small.post("Binary", bytes(3073), content_type="image/png"), 413, "too-long")
        refused(small.post("Binary", bytes(5000), content_type="image/png"), 413, "too-long")


def test_an_entry_of_a_batch_is_the_resource(server: Server) -> None:
    path = stored(server, PDF, "application/pdf")
    answer: httpx.Response = server.post(
        "",
        {"resourceType": "Bundle", "type": "batch", "entry": [{"request": {"method": "GET", "url": path}}]},
    )

    assert load(answer)["entry"][0]["resource"]["contentType"] == "application/pdf"
