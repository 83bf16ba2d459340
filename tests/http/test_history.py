"""History of an instance, a type and everything: order, pages, _since, _at, _count.

https://hl7.org/fhir/R4/http.html#history
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.http.samples import observation, patient, unique
from tests.http.server import BASE, Server, Tree, links, load, refused


def versions(bundle: Tree) -> list[str]:
    """Return the version of each entry, as its ETag says."""
    return [entry["response"]["etag"] for entry in bundle.get("entry", [])]


def changed(server: Server, id_: str, times: int) -> None:
    """Make further versions of a Patient."""
    for day in range(1, times + 1):
        answer = server.put(f"Patient/{id_}", {**patient(birthDate=f"1980-01-{day:02}"), "id": id_})
        assert answer.status_code == 200


def test_tells_every_version_newest_first_with_its_request_and_response(
    server: Server, patient_id: str
) -> None:
    changed(server, patient_id, 1)
    server.patch(f"Patient/{patient_id}", [{"op": "remove", "path": "/gender"}])
    server.delete(f"Patient/{patient_id}")

    bundle = load(server.get(f"Patient/{patient_id}/_history"))

    assert (bundle["type"], bundle["total"]) == ("history", 4)
    assert versions(bundle) == ['W/"4"', 'W/"3"', 'W/"2"', 'W/"1"']
    told = [
        (e["request"]["method"], e["request"]["url"], e["response"]["status"][:3]) for e in bundle["entry"]
    ]
    address = f"Patient/{patient_id}"
    assert told == [
        ("DELETE", address, "204"),
        ("PATCH", address, "200"),
        ("PUT", address, "200"),
        ("POST", "Patient", "201"),
    ]
    assert "resource" not in bundle["entry"][0]
    assert bundle["entry"][1]["resource"]["meta"]["versionId"] == "3"
    assert (
        bundle["entry"][1]["response"]["lastModified"]
        == bundle["entry"][1]["resource"]["meta"]["lastUpdated"]
    )
    assert {entry["fullUrl"] for entry in bundle["entry"]} == {f"{BASE}/{address}"}


def test_an_update_as_create_is_told_as_the_put_it_was(server: Server) -> None:
    id_ = unique()
    server.put(f"Patient/{id_}", {**patient(), "id": id_})

    (told,) = load(server.get(f"Patient/{id_}/_history"))["entry"]

    assert told["request"] == {"method": "PUT", "url": f"Patient/{id_}"}
    assert told["response"]["status"].startswith("201")


def test_history_of_what_never_was_is_404_and_of_a_type_without_resources_is_empty(server: Server) -> None:
    refused(server.get(f"Patient/{unique()}/_history"), 404, "not-found")

    empty = load(server.get("VisionPrescription/_history"))
    assert (empty["total"], empty.get("entry")) == (0, None)


@pytest.mark.parametrize("scope", ["Patient/{id}/_history", "Patient/_history", "_history"])
def test_pages_lead_to_the_end_and_hold_every_version_once(serve: Callable[..., Server], scope: str) -> None:
    server = serve()
    id_ = server.create(patient())["id"]
    changed(server, id_, 6)
    server.create(observation(f"Patient/{id_}"))

    pages = list(server.pages(scope.format(id=id_) + "?_count=3"))

    expected = 8 if scope == "_history" else 7
    told = [entry for page in pages for entry in page["entry"]]
    assert {page["total"] for page in pages} == {expected}
    assert len(pages) == 3
    assert len({(e["fullUrl"], e["response"]["etag"]) for e in told}) == len(told) == expected
    times = [entry["response"]["lastModified"] for entry in told]
    assert times == sorted(times, reverse=True)


def test_a_version_made_between_two_pages_neither_repeats_nor_hides_one(
    server: Server, patient_id: str
) -> None:
    changed(server, patient_id, 5)
    first = load(server.get(f"Patient/{patient_id}/_history?_count=3"))
    server.delete(f"Patient/{patient_id}")

    second = load(server.get(links(first)["next"]))

    assert versions(first) + versions(second) == [f'W/"{n}"' for n in range(6, 0, -1)]
    assert "next" not in links(second)


def test_count_zero_tells_the_total_alone(server: Server, patient_id: str) -> None:
    bundle = load(server.get(f"Patient/{patient_id}/_history?_count=0"))

    assert (bundle["total"], bundle.get("entry")) == (1, None)


def test_since_and_at_choose_versions_by_time(server: Server, patient_id: str) -> None:
    address = f"Patient/{patient_id}"
    time.sleep(0.01)
    changed(server, patient_id, 1)
    second = load(server.get(address))["meta"]["lastUpdated"]
    time.sleep(0.01)
    changed(server, patient_id, 2)

    since = load(server.get(f"{address}/_history?_since={second}"))
    at = load(server.get(f"{address}/_history?_at={second}"))
    this_year = load(server.get(f"{address}/_history?_at={second[:4]}"))

    assert versions(since)[-1] == 'W/"2"'
    assert 'W/"1"' not in versions(since)
    assert versions(at) == ['W/"2"']
    assert 'W/"1"' in versions(this_year)
    assert versions(load(server.get(f"{address}/_history?_since=2999-01-01"))) == []
    assert versions(load(server.get(f"{address}/_history?_at=2001"))) == []


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ("_since=soon", "value"),
        ("_at=2024-13", "value"),
        ("_count=-1", "value"),
        ("_count=many", "value"),
        ("_count=1&_count=2", "value"),
        ("gender=male", "not-supported"),
        ("_sort=_id", "not-supported"),
    ],
)
def test_parameters_that_history_cannot_honour_are_400(server: Server, parameters: str, code: str) -> None:
    refused(server.get(f"Patient/_history?{parameters}"), 400, code)


def test_a_page_link_of_one_history_is_404_for_another(server: Server, patient_id: str) -> None:
    changed(server, patient_id, 2)
    token = links(load(server.get(f"Patient/{patient_id}/_history?_count=1")))["next"].partition("?")[2]

    refused(server.get(f"Patient/_history?{token}"), 404, "not-found")
    refused(server.get(f"Patient/other/_history?{token}"), 404, "not-found")
    refused(server.get(f"Patient/{patient_id}/_history?{token[:-3]}"), 404, "not-found")
    assert server.get(f"Patient/{patient_id}/_history?{token}").status_code == 200
