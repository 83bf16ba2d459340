"""Patient/$everything: the patient's compartment and what it refers to.

https://hl7.org/fhir/R4/patient-operation-everything.html
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.http.samples import observation, patient, unique
from tests.http.server import Server, Tree, links, load, matches, refused, served


class Ward:
    """Two patients with records, one practitioner and one organization."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.doctor = server.create({"resourceType": "Practitioner", "name": [{"family": "Doc"}]})["id"]
        self.house = server.create({"resourceType": "Organization", "name": "House"})["id"]
        manager = {"reference": f"Organization/{self.house}"}
        self.one = server.create(patient(managingOrganization=manager))["id"]
        self.other = server.create(patient())["id"]
        by = [{"reference": f"Practitioner/{self.doctor}"}]
        self.seen = [
            server.create(observation(f"Patient/{self.one}", when=f"2026-0{month}-15", performer=by))["id"]
            for month in range(1, 7)
        ]
        self.condition = server.create(
            {
                "resourceType": "Condition",
                "subject": {"reference": f"Patient/{self.one}"},
                "recordedDate": "2025-05-05",
            }
        )["id"]
        self.foreign = server.create(observation(f"Patient/{self.other}"))["id"]

    def all(self, path: str) -> list[str]:
        """Return every id, of matches and of what they refer to, over all pages."""
        return [e["resource"]["id"] for page in self.server.pages(path) for e in page.get("entry", [])]


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    """Fill a server."""
    with served(tmp_path_factory.mktemp("ward")) as server:
        yield Ward(server)


def test_returns_the_compartment_and_what_it_refers_to_and_nothing_of_others(ward: Ward) -> None:
    found = ward.all(f"Patient/{ward.one}/$everything")

    assert set(found) == {ward.one, *ward.seen, ward.condition, ward.doctor, ward.house}
    assert len(found) == len(set(found))


def test_matches_are_told_from_what_is_added(ward: Ward) -> None:
    bundle = load(ward.server.get(f"Patient/{ward.one}/$everything"))

    assert bundle["type"] == "searchset"
    assert set(matches(bundle)) >= {ward.one, *ward.seen, ward.condition}
    assert ward.foreign not in str(bundle)


def test_the_type_level_returns_every_patient(ward: Ward) -> None:
    found = ward.all("Patient/$everything")

    assert set(found) >= {ward.one, ward.other, *ward.seen, ward.foreign, ward.condition}


@pytest.mark.parametrize("path", ["Patient/{one}/$everything", "Patient/$everything"])
def test_pages_lead_to_the_end_and_hold_each_match_once(ward: Ward, path: str) -> None:
    address = path.format(one=ward.one)
    pages = list(ward.server.pages(f"{address}?_count=3"))
    found = [id_ for page in pages for id_ in matches(page)]

    assert len(pages) >= 3
    assert max(len(matches(page)) for page in pages) <= 3
    assert len(found) == len(set(found))
    assert set(found) == {id_ for page in ward.server.pages(address) for id_ in matches(page)}


def test_start_and_end_bound_the_dates_of_care(ward: Ward) -> None:
    path = f"Patient/{ward.one}/$everything?_type=Observation,Condition"

    assert set(ward.all(f"{path}&start=2026-03-01")) == set(ward.seen[2:])
    assert set(ward.all(f"{path}&end=2026-02")) == {*ward.seen[:2], ward.condition}
    assert set(ward.all(f"{path}&start=2026-02-01&end=2026-03-31")) == set(ward.seen[1:3])
    assert ward.all(f"{path}&start=2030") == []


def test_type_chooses_the_types(ward: Ward) -> None:
    path = f"Patient/{ward.one}/$everything"

    assert ward.all(f"{path}?_type=Condition") == [ward.condition]
    assert set(ward.all(f"{path}?_type=Patient,Condition")) == {ward.one, ward.condition}
    assert set(ward.all(f"{path}?_type=Observation,Practitioner")) == {*ward.seen, ward.doctor}
    assert ward.all(f"{path}?_type=Claim") == []


def test_since_chooses_what_changed(ward: Ward) -> None:
    time.sleep(0.01)
    changed = load(ward.server.get(f"Observation/{ward.seen[0]}"))
    answer = ward.server.put(f"Observation/{ward.seen[0]}", {**changed, "status": "amended"})
    since = load(answer)["meta"]["lastUpdated"]

    assert ward.all(f"Patient/{ward.one}/$everything?_since={since}&_type=Observation") == [ward.seen[0]]
    assert ward.all(f"Patient/{ward.one}/$everything?_since=2999-01-01") == []


def test_arguments_may_come_in_parameters(ward: Ward) -> None:
    body = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "_type", "valueCode": "Observation"},
            {"name": "start", "valueDate": "2026-03-01"},
            {"name": "_count", "valueInteger": 2},
        ],
    }

    first = load(ward.server.post(f"Patient/{ward.one}/$everything", body))
    rest = [id_ for page in ward.server.pages(links(first)["next"]) for id_ in matches(page)]

    assert len(matches(first)) == 2
    assert {*matches(first), *rest} == set(ward.seen[2:])


def test_of_the_unknown_is_404_and_of_the_deleted_410(ward: Ward) -> None:
    gone = ward.server.create(patient())["id"]
    ward.server.delete(f"Patient/{gone}")

    refused(ward.server.get(f"Patient/{unique()}/$everything"), 404, "not-found")
    refused(ward.server.get(f"Patient/{gone}/$everything"), 410, "deleted")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("start=soon", "value"),
        ("_since=2024-13", "value"),
        ("_type=Patiant", "value"),
        ("_count=0", "value"),
        ("_count=x", "value"),
        ("_count=1&_count=2", "value"),
        ("gender=male", "not-supported"),
    ],
)
def test_arguments_that_cannot_be_honoured_are_400(ward: Ward, arguments: str, code: str) -> None:
    refused(ward.server.get(f"Patient/{ward.one}/$everything?{arguments}"), 400, code)


def test_a_page_link_of_one_patient_is_404_for_another(ward: Ward) -> None:
    bundle: Tree = load(ward.server.get(f"Patient/{ward.one}/$everything?_count=2"))
    token = links(bundle)["next"].partition("?")[2]

    refused(ward.server.get(f"Patient/{ward.other}/$everything?{token}"), 404, "not-found")
    refused(ward.server.get(f"Patient/$everything?{token}"), 404, "not-found")
    assert ward.server.get(f"Patient/{ward.one}/$everything?{token}").status_code == 200
