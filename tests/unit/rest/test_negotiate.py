"""Content negotiation. https://hl7.org/fhir/R4/http.html#mime-type"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.faults import Fault, Kind
from fhir_server.rest.negotiate import (
    Content,
    Format,
    accepted,
    accepts_gzip,
    content_of,
    format_named,
    is_true,
)

MEDIA_LIKE = st.text("abcdefgjlmnopqstx/+*;=,.\"'- 0149", max_size=60)


@pytest.mark.parametrize(
    ("accept", "format_"),
    [
        (b"", Format.JSON),
        (b"*/*", Format.JSON),
        (b"application/*", Format.JSON),
        (b"application/fhir+json", Format.JSON),
        (b"application/json", Format.JSON),
        (b"text/json", Format.JSON),
        (b"application/fhir+xml", Format.XML),
        (b"APPLICATION/XML; charset=UTF-8", Format.XML),
        (b"text/xml", Format.XML),
        (b"application/fhir+json;q=0.5, application/fhir+xml;q=0.9", Format.XML),
        (b"application/fhir+xml;q=0.5, application/fhir+json", Format.JSON),
        (b"application/fhir+xml, application/fhir+json", Format.JSON),
        (b"application/fhir+xml, */*;q=0.1", Format.XML),
        (b"application/fhir+json;q=0, */*", Format.XML),
        (b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Format.XML),
        (b"text/turtle, application/fhir+json;q=0.1", Format.JSON),
        (b"application/fhir+json; fhirVersion=4.0", Format.JSON),
        (b"application/fhir+xml; fhirVersion=5.0, application/fhir+json; fhirVersion=4.0", Format.JSON),
    ],
)
def test_chooses_what_the_client_likes_best(accept: bytes, format_: Format) -> None:
    assert accepted(accept) is format_


@pytest.mark.parametrize(
    "accept",
    [
        b"text/html",
        b"text/turtle, image/*",
        b"application/fhir+json;q=0",
        b"*/*;q=0",
        b"application/fhir+json; charset=gbk",
        b"application/fhir+json; fhirVersion=5.0",
        b"application/fhir+json;q=much",
        b"application/fhir+json;q=nan",
        b";",
    ],
)
def test_refuses_when_nothing_acceptable_is_served(accept: bytes) -> None:
    with pytest.raises(Fault) as refused:
        accepted(accept)

    assert refused.value.kind is Kind.NOT_ACCEPTABLE


@pytest.mark.parametrize(
    ("name", "format_"),
    [
        ("json", Format.JSON),
        ("xml", Format.XML),
        ("application/fhir+xml", Format.XML),
        ("application/fhir json", Format.JSON),
        ("text/json", Format.JSON),
        ("application/xml; charset=utf-8", Format.XML),
    ],
)
def test_format_takes_short_names_and_mime_types(name: str, format_: Format) -> None:
    assert format_named(name) is format_


@pytest.mark.parametrize("name", ["", "html", "ttl", "text/turtle", "json; charset=gbk"])
def test_format_refuses_other_names(name: str) -> None:
    with pytest.raises(Fault) as refused:
        format_named(name)

    assert refused.value.kind is Kind.NOT_ACCEPTABLE


@pytest.mark.parametrize(
    ("content_type", "content"),
    [
        (b"application/fhir+json", Content.JSON),
        (b'application/fhir+json; charset="UTF-8"; fhirVersion=4.0', Content.JSON),
        (b"text/xml", Content.XML),
        (b"application/json-patch+json", Content.JSON_PATCH),
        (b"application/x-www-form-urlencoded", Content.FORM),
    ],
)
def test_knows_bodies_by_their_content_type(content_type: bytes, content: Content) -> None:
    assert content_of(content_type) is content


@pytest.mark.parametrize(
    "content_type",
    [
        b"",
        b"text/plain",
        b"application/fhir+json; charset=gb18030",
        b"application/fhir+json; fhirVersion=3.0",
        b"application/merge-patch+json",
        b"application/fhir+json, application/fhir+xml",
    ],
)
def test_refuses_bodies_it_cannot_read(content_type: bytes) -> None:
    with pytest.raises(Fault) as refused:
        content_of(content_type)

    assert refused.value.kind is Kind.UNSUPPORTED_MEDIA


def test_pretty_is_true_false_or_nothing_else() -> None:
    assert is_true("true")
    assert is_true("")
    assert not is_true("false")
    with pytest.raises(Fault) as refused:
        is_true("yes")
    assert refused.value.kind is Kind.BAD_PARAMETER


@pytest.mark.parametrize(
    ("field", "yes"),
    [
        (b"gzip", True),
        (b"br, gzip;q=0.5", True),
        (b"*", True),
        (b"gzip;q=0", False),
        (b"*;q=1, gzip;q=0", False),
        (b"br", False),
        (b"identity", False),
        (b"", False),
    ],
)
def test_gzip_only_where_it_is_accepted(field: bytes, yes: bool) -> None:
    assert accepts_gzip(field) is yes


@given(st.one_of(st.binary(max_size=60), MEDIA_LIKE.map(str.encode)))
def test_any_header_is_understood_or_a_fault(field: bytes) -> None:
    accepts_gzip(field)
    for reader in (accepted, content_of, lambda raw: format_named(raw.decode("latin-1"))):
        try:
            reader(field)
        except Fault as fault:
            assert fault.kind in {Kind.NOT_ACCEPTABLE, Kind.UNSUPPORTED_MEDIA}  # noqa: PT017 most are refused
