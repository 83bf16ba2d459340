"""Search over several types at once: all of them, those of a compartment, those that a List names.

https://hl7.org/fhir/R4/http.html#search, https://hl7.org/fhir/R4/search.html#all and #list
"""

from __future__ import annotations

import pytest

from tests.http.samples import observation, patient, unique
from tests.http.server import Server, Tree, links, load, matches, refused


def label(tag: str) -> Tree:
    return {"tag": [{"system": "urn:label", "code": tag}]}


def mixed(server: Server, tag: str) -> dict[str, list[str]]:
    """Create three Patients, five Observations and two Conditions with one label; return ids by type."""
    people = [server.create(patient(meta=label(tag)))["id"] for _ in range(3)]
    subject = f"Patient/{people[0]}"
    measured = [
        server.create(observation(subject, when=f"2026-03-0{day}", meta=label(tag)))["id"]
        for day in range(1, 6)
    ]
    condition = {"resourceType": "Condition", "subject": {"reference": subject}, "meta": label(tag)}
    found = [server.create(condition)["id"] for _ in range(2)]
    return {"Patient": people, "Observation": measured, "Condition": found}


def types(bundle: Tree) -> list[str]:
    return [entry["resource"]["resourceType"] for entry in bundle.get("entry", [])]


def walked(server: Server, path: str) -> list[str]:
    return [id_ for page in server.pages(path) for id_ in matches(page)]


def test_all_types_are_found_in_one_result_with_one_total(server: Server) -> None:
    made = mixed(server, tag := unique())

    found = load(server.get(f"?_tag=urn:label|{tag}&_total=accurate"))

    assert found["total"] == 10
    assert sorted(matches(found)) == sorted(id_ for ids in made.values() for id_ in ids)
    assert set(types(found)) == made.keys()


def test_type_narrows_to_the_types_that_it_names(server: Server) -> None:
    made = mixed(server, tag := unique())

    found = load(server.get(f"?_type=Patient,Condition&_tag=urn:label|{tag}&_total=accurate"))

    assert found["total"] == 5
    assert sorted(matches(found)) == sorted(made["Patient"] + made["Condition"])


def test_a_form_searches_all_types_too(server: Server) -> None:
    mixed(server, tag := unique())

    answer = server.post(
        "_search",
        f"_type=Patient&_tag=urn%3Alabel%7C{tag}".encode(),
        content_type="application/x-www-form-urlencoded",
    )

    assert len(matches(load(answer))) == 3


@pytest.mark.parametrize("sort", ["", "&_sort=_lastUpdated", "&_sort=-_lastUpdated", "&_sort=-_id"])
@pytest.mark.parametrize("count", [1, 2, 3, 9, 10, 11])
def test_pages_over_all_types_hold_every_match_once_and_in_order(
    server: Server, sort: str, count: int
) -> None:
    made = mixed(server, tag := unique())
    whole = matches(load(server.get(f"?_tag=urn:label|{tag}{sort}&_count=100")))

    assert walked(server, f"?_tag=urn:label|{tag}{sort}&_count={count}") == whole
    assert sorted(whole) == sorted(id_ for ids in made.values() for id_ in ids)


def test_sorting_by_id_orders_across_types(server: Server) -> None:
    made = mixed(server, tag := unique())
    ids = sorted(id_ for each in made.values() for id_ in each)

    assert server.find(f"?_tag=urn:label|{tag}&_sort=_id") == ids
    assert server.find(f"?_tag=urn:label|{tag}&_sort=-_id") == ids[::-1]


def test_count_zero_tells_the_total_alone(server: Server) -> None:
    mixed(server, tag := unique())

    found = load(server.get(f"?_tag=urn:label|{tag}&_count=0"))

    assert found["total"] == 10
    assert "entry" not in found
    assert links(found).keys() == {"self"}


def test_a_parameter_that_one_of_the_types_lacks_is_refused(server: Server) -> None:
    refused(server.get("?_type=Patient,Observation&birthdate=1970-01-01"), 400, "not-supported")
    refused(server.get("?birthdate=1970-01-01"), 400, "not-supported")
    assert server.get("?_type=Patient&birthdate=1970-01-01").status_code == 200


@pytest.mark.parametrize("query", ["_type=Nothing", "_type=Patient&_type=Observation", "_type=patient"])
def test_types_that_cannot_be_read_are_refused(server: Server, query: str) -> None:
    refused(server.get(f"?{query}"), 400, "value")


def test_a_page_link_of_one_scope_is_no_link_of_another(server: Server) -> None:
    mixed(server, tag := unique())
    token = links(load(server.get(f"?_tag=urn:label|{tag}&_count=1")))["next"].partition("?")[2]

    assert server.get(f"?{token}").status_code == 200
    refused(server.get(f"Patient?{token}"), 404, "not-found")


def test_a_whole_compartment_is_found(server: Server) -> None:
    made = mixed(server, unique())
    one, other, _ = made["Patient"]

    found = walked(server, f"Patient/{one}/*?_count=3")

    assert sorted(found) == sorted([one, *made["Observation"], *made["Condition"]])
    assert walked(server, f"Patient/{other}/*") == [other]


def test_a_compartment_may_be_narrowed_by_type_and_label(server: Server) -> None:
    made = mixed(server, unique())
    subject = made["Patient"][0]

    assert sorted(server.find(f"Patient/{subject}/*?_type=Condition")) == sorted(made["Condition"])
    assert server.find(f"Patient/{subject}/*?_tag=urn:label|other") == []
    refused(server.get(f"Patient/{subject}/*?_type=Organization"), 400, "value")


def collection(server: Server, *members: str, **more: str) -> str:
    entries = [{"item": {"reference": each}} for each in members]
    tree = {"resourceType": "List", "status": "current", "mode": "working", "entry": entries, **more}
    return str(server.create(tree)["id"])


def test_list_finds_what_the_list_names_and_nothing_else(server: Server) -> None:
    made = mixed(server, tag := unique())
    one, other, third = made["Patient"]
    listed = collection(server, f"Patient/{one}", f"Patient/{third}", f"Observation/{made['Observation'][0]}")

    assert sorted(server.find(f"Patient?_list={listed}")) == sorted([one, third])
    assert server.find(f"Observation?_list={listed}") == made["Observation"][:1]
    assert server.find(f"Condition?_list={listed}") == []
    assert len(server.find(f"?_list={listed}&_tag=urn:label|{tag}")) == 3
    assert other not in walked(server, f"Patient?_list={listed}&_count=1")


def test_two_lists_are_joined_by_and(server: Server) -> None:
    one, other, third = mixed(server, unique())["Patient"]
    first = collection(server, f"Patient/{one}", f"Patient/{other}")
    second = collection(server, f"Patient/{other}", f"Patient/{third}")

    assert server.find(f"Patient?_list={first}&_list={second}") == [other]


def test_lists_that_are_unknown_or_functional_are_refused(server: Server) -> None:
    refused(server.get("Patient?_list=no-such-list"), 400, "value")
    refused(server.get("Patient?_list=$current-problems"), 400, "not-supported")


def test_an_include_follows_from_matches_of_any_type(server: Server) -> None:
    made = mixed(server, tag := unique())

    found = load(server.get(f"?_type=Condition&_tag=urn:label|{tag}&_include=Condition:patient"))

    assert sorted(matches(found)) == sorted(made["Condition"])
    assert matches(found, "include") == made["Patient"][:1]
