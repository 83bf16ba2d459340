"""_include and _revinclude: what the matches refer to, and what refers to them.

https://hl7.org/fhir/R4/search.html#include
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.http.samples import observation, patient
from tests.http.server import Server, load, matches, served

DEEP = "Observation?_id=two&_include=Observation:subject&_include:iterate=Patient:organization"


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two patients of one house, with an observation each, one with a performer."""
    # Without audit: its events refer to who and what is asked for, and are included once they are indexed.
    with served(tmp_path_factory.mktemp("clinic"), audit=False) as server:
        fill(server)
        yield server


def fill(server: Server) -> None:
    """Store the resources under telling ids."""
    house = {"resourceType": "Organization", "name": "House", "partOf": {"reference": "Organization/group"}}
    by = [{"reference": "Practitioner/doc"}, {"reference": "Organization/house"}]
    manager = {"reference": "Organization/house"}
    for id_, tree in {
        "group": {"resourceType": "Organization", "name": "Group"},
        "house": house,
        "doc": {"resourceType": "Practitioner", "name": [{"family": "Doc"}]},
        "ada": patient(managingOrganization=manager),
        "eve": patient(managingOrganization=manager),
        "one": observation("Patient/ada", performer=by),
        "two": observation("Patient/eve", performer=[{"reference": "Practitioner/missing"}]),
    }.items():
        assert server.put(f"{tree['resourceType']}/{id_}", {**tree, "id": id_}).status_code == 201


@pytest.mark.parametrize(
    ("query", "found", "added"),
    [
        ("Observation?_include=Observation:subject", ["one", "two"], {"ada", "eve"}),
        ("Observation?_id=one&_include=Observation:performer", ["one"], {"doc", "house"}),
        ("Observation?_id=one&_include=Observation:performer:Practitioner", ["one"], {"doc"}),
        ("Observation?_id=two&_include=Observation:performer", ["two"], set()),
        ("Observation?_id=one&_include=Observation:*", ["one"], {"ada", "doc", "house"}),
        ("Observation?_id=one&_include=*", ["one"], {"ada", "doc", "house"}),
        (
            DEEP,
            ["two"],
            {"eve", "house"},
        ),
        (
            f"{DEEP}&_include:iterate=Organization:partof",
            ["two"],
            {"eve", "house", "group"},
        ),
        ("Observation?_id=two&_include=Observation:subject&_include=Observation:performer", ["two"], {"eve"}),
        ("Patient?_id=ada&_revinclude=Observation:subject", ["ada"], {"one"}),
        ("Patient?_revinclude=Observation:subject", ["ada", "eve"], {"one", "two"}),
        ("Organization?_id=house&_revinclude=Patient:organization", ["house"], {"ada", "eve"}),
        ("Organization?_id=house&_revinclude=*", ["house"], {"ada", "eve", "one"}),
        (
            "Organization?_id=house&_revinclude=Patient:organization&_revinclude:iterate=Observation:subject",
            ["house"],
            {"ada", "eve", "one", "two"},
        ),
        ("Practitioner?_revinclude=Observation:subject", ["doc"], set()),
        ("Patient?_id=unknown&_revinclude=Observation:subject", [], set()),
    ],
)
def test_adds_exactly_what_is_linked(clinic: Server, query: str, found: list[str], added: set[str]) -> None:
    bundle = load(clinic.get(query))

    assert sorted(matches(bundle)) == found
    extra = matches(bundle, "include")
    assert set(extra) == added
    assert len(extra) == len(set(extra))


def test_what_is_included_is_told_from_what_matched_and_is_not_counted(clinic: Server) -> None:
    bundle = load(clinic.get("Observation?_include=Observation:subject&_total=accurate"))

    assert bundle["total"] == 2


def test_a_page_includes_for_its_own_matches_only(clinic: Server) -> None:
    pages = list(clinic.pages("Observation?_sort=_id&_count=1&_include=Observation:subject"))

    assert [(matches(page), matches(page, "include")) for page in pages] == [
        (["one"], ["ada"]),
        (["two"], ["eve"]),
    ]


def test_a_deleted_target_is_not_included(serve: Callable[..., Server]) -> None:
    server = serve()
    fill(server)
    server.delete("Patient/ada")

    assert matches(load(server.get("Observation?_id=one&_include=Observation:subject")), "include") == []


def test_more_includes_than_allowed_are_cut_and_told(serve: Callable[..., Server]) -> None:
    server = serve(max_includes=2)
    fill(server)

    bundle = load(server.get("Observation?_include=*"))
    few = load(server.get("Observation?_id=two&_include=*"))

    assert len(matches(bundle, "include")) == 2
    assert [e["search"]["mode"] for e in bundle["entry"]].count("outcome") == 1
    assert "outcome" not in [e["search"]["mode"] for e in few["entry"]]
