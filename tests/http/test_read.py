"""Read, vread and conditional read; HEAD and OPTIONS.

https://hl7.org/fhir/R4/http.html#read, #vread and #cread
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime

import pytest

from tests.http.samples import patient
from tests.http.server import BASE, Server, load, refused


def test_reads_what_was_created_with_version_and_time(server: Server) -> None:
    created = server.post("Patient", patient())
    id_ = load(created)["id"]

    read = server.get(f"Patient/{id_}")

    assert read.status_code == 200
    assert read.content == created.content
    assert read.headers["etag"] == 'W/"1"'
    assert read.headers["last-modified"] == created.headers["last-modified"]
    assert read.headers["content-type"] == "application/fhir+json; charset=utf-8"
    assert load(read)["meta"]["versionId"] == "1"


def test_last_modified_is_the_second_of_meta_last_updated(server: Server, patient_id: str) -> None:
    read = server.get(f"Patient/{patient_id}")

    moment = parsedate_to_datetime(read.headers["last-modified"])
    assert load(read)["meta"]["lastUpdated"].startswith(f"{moment:%Y-%m-%dT%H:%M:%S}.")
    assert load(read)["meta"]["lastUpdated"].endswith("Z")


def test_an_unknown_id_is_404_and_an_unknown_type_is_404_of_another_code(server: Server) -> None:
    refused(server.get("Patient/nobody"), 404, "not-found")
    refused(server.get("Patiant/nobody"), 404, "not-supported")
    refused(server.get("patient/nobody"), 404, "not-supported")


def test_returns_410_with_the_version_of_the_deletion(server: Server, patient_id: str) -> None:
    server.delete(f"Patient/{patient_id}")

    gone = server.get(f"Patient/{patient_id}")

    refused(gone, 410, "deleted")
    assert gone.headers["etag"] == 'W/"2"'


@pytest.mark.parametrize("id_", ["a_b", "a%20b", "a" * 65, "%2e%2e", "é"])
def test_an_impossible_id_is_400(server: Server, id_: str) -> None:
    refused(server.get(f"Patient/{id_}"), 400, "invalid")


def test_the_longest_id_is_possible(server: Server) -> None:
    refused(server.get("Patient/" + "a" * 64), 404, "not-found")


def test_vread_returns_each_version_as_it_was(server: Server, patient_id: str) -> None:
    first = server.get(f"Patient/{patient_id}")
    second = server.put(f"Patient/{patient_id}", {**load(first), "gender": "male"})

    assert server.get(f"Patient/{patient_id}/_history/1").content == first.content
    now = server.get(f"Patient/{patient_id}/_history/2")
    assert now.content == second.content
    assert now.headers["etag"] == 'W/"2"'


@pytest.mark.parametrize("version", ["3", "0", "x", "1.0", "99999999999999999999999"])
def test_vread_of_no_version_is_404(server: Server, patient_id: str, version: str) -> None:
    refused(server.get(f"Patient/{patient_id}/_history/{version}"), 404, "not-found")


def test_vread_of_the_deletion_is_410_and_of_the_versions_before_it_is_not(
    server: Server, patient_id: str
) -> None:
    server.delete(f"Patient/{patient_id}")

    refused(server.get(f"Patient/{patient_id}/_history/2"), 410, "deleted")
    assert server.get(f"Patient/{patient_id}/_history/1").status_code == 200


@pytest.mark.parametrize("tags", ['W/"1"', '"1"', 'W/"7", W/"1"', "*"])
def test_if_none_match_of_the_current_version_is_304_without_a_body(
    server: Server, patient_id: str, tags: str
) -> None:
    answer = server.get(f"Patient/{patient_id}", if_none_match=tags)

    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == 'W/"1"'


def test_if_none_match_of_another_version_is_200(server: Server, patient_id: str) -> None:
    assert server.get(f"Patient/{patient_id}", if_none_match='W/"7"').status_code == 200


def test_if_none_match_that_is_no_etag_is_400(server: Server, patient_id: str) -> None:
    refused(server.get(f"Patient/{patient_id}", if_none_match="one"), 400, "invalid")


def test_if_modified_since_now_is_304_and_since_long_ago_is_200(server: Server, patient_id: str) -> None:
    now = server.get(f"Patient/{patient_id}").headers["last-modified"]

    assert server.get(f"Patient/{patient_id}", if_modified_since=now).status_code == 304
    old = "Sat, 01 Jan 2000 00:00:00 GMT"
    assert server.get(f"Patient/{patient_id}", if_modified_since=old).status_code == 200
    assert server.get(f"Patient/{patient_id}", if_modified_since="yesterday").status_code == 200


def test_if_none_match_outranks_if_modified_since(server: Server, patient_id: str) -> None:
    now = server.get(f"Patient/{patient_id}").headers["last-modified"]

    answer = server.get(f"Patient/{patient_id}", if_none_match='W/"7"', if_modified_since=now)

    assert answer.status_code == 200


def test_a_deleted_resource_is_410_also_to_a_conditional_read(server: Server, patient_id: str) -> None:
    server.delete(f"Patient/{patient_id}")

    refused(server.get(f"Patient/{patient_id}", if_none_match='W/"2"'), 410, "deleted")


@pytest.mark.parametrize("path", ["Patient/{id}", "Patient/{id}/_history", "Patient?_id={id}", "metadata"])
def test_head_says_what_get_says_without_the_body(server: Server, patient_id: str, path: str) -> None:
    address = path.format(id=patient_id)
    get = server.get(address, accept_encoding="identity")
    head = server("HEAD", address, accept_encoding="identity")

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(get.content))
    assert head.headers.get("etag") == get.headers.get("etag")
    assert head.headers["content-type"] == get.headers["content-type"]


def test_head_of_what_is_not_there_is_404_without_a_body(server: Server) -> None:
    head = server("HEAD", "Patient/nobody")

    assert (head.status_code, head.content) == (404, b"")


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("Patient", {"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"}),
        ("Patient/1", {"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"}),
        ("Patient/1/_history", {"GET", "HEAD", "OPTIONS"}),
        ("", {"GET", "HEAD", "OPTIONS", "POST"}),
    ],
)
def test_options_lists_the_methods_and_any_other_is_405(server: Server, path: str, methods: set[str]) -> None:
    options = server("OPTIONS", path)
    other = server("PUT" if "PUT" not in methods else "POST", path, patient())

    assert options.status_code == 204
    assert set(options.headers["allow"].split(", ")) == methods
    if "POST" not in methods or "PUT" not in methods:
        refused(other, 405, "not-supported")
        assert set(other.headers["allow"].split(", ")) == methods


def test_elements_and_summary_of_a_read_return_that_part_marked_as_such(
    server: Server, patient_id: str
) -> None:
    part = load(server.get(f"Patient/{patient_id}?_elements=gender"))
    summary = load(server.get(f"Patient/{patient_id}?_summary=true"))

    assert part["gender"] == "female"
    assert "name" not in part
    assert [tag["code"] for tag in part["meta"]["tag"]] == ["SUBSETTED"]
    assert summary["name"]
    assert "SUBSETTED" in str(summary["meta"]["tag"])
    assert "meta" in load(server.get(f"Patient/{patient_id}"))
    assert "tag" not in load(server.get(f"Patient/{patient_id}"))["meta"]


def test_a_read_refuses_parameters_that_would_have_no_effect(server: Server, patient_id: str) -> None:
    refused(server.get(f"Patient/{patient_id}?gender=male"), 400, "not-supported")
    refused(server.get(f"Patient/{patient_id}?_summary=most"), 400, "value")


def test_the_address_of_a_created_resource_is_where_it_is_read(server: Server) -> None:
    created = server.post("Patient", patient())

    location = created.headers["location"]
    assert location == f"{BASE}/Patient/{load(created)['id']}/_history/1"
    assert server.get(location).content == created.content


def test_outside_the_service_nothing_is_served(server: Server) -> None:
    refused(server.get("http://localhost:8080/Patient/1"), 404, "not-found")
    refused(server.get("http://localhost:8080/fhirish/Patient/1"), 404, "not-found")
