"""References: read by their form, found by type wherever they stand, rewritten in place."""

from __future__ import annotations

import copy
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.resources.codec import encode
from fhir_server.resources.reference import (
    Links,
    Reference,
    links,
    parse,
    rewrite,
)

BASE = "https://a.example/fhir"
XHTML = 'xmlns="http://www.w3.org/1999/xhtml"'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Patient/1", Reference("Patient/1", "relative", "Patient", "1")),
        (
            "Patient/a-1.b/_history/3",
            Reference("Patient/a-1.b/_history/3", "relative", "Patient", "a-1.b", "3"),
        ),
        (f"{BASE}/Patient/1", Reference(f"{BASE}/Patient/1", "relative", "Patient", "1")),
        ("https://b.example/Patient/1", Reference("https://b.example/Patient/1", "absolute", "Patient", "1")),
        ("https://b.example/x", Reference("https://b.example/x", "absolute")),
        ("https://b.example/Nothing/1", Reference("https://b.example/Nothing/1", "absolute")),
        ("urn:uuid:5b1c", Reference("urn:uuid:5b1c", "urn")),
        ("urn:oid:1.2.3", Reference("urn:oid:1.2.3", "urn")),
        ("#p1", Reference("#p1", "fragment", id="p1")),
        ("#", Reference("#", "fragment", id="")),
        (
            "Patient?identifier=a|b",
            Reference("Patient?identifier=a|b", "conditional", "Patient", query="identifier=a|b"),
        ),
        ("Nothing/1", Reference("Nothing/1", "other")),
        ("Nothing?a=b", Reference("Nothing?a=b", "other")),
        ("Patient?", Reference("Patient?", "other")),
        ("Patient", Reference("Patient", "other")),
        ("Patient/a b", Reference("Patient/a b", "other")),
        ("Patient/1\n", Reference("Patient/1\n", "other")),
        ("Patient/" + "1" * 65, Reference("Patient/" + "1" * 65, "other")),
        ("", Reference("", "other")),
    ],
)
def test_reads_a_reference_by_its_form(text: str, expected: Reference) -> None:
    assert parse(text, BASE) == expected


def test_local_is_told_for_this_server_alone() -> None:
    assert parse(f"{BASE}/Patient/1/_history/2", BASE).local == "Patient/1"
    assert parse("https://b.example/Patient/1", BASE).local is None
    assert parse(f"{BASE}x/Patient/1", BASE).local is None


@given(st.text() | st.text("Patient/?#:|urnid12_history. "))
def test_any_text_is_read_without_raising(text: str) -> None:
    assert parse(text, BASE).text == text


def observation() -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "meta": {"profile": ["urn:a"]},
        "text": {
            "status": "generated",
            "div": f'<div {XHTML}><a href="urn:a">href="urn:a" x</a>'
            '<img alt="src" src=\'urn:a\'/><b title="urn:a"/></div>',
        },
        "contained": [{"resourceType": "Patient", "id": "p", "managingOrganization": {"reference": "urn:a"}}],
        "extension": [
            {"url": "http://x", "valueReference": {"reference": "urn:a"}},
            {"url": "http://y", "extension": [{"url": "z", "valueUri": "urn:a"}]},
            {"url": "http://s", "valueString": "urn:a"},
        ],
        "identifier": [{"system": "urn:a", "value": "urn:a"}],
        "status": "final",
        "_status": {"extension": [{"url": "http://x", "valueUrl": "urn:a"}]},
        "code": {"text": "urn:a", "coding": [{"system": "urn:a", "code": "urn:a", "display": "urn:a"}]},
        "subject": {"reference": "urn:a", "display": "urn:a"},
        "note": [{"authorReference": {"reference": "urn:a"}, "text": "urn:a"}],
    }


