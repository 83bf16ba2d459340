"""Every refusal is an OperationOutcome with the right status, and nothing reaches the runner."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.faults import Fault, Issue, Kind
from fhir_server.interactions.request import Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable

JSON = "application/fhir+json"
SECRET = "Zhang Wei 13800000000"


@pytest.mark.parametrize(
    ("method", "target", "status", "code"),
    [
        ("GET", "/", 404, "not-found"),
        ("GET", "/fhirx/Patient/1", 404, "not-found"),
        ("GET", "/health", 404, "not-found"),
        ("POST", "/health/live", 405, "not-supported"),
        ("DELETE", "/metrics", 405, "not-supported"),
        ("GET", "/fhir/Patent/1", 404, "not-supported"),
        ("GET", "/fhir/Patient/a%2Fb", 400, "invalid"),
        ("GET", "/fhir/Patient?name=%ff", 400, "invalid"),
        ("GET", "/fhir/Patient?_format=html", 406, "not-supported"),
        ("GET", "/fhir/Patient?_pretty=maybe", 400, "value"),
        ("POST", "/fhir/Patient/1", 405, "not-supported"),
        ("BREW", "/fhir/Patient/1", 405, "not-supported"),
        ("OPTIONS", "/fhir/Patent", 404, "not-supported"),
        ("OPTIONS", "/fhir/_nothing", 404, "not-found"),
    ],
)
async def test_refuses_with_an_outcome(client: Any, method: str, target: str, status: int, code: str) -> None:
    response = await client(method, target)

    assert (response.status, response.outcome["code"]) == (status, code)
    assert response.outcome["diagnostics"]
    assert client.asked == []


@pytest.mark.parametrize(
    ("body", "content_type", "encoding", "status"),
    [
        (b"{", JSON, "identity", 400),
        (b"[]", JSON, "identity", 400),
        (b"\xef\xbb\xbf{}", JSON, "identity", 400),
        (b'{"a":NaN}', JSON, "identity", 400),
        (b'{"a":"\\ud800"}', JSON, "identity", 400),
        (b'{"a":1,"a":2}', JSON, "identity", 400),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, JSON, "identity", 400),
        (b"{}", "text/plain", "identity", 415),
        (b"{}", "application/fhir+json; charset=gbk", "identity", 415),
        (b"{}", "application/x-www-form-urlencoded", "identity", 415),
        (b"{}", JSON, "br", 415),
        (b"{}", JSON, "gzip", 400),
        (gzip.compress(b"{}", mtime=0)[:-4], JSON, "gzip", 400),
        (gzip.compress(b"{}", mtime=0) * 2, JSON, "gzip", 400),
        (b"", JSON, "gzip", 400),
    ],
)
async def test_refuses_bad_bodies(
    client: Any, body: bytes, content_type: str, encoding: str, status: int
) -> None:
    response = await client(
        "POST", "/fhir/Patient", body, content_type=content_type, content_encoding=encoding
    )

    assert response.status == status
    assert response.outcome["diagnostics"]
    assert client.asked == []


async def test_a_body_at_the_limit_passes_and_one_byte_more_is_413(client_with: Callable[..., Any]) -> None:
    client = client_with(max_body_bytes=2048)
    whole = b'{"resourceType":"Patient"}'.ljust(2048)

    assert (await client("POST", "/fhir/Patient", whole, content_type=JSON)).status == 200
    refused = await client("POST", "/fhir/Patient", [whole, b" "], content_type=JSON)
    assert (refused.status, refused.outcome["code"]) == (413, "too-long")


async def test_content_length_is_refused_before_anything_is_read(client_with: Callable[..., Any]) -> None:
    client = client_with(max_body_bytes=2048)
    chunks: list[bytes] = []  # reading would find the client gone, and there would be no response

    assert (
        await client("POST", "/fhir/Patient", chunks, content_type=JSON, content_length="2049")
    ).status == 413
    assert (
        await client("POST", "/fhir/Patient", chunks, content_type=JSON, content_length="-1")
    ).status == 400


async def test_a_zip_bomb_stops_at_the_limit(client_with: Callable[..., Any]) -> None:
    client = client_with(max_body_bytes=100_000)
    bomb = gzip.compress(b" " * 50_000_000)
    assert len(bomb) < 100_000

    response = await client("POST", "/fhir/Patient", bomb, content_type=JSON, content_encoding="gzip")

    assert (response.status, client.asked) == (413, [])


async def test_nesting_is_limited_by_the_setting(client_with: Callable[..., Any]) -> None:
    client = client_with(max_depth=8)

    def nested(levels: int) -> bytes:
        return b'{"a":' * (levels - 1) + b"{}" + b"}" * (levels - 1)

    assert (await client("POST", "/fhir/Patient", nested(8), content_type=JSON)).status == 200
    assert (await client("POST", "/fhir/Patient", nested(9), content_type=JSON)).status == 400


async def test_a_fault_tells_its_issues_status_and_headers(client: Any) -> None:
    async def refuse(_request: Request) -> Reply:
        issues = (
            Issue("error", "required", "Give a name.", ("Patient.name",)),
            Issue("warning", "value", "Hm."),
        )
        raise Fault(Kind.UNPROCESSABLE, "Two.", issues=issues, headers=(("X-Why", "two"),))

    client.answer = refuse
    response = await client("GET", "/fhir/Patient/1")

    assert (response.status, response.headers["x-why"]) == (422, "two")
    assert response.outcome["expression"] == ["Patient.name"]
    assert len(json.loads(response.body)["issue"]) == 2


@pytest.mark.parametrize("kind", Kind)
async def test_every_kind_of_fault_has_its_status_and_code(client: Any, kind: Kind) -> None:
    async def refuse(_request: Request) -> Reply:
        raise Fault(kind, "So.")

    client.answer = refuse
    response = await client("GET", "/fhir/Patient/1")

    assert (response.status, response.outcome["code"]) == (kind.status, kind.code)
    assert ("retry-after" in response.headers) == (kind.status == 503)


async def test_a_fault_is_told_in_xml_when_xml_is_asked_for(client: Any) -> None:
    response = await client("GET", "/fhir/Patent/1", accept="application/fhir+xml")

    assert response.status == 404
    assert response.body.lstrip().startswith(b"<")
    assert b"OperationOutcome" in response.body
    assert response.headers["content-type"] == "application/fhir+xml; charset=utf-8"


async def test_an_unexpected_exception_is_a_neutral_500_and_a_stack_in_the_log(
    client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_request: Request) -> Reply:
        raise ValueError(SECRET)

    client.answer = fail
    with caplog.at_level(logging.INFO):
        response = await client("GET", "/fhir/Patient/1", x_request_id="abc-1")

    assert (response.status, response.outcome["code"]) == (500, "exception")
    assert "abc-1" in response.outcome["diagnostics"]
    assert SECRET.encode() not in response.body
    assert b"ValueError" not in response.body
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ValueError]


async def test_a_reply_that_cannot_be_written_is_500_too(client: Any) -> None:
    async def broken(_request: Request) -> Reply:
        return Reply(200, b'{"resourceType":"Patient"}', headers=(("X-Split", "a\r\nset-cookie: b"),))

    client.answer = broken

    response = await client("GET", "/fhir/Patient/1")

    assert (response.status, "set-cookie" in response.headers) == (500, False)


async def test_a_reply_that_is_no_json_cannot_be_written_as_xml_and_is_500_in_json(client: Any) -> None:
    async def broken(_request: Request) -> Reply:
        return Reply(200, b'{"resourceType":')

    client.answer = broken

    response = await client("GET", "/fhir/Patient/1", accept="application/fhir+xml")

    assert (response.status, response.outcome["code"]) == (500, "exception")


async def test_a_timeout_is_503_and_a_write_is_told_to_look_first(client_with: Callable[..., Any]) -> None:
    client = client_with(request_seconds=0.02)

    async def hang(_request: Request) -> Reply:
        await asyncio.sleep(5)
        return Reply(200)

    client.answer = hang
    read = await client("GET", "/fhir/Patient/1")
    write = await client("DELETE", "/fhir/Patient/1")

    assert (read.status, read.outcome["code"], read.headers["retry-after"]) == (503, "timeout", "1")
    assert "may or may not" not in read.outcome["diagnostics"]
    assert "may or may not" in write.outcome["diagnostics"]


async def test_a_timeout_inside_the_server_is_not_taken_for_the_request_s(client: Any) -> None:
    async def fail(_request: Request) -> Reply:
        raise TimeoutError

    client.answer = fail

    assert (await client("GET", "/fhir/Patient/1")).status == 500


async def test_a_client_that_leaves_mid_body_is_not_answered_and_not_served(client: Any) -> None:
    sent: list[Any] = []
    messages = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", JSON.encode())]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/fhir/Patient",
        "query_string": b"",
        "headers": headers,
    }
    await client.app(scope, receive, send)

    assert (sent, client.asked) == ([], [])


async def test_a_client_that_leaves_before_the_answer_harms_nothing(client: Any) -> None:
    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(_message: Any) -> None:
        raise OSError

    headers = [(b"host", b"localhost")]
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/fhir/Patient/1",
        "query_string": b"",
        "headers": headers,
    }
    await client.app(scope, receive, send)

    assert len(client.asked) == 1


BYTES = st.binary(max_size=40)
SEGMENTS = st.one_of(
    st.sampled_from(["fhir", "Patient", "1", "_history", "_search", "$meta", "metadata", "%2e", "%ff", ""]),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=10),
)
HEADERS = st.sampled_from(
    [
        *(
            "accept",
            "accept-encoding",
            "content-type",
            "content-encoding",
            "content-length",
            "host",
            "prefer",
        ),
        *("if-match", "if-none-match", "if-none-exist", "if-modified-since", "x-request-id"),
    ]
)
USUAL = st.sampled_from(
    [b"application/fhir+json", b"application/fhir+xml", b"gzip", b"localhost", b'W/"1"', b"*", b"*/*", b"5"]
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"]),
    segments=st.lists(SEGMENTS, max_size=5),
    below=st.booleans(),
    query=BYTES,
    headers=st.lists(st.tuples(HEADERS, st.one_of(BYTES, USUAL)), max_size=5),
    body=st.one_of(BYTES, st.just(b'{"resourceType":"Patient"}'), st.just(gzip.compress(b"{}", mtime=0))),
)
def test_no_request_whatever_gets_500_or_an_error_without_an_outcome(
    client_with: Callable[..., Any],
    method: str,
    segments: list[str],
    below: bool,
    query: bytes,
    headers: list[tuple[str, bytes]],
    body: bytes,
) -> None:
    client = client_with()
    path = ("/fhir/" if below else "/") + "/".join(segments)
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": [(b"host", b"localhost"), *((name.encode(), value) for name, value in headers)],
    }

    response = asyncio.run(client.send(scope, body))

    assert response.status != 500
    if response.status >= 400 and method != "HEAD" and "content-encoding" not in response.headers:
        assert b"OperationOutcome" in response.body
