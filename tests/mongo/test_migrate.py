"""`fhir-server migrate`: a served SQLite store, taken over by the command, answers the same from MongoDB."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fhir_server.cli import app
from fhir_server.faults import Fault, Kind
from fhir_server.store.mongo.transfer import MongoDestination
from fhir_server.store.transfer import Kept, Reached
from tests import engines
from tests.http.samples import patient
from tests.http.server import Server, load, served
from tests.http.test_custom_parameters import reindexed
from tests.mongo import engine

ASKED = (
    "Patient?_total=accurate",
    "Patient?name=李&_sort=-birthdate",
    "Patient?favourite=green",
    "Observation?patient.name=李",
    "Patient/first/_history",
    "_history?_count=50",
    "Observation/gone/_history/1",
)
PARAMETER = {
    "resourceType": "SearchParameter",
    "id": "favourite",
    "url": "http://example.org/favourite",
    "name": "Favourite",
    "status": "active",
    "description": "A favourite colour",
    "code": "favourite",
    "base": ["Patient"],
    "type": "string",
    "expression": "Patient.extension('http://example.org/colour').value.ofType(string)",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fill a SQLite store by its server, and stop it."""
    folder = tmp_path_factory.mktemp("old") / "data"
    with engines.using(engines.SQLITE), served(folder) as server:
        fill(server)
        answers(server)
    return folder


@pytest.fixture
def database() -> Iterator[str]:
    with engine.database() as address:
        yield address


def fill(server: Server) -> None:
    colour = [{"url": "http://example.org/colour", "valueString": "green"}]
    assert server.put("SearchParameter/favourite", PARAMETER).status_code == 201
    first = {**patient(), "id": "first", "extension": colour, "name": [{"family": "李"}]}
    assert server.put("Patient/first", first).status_code == 201
    assert server.put("Patient/first", {**first, "birthDate": "1961-03-04"}).status_code == 200
    server.create(patient())
    for id_ in ("kept", "gone"):
        tree = {
            "resourceType": "Observation",
            "id": id_,
            "status": "final",
            "code": {"text": "pulse"},
            "subject": {"reference": "Patient/first"},
        }
        assert server.put(f"Observation/{id_}", tree).status_code == 201
    assert server.delete("Observation/gone").status_code == 204
    reindexed(server)


def answers(server: Server) -> list[Any]:
    """Return what is asked of both, but for what says when it was asked."""
    told = []
    for path in ASKED:
        response = server.get(path)
        assert response.status_code == 200, response.text
        told.append([(each.get("resource"), each.get("response")) for each in entries(load(response))])
    return told


def entries(tree: dict[str, Any]) -> list[dict[str, Any]]:
    if tree["resourceType"] != "Bundle":
        return [{"resource": tree}]
    return list(tree.get("entry", []))


def migrate(data: Path, database: str) -> Result:
    return CliRunner().invoke(app, ["migrate", "--from", f"sqlite:{data}", "--to", database])


def test_answers_the_same_from_mongodb(data: Path, database: str) -> None:
    ended = migrate(data, database)

    assert ended.exit_code == 0, (ended.output, ended.exception)
    assert "both stores hold the same" in ended.output
    with engines.using(engines.SQLITE), served(data) as old:
        before = answers(old)
    with engines.using(engines.SQLITE), served(data, store=database) as new:
        assert answers(new) == before
        new.create(patient())
        assert load(new.get("Patient?_total=accurate"))["total"] == 3


def test_a_second_time_is_refused_for_the_store_is_in_use(data: Path, database: str) -> None:
    assert migrate(data, database).exit_code == 0

    ended = migrate(data, database)
    assert isinstance(ended.exception, Fault)
    assert ended.exception.kind is Kind.CONFLICT


def test_a_store_that_waits_for_the_rest_is_not_served(
    data: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MongoDestination, "take_rules", stopped)
        assert migrate(data, database).exit_code != 0
    with pytest.raises(Fault, match="fhir-server migrate"), served(data, store=database):
        pass

    assert migrate(data, database).exit_code == 0
    with engines.using(engines.SQLITE), served(data, store=database) as new:
        assert new.get("Patient/first").status_code == 200


def test_a_store_that_came_out_different_is_not_served(
    data: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = MongoDestination.take

    async def forgetting(self: Any, versions: Sequence[Kept], reached: Reached | None = None) -> None:
        await take(self, [kept for kept in versions if kept.stored.id != "kept"], reached)

    monkeypatch.setattr(MongoDestination, "take", forgetting)
    ended = migrate(data, database)

    assert ended.exit_code == 1
    assert "3 versions of Observation there, 2 here." in ended.output
    with pytest.raises(Fault, match="fhir-server migrate"), served(data, store=database):
        pass


@pytest.mark.parametrize(
    ("source", "code"), [("mongodb://db.example.org/x", 2), ("postgres:x", 2), ("sqlite:/nowhere", 1)]
)
def test_only_a_sqlite_store_is_taken_over(database: str, source: str, code: int) -> None:
    ended = CliRunner().invoke(app, ["migrate", "--from", source, "--to", database])

    assert ended.exit_code == code
    assert code == 2 or isinstance(ended.exception, Fault)


def test_a_target_must_be_named(data: Path) -> None:
    assert CliRunner().invoke(app, ["migrate", "--from", str(data)]).exit_code == 2
