"""Links of a searchset, how a search was carried out, and what of it was ignored.

https://hl7.org/fhir/R4/http.html#paging and https://hl7.org/fhir/R4/search.html#errors
"""

from __future__ import annotations

import json

import pytest

from tests.http.samples import observation, patient, tagged, unique
from tests.http.server import Server, Tree, links, load, matches


def outcomes(bundle: Tree) -> list[Tree]:
    """Return the issues of a searchset's outcome entries."""
    told = [e["resource"] for e in bundle.get("entry", []) if e["search"]["mode"] == "outcome"]
    return [issue for each in told for issue in each["issue"]]


def many(server: Server, tag: str, number: int) -> list[str]:
    return [
        server.create(patient(tag, birthDate=f"{1950 + place % 3}-01-01"))["id"] for place in range(number)
    ]


@pytest.mark.parametrize(
    "sort", ["", "&_sort=birthdate", "&_sort=-birthdate", "&_sort=family,-birthdate", "&_sort=-_lastUpdated"]
)
@pytest.mark.parametrize("scope", ["Patient?", "?_type=Patient,Observation&"])
def test_previous_leads_back_over_the_same_pages(server: Server, scope: str, sort: str) -> None:
    many(server, tag := unique(), 7)
    first = f"{scope}{tagged(tag)}&_count=3{sort}" if scope == "Patient?" else ""
    if not first:
        first = f"?_type=Patient&{tagged(tag)}&_count=3{sort}"
    pages = list(server.pages(first))

    back = [matches(pages[-1])]
    here = pages[-1]
    while "previous" in links(here):
        here = load(server.get(links(here)["previous"]))
        back.append(matches(here))

    assert [len(each) for each in back] == [1, 3, 3]
    assert back[::-1] == [matches(page) for page in pages]


def test_the_first_page_has_no_previous_and_the_last_no_next(server: Server) -> None:
    many(server, tag := unique(), 2)
    one, two = server.pages(f"Patient?{tagged(tag)}&_count=1")

    assert links(one).keys() == {"self", "first", "next"}
    assert links(two).keys() == {"self", "first", "previous"}
    assert links(one)["first"] == links(two)["first"] == links(one)["self"]
    assert links(load(server.get(f"Patient?{tagged(tag)}"))).keys() == {"self"}


def test_a_back_link_is_sealed_like_any_other(server: Server) -> None:
    many(server, tag := unique(), 2)
    _, two = server.pages(f"Patient?{tagged(tag)}&_count=1")

    token = links(two)["previous"].partition("?")[2]

    assert token.startswith("_page=")
    assert server.get(f"Observation?{token}").status_code == 404
    assert server.get(f"Patient?{token[:-3]}").status_code == 404


def test_going_back_skips_nothing_that_is_still_there(server: Server) -> None:
    ids = many(server, tag := unique(), 5)
    pages = list(server.pages(f"Patient?{tagged(tag)}&_count=2"))

    server.delete(f"Patient/{ids[3]}")
    back = load(server.get(links(pages[-1])["previous"]))

    assert matches(back) == [ids[1], ids[2]]


def test_who_prefers_it_is_told_the_plan(server: Server) -> None:
    server.create(patient(tag := unique()))

    told = load(server.get(f"Patient?{tagged(tag)}", prefer="explain"))

    [issue] = outcomes(told)
    assert (issue["severity"], issue["code"]) == ("information", "informational")
    plan = json.loads(issue["diagnostics"])
    assert plan["microseconds"] > 0
    assert tag not in issue["diagnostics"]
    assert len(matches(told)) == 1
    assert outcomes(load(server.get(f"Patient?{tagged(tag)}"))) == []


def test_a_search_of_all_types_tells_the_plan_of_each(server: Server) -> None:
    server.create(patient(tag := unique()))

    told = load(server.get(f"?_type=Patient,Person&{tagged(tag)}", prefer="explain"))

    assert json.loads(outcomes(told)[0]["diagnostics"]).keys() == {"Patient", "Person"}


def test_lenient_says_what_was_ignored_in_a_search_of_any_scope(server: Server) -> None:
    one = server.create(patient(tag := unique()))["id"]

    for path in (f"Patient?{tagged(tag)}&nickname=x", f"?_type=Patient&{tagged(tag)}&nickname=x"):
        found = load(server.get(path, prefer="handling=lenient"))
        assert matches(found) == [one]
        assert "nickname" in outcomes(found)[0]["diagnostics"]
        assert "nickname" not in links(found)["self"]
        assert server.get(path).status_code == 400


def test_an_include_that_goes_in_a_circle_ends_and_repeats_no_match(server: Server) -> None:
    one = server.create(patient())["id"]
    other = server.create(patient(link=[{"other": {"reference": f"Patient/{one}"}, "type": "seealso"}]))["id"]
    server.put(
        f"Patient/{one}",
        patient(id=one, link=[{"other": {"reference": f"Patient/{other}"}, "type": "seealso"}]),
    )

    found = load(server.get(f"Patient?_id={one}&_include=Patient:link&_include:iterate=Patient:link"))
    back = load(server.get(f"Patient?_id={one}&_revinclude=Patient:link&_revinclude:iterate=Patient:link"))

    assert (matches(found), matches(found, "include")) == ([one], [other])
    assert (matches(back), matches(back, "include")) == ([one], [other])


def test_a_typed_target_leaves_other_types_out(server: Server, patient_id: str) -> None:
    made = server.create(observation(f"Patient/{patient_id}"))["id"]

    with_patient = load(server.get(f"Observation?_id={made}&_include=Observation:subject:Patient"))
    without = load(server.get(f"Observation?_id={made}&_include=Observation:subject:Group"))

    assert matches(with_patient, "include") == [patient_id]
    assert matches(without, "include") == []
