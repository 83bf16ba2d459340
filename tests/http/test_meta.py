"""$meta, $meta-add and $meta-delete.

https://hl7.org/fhir/R4/resource-operation-meta.html
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.http.samples import observation, patient
from tests.http.server import Server, Tree, load, refused

RED = {"system": "http://x.example/tags", "code": "red"}
BLUE = {"system": "http://x.example/tags", "code": "blue"}
SECRET = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}


def labels(**meta: object) -> Tree:
    """Return the argument of $meta-add and $meta-delete."""
    return {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": meta}]}


def told(server: Server, address: str) -> Tree:
    """Return the Meta that $meta returns."""
    (parameter,) = load(server.get(f"{address}$meta"))["parameter"]
    assert parameter["name"] == "return"
    meta: Tree = parameter["valueMeta"]
    return meta


@pytest.fixture
def address(server: Server) -> str:
    """Create a Patient with one tag."""
    return f"Patient/{server.create(patient(meta={'tag': [RED]}))['id']}"


def test_add_then_delete_labels_and_each_makes_a_version(server: Server, address: str) -> None:
    added = server.post(f"{address}/$meta-add", labels(tag=[BLUE], security=[SECRET], profile=["http://p"]))
    after_add = told(server, f"{address}/")
    removed = server.post(f"{address}/$meta-delete", labels(tag=[RED]))
    after_delete = told(server, f"{address}/")

    assert (added.status_code, removed.status_code) == (200, 200)
    assert (after_add["tag"], after_add["security"], after_add["profile"]) == (
        [RED, BLUE],
        [SECRET],
        ["http://p"],
    )
    assert after_add["versionId"] == "2"
    assert (after_delete["tag"], after_delete["versionId"]) == ([BLUE], "3")
    assert load(server.get(address))["meta"]["tag"] == [BLUE]
    assert server.find(f"Patient?_tag=blue&_id={address[8:]}") == [address[8:]]


def test_adding_what_is_there_and_deleting_what_is_not_makes_no_version(server: Server, address: str) -> None:
    server.post(f"{address}/$meta-add", labels(tag=[{**RED, "display": "Red"}]))
    answer = server.post(f"{address}/$meta-delete", labels(tag=[BLUE]))

    (parameter,) = load(answer)["parameter"]
    assert parameter["valueMeta"]["versionId"] == "1"
    assert parameter["valueMeta"]["tag"] == [RED]


def test_the_content_of_the_resource_is_left_alone(server: Server, address: str) -> None:
    before = load(server.get(address))
    server.post(f"{address}/$meta-add", labels(tag=[BLUE]))
    after = load(server.get(address))

    before.pop("meta")
    after.pop("meta")
    assert after == before


def test_a_version_has_its_own_meta_which_does_not_change(server: Server, address: str) -> None:
    server.post(f"{address}/$meta-add", labels(tag=[BLUE]))

    assert told(server, f"{address}/_history/1/")["tag"] == [RED]
    refused(server.post(f"{address}/_history/1/$meta-add", labels(tag=[BLUE])), 501, "not-supported")


def test_a_type_and_the_server_tell_all_labels_in_use(serve: Callable[..., Server]) -> None:
    server = serve()
    assert load(server.get("$meta")) == {"resourceType": "Parameters"}
    id_ = server.create(patient(meta={"tag": [RED]}))["id"]
    server.create(patient(meta={"tag": [RED, BLUE]}))
    server.create(observation(f"Patient/{id_}", meta={"security": [SECRET]}))

    assert told(server, "Patient/") == {"tag": [RED, BLUE]}
    assert told(server, "Observation/") == {"security": [SECRET]}
    assert told(server, "") == {"tag": [RED, BLUE], "security": [SECRET]}


@pytest.mark.parametrize("name", ["$meta", "$meta-add", "$meta-delete"])
def test_of_the_unknown_is_404_and_of_the_deleted_410(server: Server, address: str, name: str) -> None:
    server.delete(address)

    assert server.post(f"Patient/nobody/{name}", labels(tag=[RED])).status_code == 404
    assert server.post(f"{address}/{name}", labels(tag=[RED])).status_code == 410


@pytest.mark.parametrize("name", ["$meta-add", "$meta-delete"])
def test_what_changes_data_is_not_done_by_get(server: Server, address: str, name: str) -> None:
    answer = server.get(f"{address}/{name}")

    refused(answer, 405, "not-supported")
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize(
    "body",
    [
        {"resourceType": "Parameters"},
        labels(tag={"code": "x"}),
        {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueString": "x"}]},
        {"resourceType": "Parameters", "parameter": {"name": "meta"}},
        {"resourceType": "Parameters", "parameter": ["meta"]},
        patient(),
    ],
)
def test_an_argument_that_is_no_meta_is_400_and_changes_nothing(
    server: Server, address: str, body: Tree
) -> None:
    assert server.post(f"{address}/$meta-add", body).status_code == 400
    assert server.get(address).headers["etag"] == 'W/"1"'


def test_an_invalid_label_is_422_and_changes_nothing(server: Server, address: str) -> None:
    answer = server.post(f"{address}/$meta-add", labels(tag=[{"code": 7, "colour": "x"}]))

    assert answer.status_code == 422
    assert server.get(address).headers["etag"] == 'W/"1"'


def test_identity_cannot_be_changed_through_labels(server: Server, address: str) -> None:
    server.post(
        f"{address}/$meta-add", labels(tag=[BLUE], versionId="77", lastUpdated="2001-01-01T00:00:00Z")
    )

    meta = told(server, f"{address}/")
    assert meta["versionId"] == "2"
    assert not meta["lastUpdated"].startswith("2001")
