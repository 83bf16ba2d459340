"""What reaches the runner: HTTP's words turned into an interaction's Request."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import pytest

from fhir_server.interactions.request import Request
from fhir_server.rest import asgi
from fhir_server.store import moment

if TYPE_CHECKING:
    from collections.abc import Callable

JSON = "application/fhir+json"
BASE = "http://localhost:8080/fhir"


async def test_a_read_asks_for_type_and_id(client: Any) -> None:
    response = await client("GET", "/fhir/Patient/1")

    assert response.status == 200
    assert client.asked == [Request("read", "Patient", "1", base=BASE)]


async def test_head_asks_the_same_as_get_and_gets_the_same_headers_without_a_body(client: Any) -> None:
    get = await client("GET", "/fhir/Patient/1", x_request_id="a")
    head = await client("HEAD", "/fhir/Patient/1", x_request_id="a")

    assert client.asked[0] == client.asked[1]
    assert head.headers == get.headers
    assert (head.body, int(head.headers["content-length"])) == (b"", len(get.body))


async def test_parameters_arrive_decoded_in_order_without_format_and_pretty(client: Any) -> None:
    await client("GET", "/fhir/Patient?name=%E5%BC%A0+%E4%BC%9F&_format=json&_pretty=false&name:exact=x")

    assert client.asked[0].parameters == (("name", "张 伟"), ("name:exact", "x"))


async def test_post_search_is_get_with_query_and_form_merged(client: Any) -> None:
    form = "application/x-www-form-urlencoded; charset=UTF-8"
    response = await client(
        "POST", "/fhir/Patient/_search?_count=2", b"name=%E5%BC%A0&_format=xml", content_type=form
    )

    assert client.asked[0].parameters == (("_count", "2"), ("name", "张"))
    assert client.asked[0].name == "search-type"
    assert response.headers["content-type"] == "application/fhir+xml; charset=utf-8"


async def test_post_search_takes_no_resource(client: Any) -> None:
    response = await client("POST", "/fhir/Patient/_search", b"{}", content_type=JSON)

    assert (response.status, client.asked) == (415, [])


async def test_post_search_may_have_no_body_at_all(client: Any) -> None:
    assert (await client("POST", "/fhir/Patient/_search?_count=2")).status == 200


async def test_a_form_is_limited_far_below_a_bundle(client: Any) -> None:
    form = "application/x-www-form-urlencoded"
    response = await client("POST", "/fhir/Patient/_search", b"name=" + b"a" * 2**20, content_type=form)

    assert response.status == 413


async def test_a_body_is_decoded_with_all_its_digits(client: Any) -> None:
    body = b'{"resourceType":"Observation","valueQuantity":{"value":1.10}}'

    await client("POST", "/fhir/Observation", body, content_type=JSON)

    asked = client.asked[0]
    assert (asked.name, asked.type, asked.id) == ("create", "Observation", None)
    assert str(asked.body["valueQuantity"]["value"]) == "1.10"


async def test_a_body_in_chunks_and_gzip_is_the_same_body(client: Any) -> None:
    packed = gzip.compress(b'{"resourceType":"Patient"}')

    await client(
        "PUT", "/fhir/Patient/1", [packed[:5], b"", packed[5:]], content_type=JSON, content_encoding="gzip"
    )

    assert client.asked[0].body == {"resourceType": "Patient"}


@pytest.mark.parametrize(
    "content_type", ["application/fhir+xml", "application/xml", "text/xml;charset=utf-8"]
)
async def test_xml_is_decoded_too(client: Any, content_type: str) -> None:
    await client(
        "POST", "/fhir/Patient", b'<Patient xmlns="http://hl7.org/fhir"/>', content_type=content_type
    )

    assert client.asked[0].body == {"resourceType": "Patient"}


async def test_a_json_patch_arrives_as_a_list_of_operations(client: Any) -> None:
    patch = b'[{"op":"replace","path":"/gender","value":"male"}]'

    await client("PATCH", "/fhir/Patient/1", patch, content_type="application/json-patch+json")

    assert client.asked[0].patch == [{"op": "replace", "path": "/gender", "value": "male"}]
    assert client.asked[0].body is None


async def test_a_fhirpath_patch_arrives_as_parameters(client: Any) -> None:
    await client("PATCH", "/fhir/Patient/1", b'{"resourceType":"Parameters"}', content_type=JSON)

    assert client.asked[0].body == {"resourceType": "Parameters"}
    assert client.asked[0].patch is None


async def test_a_json_patch_is_only_for_patch(client: Any) -> None:
    response = await client("PUT", "/fhir/Patient/1", b"[]", content_type="application/json-patch+json")

    assert (response.status, client.asked) == (415, [])


async def test_an_operation_may_have_no_body_but_a_create_may_not(client: Any) -> None:
    assert (await client("POST", "/fhir/Patient/1/$meta")).status == 200
    refused = await client("POST", "/fhir/Patient", content_type=JSON)

    assert (refused.status, refused.outcome["code"]) == (400, "invalid")


async def test_preconditions_and_preferences_arrive_decoded(client: Any) -> None:
    await client(
        "PUT",
        "/fhir/Patient/1",
        b'{"resourceType":"Patient"}',
        content_type=JSON,
        if_match='W/"3"',
        prefer="return=minimal, handling=strict",
    )
    await client("POST", "/fhir/Patient", b"{}", content_type=JSON, if_none_exist="identifier=a%7Cb")
    await client("GET", "/fhir/Patient/1", if_none_match='W/"3", W/"4"')
    await client("GET", "/fhir/Patient/1", if_modified_since="Tue, 14 Nov 2023 22:13:20 GMT")

    update, create, revalidate, since = client.asked
    assert (update.if_match, update.prefer_return, update.prefer_strict) == ("3", "minimal", True)
    assert create.if_none_exist == "identifier=a%7Cb"
    assert (revalidate.if_none_match, revalidate.if_modified_since) == ("3,4", None)
    assert since.if_modified_since == 1_700_000_000_000


async def test_if_none_match_beats_if_modified_since(client: Any) -> None:
    date = "Tue, 14 Nov 2023 22:13:20 GMT"

    await client("GET", "/fhir/Patient/1", if_none_match='W/"3"', if_modified_since=date)

    assert client.asked[0].if_modified_since is None


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_no_method_changes_a_whole_type_for_want_of_criteria(client: Any, method: str) -> None:
    body = b'{"resourceType":"Patient"}'
    bare = await client(method, "/fhir/Patient?_pretty=true", body, content_type=JSON)
    named = await client(method, "/fhir/Patient?identifier=1", body, content_type=JSON)

    assert (bare.status, named.status) == (400, 200)
    assert [asked.parameters for asked in client.asked] == [(("identifier", "1"),)]


async def test_repeated_header_fields_are_joined(client: Any) -> None:
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/fhir/Patient/1",
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"if-none-match", b'W/"1"'), (b"if-none-match", b'W/"2"')],
    }

    await client.send(scope)

    assert client.asked[0].if_none_match == "1,2"


@pytest.mark.parametrize(
    ("host", "base"),
    [
        ("localhost", "http://localhost/fhir"),
        ("127.0.0.1:8080", "http://127.0.0.1:8080/fhir"),
        ("[::1]:1", "http://[::1]:1/fhir"),
    ],
)
async def test_the_base_comes_from_the_host_header(client: Any, host: str, base: str) -> None:
    response = await client("GET", "/fhir/Patient/1", host=host, x_forwarded_host="evil.example")

    assert (response.status, client.asked[0].base) == (200, base)


@pytest.mark.parametrize(
    "host", ["", "a b", "localhost/evil", "localhost:port", "user@localhost", "[::1", "张.cn"]
)
async def test_refuses_a_host_that_is_none(client: Any, host: str) -> None:
    assert (await client("GET", "/fhir/Patient/1", host=host.encode().decode("latin-1"))).status == 400


async def test_without_authentication_only_names_of_this_machine_are_answered(
    client: Any, client_with: Callable[..., Any]
) -> None:
    assert (await client("GET", "/fhir/Patient/1", host="rebound.example")).status == 400
    authenticated = client_with(insecure_no_auth=False)
    assert (await authenticated("GET", "/fhir/Patient/1", host="fhir.example")).status == 200


async def test_a_configured_base_beats_the_host_header(client_with: Callable[..., Any]) -> None:
    client = client_with(base_url="https://fhir.example/fhir/")

    await client("GET", "/fhir/Patient/1", host="whatever")

    assert client.asked[0].base == "https://fhir.example/fhir"


@pytest.mark.parametrize(("slow", "is_kept"), [(0.0, False), (60.0, True)])
async def test_a_request_whose_body_took_long_is_judged_when_it_is_whole(
    client: Any, monkeypatch: pytest.MonkeyPatch, slow: float, is_kept: bool
) -> None:
    """What a store was asked before is asked again: a consent may have been withdrawn meanwhile."""
    monkeypatch.setattr(asgi, "_SLOW_SECONDS", slow)
    opened = moment.begin()
    moment.keep("stamps", 1)

    await client("POST", "/fhir/Patient", b'{"resourceType":"Patient"}', content_type=JSON)

    assert len(client.asked) == 1
    assert (moment.kept("stamps") == 1) is is_kept
    moment.end(opened)