def test_rewrites_every_link_and_nothing_that_only_looks_like_one() -> None:
    tree = observation()

    rewrite(tree, lambda text: "Patient/1" if text == "urn:a" else None)

    left = encode(tree).decode()
    assert tree["meta"]["profile"] == ["Patient/1"]
    assert tree["contained"][0]["managingOrganization"]["reference"] == "Patient/1"
    assert tree["extension"][0]["valueReference"]["reference"] == "Patient/1"
    assert tree["extension"][1]["extension"][0]["valueUri"] == "Patient/1"
    assert tree["extension"][2]["valueString"] == "urn:a"
    assert tree["identifier"] == [{"system": "Patient/1", "value": "urn:a"}]
    assert tree["_status"]["extension"][0]["valueUrl"] == "Patient/1"
    assert tree["code"]["coding"] == [{"system": "Patient/1", "code": "urn:a", "display": "urn:a"}]
    assert tree["subject"] == {"reference": "Patient/1", "display": "urn:a"}
    assert tree["note"] == [{"authorReference": {"reference": "Patient/1"}, "text": "urn:a"}]
    assert tree["text"]["div"] == (
        f'<div {XHTML}><a href="Patient/1">href="urn:a" x</a>'
        '<img alt="src" src="Patient/1"/><b title="urn:a"/></div>'
    )
    assert left.count("urn:a") == 9


def test_mapping_that_knows_nothing_changes_nothing() -> None:
    tree = observation()

    rewrite(tree, lambda _: None)

    assert tree == observation()


def test_second_rewrite_starts_from_what_the_resource_said_at_first() -> None:
    tree = observation()
    found = Links(tree)

    found.rewrite(lambda text: "Patient/1" if text == "urn:a" else None)
    found.rewrite(lambda text: "Patient/2" if text == "urn:a" else None)

    assert tree["subject"]["reference"] == "Patient/2"
    assert "Patient/1" not in encode(tree).decode()
    found.rewrite(lambda _: None)
    assert tree == observation()


def test_tells_references_from_other_links() -> None:
    tree = {
        "resourceType": "Basic",
        "meta": {"profile": ["http://profile"]},
        "text": {"div": f'<div {XHTML}><a href="Patient?a=1">x</a></div>'},
        "subject": {"reference": "Patient/1"},
        "extension": [{"url": "http://x", "valueUri": "http://y"}],
    }

    assert Links(tree).references == {"Patient/1", "Patient?a=1"}


def test_undoes_and_redoes_the_escapes_of_narrative() -> None:
    asked = []
    tree = {
        "resourceType": "Basic",
        "text": {"div": f'<div {XHTML}><a href="Patient?a=1&amp;b=2">x</a></div>'},
    }

    rewrite(tree, lambda text: asked.append(text) or "Patient/1?x=1&y=2")  # type: ignore[func-returns-value]

    assert asked == ["Patient?a=1&b=2"]
    assert '<a href="Patient/1?x=1&amp;y=2">' in tree["text"]["div"]  # type: ignore[index]


def test_walks_bundle_entries_by_their_own_types() -> None:
    bundle = {
        "resourceType": "Bundle",
        "entry": [
            {"fullUrl": "urn:a", "resource": {"resourceType": "Basic", "subject": {"reference": "urn:b"}}}
        ],
    }

    assert sorted(container[key] for container, key in links(bundle)) == ["urn:a", "urn:b"]  # type: ignore[index]


@pytest.mark.parametrize(
    "part", ["<a href='urn:a' " * 20_000, '<a "' * 50_000, "<a " * 50_000, "<img src=" * 30_000]
)
def test_broken_narrative_costs_linear_time(part: str) -> None:
    tree = {"resourceType": "Basic", "text": {"div": part}}

    rewrite(tree, lambda _: None)

    assert tree["text"] == {"div": part}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["resourceType", "subject", "reference", "extension", "text", "div", "contained", "url"]
            ),
            inner | st.just("Basic"),
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["subject", "text", "contained", "extension", "code"]), JSON))
def test_any_shape_is_walked_without_raising(tree: dict[str, Any]) -> None:
    tree["resourceType"] = "Basic"
    before = copy.deepcopy(tree)

    with suppress(StopIteration):
        next(links(tree))
    rewrite(tree, lambda _: None)

    assert tree == before
