"""What was sent comes back: digits, primitive extensions, contained resources, order of keys, every type."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.http.server import Server, dump, load, matches
from tests.strategies import resources

JSON = "application/fhir+json"


def stored(server: Server, body: bytes, type_: str) -> bytes:
    """Store bytes; return the bytes of a read, of a search and of a version, which must be the same."""
    created = server.post(type_, body, content_type=JSON)
    assert created.status_code == 201, created.text
    address = created.headers["location"].partition("/_history")[0]
    read = server.get(address).content
    found = server.get(f"{type_}?_id={address.rpartition('/')[2]}").content
    assert server.get(created.headers["location"]).content == read
    assert read in found
    return read


@pytest.mark.parametrize(
    "number",
    [
        "1.10",
        "0.00",
        "-0.0",
        "100",
        "1.0",
        "123456789012345678901234567890",
        "0.123456789012345678901234567890",
        "3.141592653589793238462643383279",
        "99999999999999999999.99",
    ],
)
def test_every_digit_is_kept(server: Server, number: str) -> None:
    body = b'{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":%s}}'

    assert f'"value":{number}}}'.encode() in stored(server, body % number.encode(), "Observation")


@pytest.mark.parametrize("number", ["1e2", "1E+2", "1.50e-7"])
def test_an_exponent_keeps_its_value_and_precision(server: Server, number: str) -> None:
    body = b'{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":%s}}'

    read = stored(server, body % number.encode(), "Observation")

    value = Decimal(read.rpartition(b'"value":')[2].rstrip(b"}").decode())
    assert value.as_tuple() == Decimal(number).as_tuple()


def test_primitive_extensions_are_kept_beside_and_instead_of_values(server: Server) -> None:
    body = (
        b'{"resourceType":"Patient","birthDate":"1970-01-01","_birthDate":{"extension":[{"url":"http://x.example",'
        b'"valueDateTime":"1970-01-01T08:00:00+08:00"}]},"_gender":{"id":"g","extension":[{"url":'
        b'"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"unknown"}]},'
        b'"name":[{"given":["a",null,"c"],"_given":[null,{"id":"second","extension":[{"url":"http://x.example",'
        b'"valueString":"k"}]},null]}]}'
    )

    read = stored(server, body, "Patient")

    assert read.endswith(body[len(b'{"resourceType":"Patient",') :])


def test_the_order_of_keys_is_kept(server: Server) -> None:
    body = b'{"resourceType":"Patient","gender":"male","active":true,"name":[{"given":["x"],"use":"usual"}]}'

    assert stored(server, body, "Patient").endswith(
        b'"gender":"male","active":true,"name":[{"given":["x"],"use":"usual"}]}'
    )


def test_contained_resources_are_kept_whole(server: Server) -> None:
    inner = b'{"resourceType":"Organization","id":"o","name":"\xe5\x8c\xbb\xe9\x99\xa2"}'
    body = b'{"resourceType":"Patient","contained":[%s],"managingOrganization":{"reference":"#o"}}' % inner

    assert inner in stored(server, body, "Patient")


def test_characters_of_every_plane_are_kept(server: Server) -> None:
    text = "é 柳 \N{GRINNING FACE} \u200f\t\u00a0\\ \" / <&>'"
    tree = load(server.post("Basic", {"resourceType": "Basic", "code": {"text": text}}))

    assert tree["code"]["text"] == text


def test_narrative_is_kept_as_it_was_written(server: Server) -> None:
    div = "<div xmlns=\\\"http://www.w3.org/1999/xhtml\\\"><p class='x'>a &lt; b&#160;&amp; c<br/></p></div>"
    text = f'"text":{{"status":"generated","div":"{div}"}}'
    body = f'{{"resourceType":"Basic",{text},"code":{{"text":"x"}}}}'.encode()

    assert text.encode() in stored(server, body, "Basic")


@settings(max_examples=150)
@given(tree=resources())
def test_what_is_accepted_comes_back_the_same_whatever_it_is(server: Server, tree: dict[str, object]) -> None:
    type_ = str(tree["resourceType"])
    created = server.post(type_, dump(tree), content_type=JSON)

    if created.status_code == 201:
        read = server.get(created.headers["location"], accept=JSON)
        told = load(read)
        assert told == load(server.get(f"{created.headers['location']}?_pretty=true"))
        meta = {k: v for k, v in told.pop("meta").items() if k not in {"versionId", "lastUpdated"}}
        sent = dict(tree)
        sent_meta = {
            k: v for k, v in dict(sent.pop("meta", {})).items() if k not in {"versionId", "lastUpdated"}
        }  # type: ignore[call-overload]
        assert meta == sent_meta
        told.pop("id")
        sent.pop("id", None)
        assert dump(told) == dump(sent)
    else:
        assert created.status_code == (405 if type_ == "AuditEvent" else 422)


@settings(max_examples=60)
@given(data=st.data())
def test_xml_and_json_tell_the_same_whatever_the_resource(server: Server, data: st.DataObject) -> None:
    tree = data.draw(resources())
    created = server.post(str(tree["resourceType"]), dump(tree), content_type=JSON)

    if created.status_code == 201:
        xml = server.get(created.headers["location"], accept="application/fhir+xml")
        assert xml.status_code == 200, xml.text
        assert load(xml) == load(created)


def test_nothing_is_lost_between_read_and_search_over_all_pages(server: Server) -> None:
    ids = {
        server.create(
            {
                "resourceType": "Flag",
                "status": "active",
                "code": {"text": "x"},
                "subject": {"reference": "Patient/1"},
            }
        )["id"]
        for _ in range(5)
    }

    found = [id_ for page in server.pages("Flag?_count=2") for id_ in matches(page)]

    assert set(found) == ids
