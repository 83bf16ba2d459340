"""What the client sees of a Reply. https://hl7.org/fhir/R4/http.html"""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest

from fhir_server.faults import Fault, Kind
from fhir_server.interactions.request import Reply, Request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

BIG = b'{"resourceType":"Patient","id":"1","text":"%s"}'


def always(reply: Reply) -> Callable[[Request], Awaitable[Reply]]:
    async def answer(_request: Request) -> Reply:
        return reply

    return answer


async def test_a_read_has_version_time_and_private_caching(client: Any) -> None:
    headers = (await client("GET", "/fhir/Patient/1")).headers

    assert headers["content-type"] == "application/fhir+json; charset=utf-8"
    assert headers["etag"] == 'W/"3"'
    assert headers["last-modified"] == "Tue, 14 Nov 2023 22:13:20 GMT"
    assert headers["cache-control"] == "private, no-cache"
    assert headers["x-content-type-options"] == "nosniff"
    assert not [name for name in headers if name.startswith("access-control")]


async def test_location_is_absolute(client: Any) -> None:
    client.answer = always(Reply(201, b"{}", etag=1, location="Patient/1/_history/1"))

    response = await client("POST", "/fhir/Patient", b"{}", content_type="application/fhir+json")

    assert response.status == 201
    assert response.headers["location"] == "http://localhost:8080/fhir/Patient/1/_history/1"


@pytest.mark.parametrize("status", [204, 304])
async def test_204_and_304_have_no_body_and_no_length(client: Any, status: int) -> None:
    client.answer = always(Reply(status, b"{}", etag=3))

    response = await client("GET", "/fhir/Patient/1")

    assert (response.status, response.body, response.headers["etag"]) == (status, b"", 'W/"3"')
    assert not {"content-length", "content-type"} & set(response.headers)


async def test_an_empty_200_says_that_it_is_empty(client: Any) -> None:
    client.answer = always(Reply(200, etag=4))

    response = await client("GET", "/fhir/Patient/1")

    assert (response.headers["content-length"], "content-type" in response.headers) == ("0", False)


async def test_json_passes_byte_for_byte_and_pretty_keeps_digits(client: Any) -> None:
    body = b'{"resourceType":"Basic","b":1.10,"a":100000000000000000000000000000.10,"c":1E-7}'
    client.answer = always(Reply(200, body))

    plain = await client("GET", "/fhir/Basic/1")
    pretty = await client("GET", "/fhir/Basic/1?_pretty=true")

    assert plain.body == body
    assert pretty.body != body
    assert b"".join(pretty.body.split()) == body


async def test_xml_is_written_when_accept_or_format_asks_for_it(client: Any) -> None:
    by_accept = await client("GET", "/fhir/Patient/1", accept="application/fhir+xml")
    by_format = await client("GET", "/fhir/Patient/1?_format=xml", accept="application/fhir+json")

    assert by_accept.headers["content-type"] == "application/fhir+xml; charset=utf-8"
    assert b'<Patient xmlns="http://hl7.org/fhir"' in by_accept.body
    assert by_format.body == by_accept.body


async def test_format_overrides_an_accept_that_cannot_be_served(client: Any) -> None:
    assert (await client("GET", "/fhir/Patient/1", accept="text/turtle")).status == 406
    assert (await client("GET", "/fhir/Patient/1?_format=json", accept="text/turtle")).status == 200


@pytest.mark.parametrize("size", [2_000, 400_000])
async def test_gzip_is_used_when_accepted_and_worth_it(client: Any, size: int) -> None:
    body = BIG % (b"a" * size)
    client.answer = always(Reply(200, body))

    packed = await client("GET", "/fhir/Patient/1", accept_encoding="gzip, br")
    plain = await client("GET", "/fhir/Patient/1", accept_encoding="br")

    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) == len(packed.body) < len(body)
    assert gzip.decompress(packed.body) == plain.body == body
    assert "content-encoding" not in plain.headers


async def test_small_bodies_are_not_zipped(client: Any) -> None:
    response = await client("GET", "/fhir/Patient/1", accept_encoding="gzip")

    assert "content-encoding" not in response.headers


async def test_caches_are_told_what_the_answer_depends_on(client: Any) -> None:
    vary = (await client("GET", "/fhir/Patient/1")).headers["vary"]

    assert {"accept", "accept-encoding"} <= set(vary.split(", "))


async def test_a_sane_request_id_is_kept_and_any_other_replaced(client: Any) -> None:
    kept = await client("GET", "/fhir/Patient/1", x_request_id="a-B.1_2")
    made = [
        (await client("GET", "/fhir/Patient/1", x_request_id=given)).headers["x-request-id"]
        for given in ("", "a b", "x" * 65, "a\tb", '"<script>')
    ]

    assert kept.headers["x-request-id"] == "a-B.1_2"
    assert len(set(made)) == 5
    assert all(len(text) == 32 and text.isalnum() for text in made)


async def test_options_says_which_methods_a_path_has(client: Any) -> None:
    response = await client("OPTIONS", "/fhir/Patient/1")

    assert (response.status, response.body) == (204, b"")
    assert response.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"
    assert client.asked == []


async def test_a_reply_s_own_headers_are_added(client: Any) -> None:
    client.answer = always(Reply(202, headers=(("Content-Location", "http://x/1"),)))

    assert (await client("GET", "/fhir/$export")).headers["content-location"] == "http://x/1"


async def test_what_xml_cannot_hold_is_406_in_json(client: Any) -> None:
    client.answer = always(Reply(200, b'{"resourceType":"Basic","id":"a\\u0001b"}', etag=1))

    refusal = await client("GET", "/fhir/Basic/1", accept="application/fhir+xml")
    plain = await client("GET", "/fhir/Basic/1", accept="application/fhir+json")

    assert (refusal.status, refusal.outcome["code"]) == (406, "not-supported")
    assert "etag" not in refusal.headers
    assert plain.status == 200


async def test_a_fault_of_the_server_is_logged_with_its_cause_and_any_other_fault_is_not(
    client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(kind: Kind) -> Callable[[Request], Awaitable[Reply]]:
        async def fail(_request: Request) -> Reply:
            raise Fault(kind, "The store could not carry out the request.") from OSError("secret")

        return fail

    client.answer = failing(Kind.CONFLICT)
    await client("GET", "/fhir/Basic/1")
    quiet = [record for record in caplog.records if record.exc_info]
    client.answer = failing(Kind.EXCEPTION)
    response = await client("GET", "/fhir/Basic/1")
    (told,) = (record for record in caplog.records if record.exc_info)

    assert quiet == []
    assert response.status == 500
    assert told.exc_info is not None
    assert told.exc_info[0] is OSError


async def test_health_and_readiness(client: Any) -> None:
    live, ready = await client("GET", "/health/live"), await client("GET", "/health/ready")
    client.is_ready = False
    unready = await client("GET", "/health/ready")

    assert (live.status, json.loads(live.body)) == (200, {"status": "live"})
    assert (ready.status, json.loads(ready.body)) == (200, {"status": "ready"})
    assert (unready.status, json.loads(unready.body)) == (503, {"status": "unavailable"})


async def test_a_readiness_check_that_fails_is_unready_not_500(client: Any) -> None:
    async def fail() -> bool:
        raise OSError

    client.app._probes._ready = fail

    assert (await client("GET", "/health/ready")).status == 503


async def test_metrics_count_by_interaction_type_and_status_and_hold_no_ids(client: Any) -> None:
    await client("GET", "/fhir/Patient/secret-id?name=zhangwei")
    await client("GET", "/fhir/Zhangwei/1")
    text = (await client("GET", "/metrics")).body.decode()

    assert 'fhir_requests_total{interaction="read",status="200",type="Patient"} 1.0' in text
    assert 'fhir_requests_total{interaction="",status="404",type=""} 1.0' in text
    assert 'fhir_request_seconds_count{interaction="read"} 1.0' in text
    assert "secret-id" not in text
    assert "hangwei" not in text
