"""From an extract to the server, found by searches, sent again without a new version, and out again alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mappings.engine.batches import convert
from mappings.engine.model import Context, Issue
from mappings.engine.write import write
from mappings.his.opening import open_folder
from tests import engines
from tests.http.server import Server, served
from tests.mapping.his.world import SCHEMAS, extract, format_of, rows_of

CONTEXT = Context(source="h1", now="2024-02-01T08:00:00Z", media_type="text/csv")

# One server for the file, not one per worker.
pytestmark = [pytest.mark.xdist_group("his-server"), pytest.mark.every_engine]


def loaded(server: Server, name: str, folder: Path) -> list[Issue]:
    """Load a folder of extracts as the command line does; return what went wrong."""
    issues = []
    for source in open_folder(folder, format_of(name).schema):
        for converted in convert(format_of(name), source.rows(), CONTEXT, rows=2):
            assert converted.result is not None
            response = server.post("", converted.result.bundle)
            assert response.status_code == 200, (converted.messages, response.text)
            issues += converted.issues
    return issues


@pytest.fixture(scope="module", params=SCHEMAS)
def hospital(
    engine: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Server, Path]]:
    """Serve the whole small hospital, loaded from files in GB18030."""
    name: str = request.param
    folder = tmp_path_factory.mktemp(name)
    for table in rows_of(name):
        (folder / f"{table}.csv").write_bytes(extract(name, table))
    with engines.using(engine), served(tmp_path_factory.mktemp("data")) as server:
        assert loaded(server, name, folder) == []
        yield name, server, folder


SEARCHES = {
    "junwei": [
        ("Patient?name=张三", 1),
        ("Patient?identifier=urn:oid:2.16.156.10011.1.3|11010519560314001X", 1),
        ("Encounter?patient.name=张三&class=IMP", 1),
        (
            "Encounter?subject.identifier=https://fhir-server.invalid/NamingSystem/h1-visit-patient|2024-01-05/32",
            1,
        ),
        ("Condition?code=I20.000&patient.birthdate=1956-03-14", 1),
        ("MedicationRequest?patient.name=张三", 3),
        ("ServiceRequest?encounter.class=IMP&status=active", 2),
        ("Observation?based-on.identifier=2401070001&value-quantity=gt6", 1),
        ("Observation?patient.name=张三&category=laboratory", 4),
        ("DiagnosticReport?subject.name=张三&status=final", 1),
        ("ChargeItem?subject.name=张三", 2),
        ("ChargeItem?context.class=AMB", 2),
        ("Invoice?subject.name=张三", 3),
        ("Organization?name=心血管内科", 1),
        ("PractitionerRole?practitioner.name=王医生", 1),
    ],
    "hsa": [
        ("Patient?name=张三", 1),
        ("Encounter?patient.name=张三", 2),
        ("Encounter?service-provider.name=心内科", 2),
        ("Condition?subject.name=张三", 4),
        ("MedicationRequest?patient.name=张三", 1),
        ("RequestGroup?patient.name=张三&status=active", 1),
        ("ChargeItem?subject.name=张三", 2),
        ("Invoice?subject.name=张三", 2),
        ("ExplanationOfBenefit?patient.name=张三", 1),
        ("Observation?patient.name=张三&value-quantity=gt6", 1),
        ("Coverage?beneficiary.name=张三", 1),
        ("AllergyIntolerance?patient.name=张三", 1),
    ],
}


def test_searches_find_what_the_tables_said(hospital: tuple[str, Server, Path]) -> None:
    name, server, _ = hospital

    found = {search: len(server.find(search)) for search, _ in SEARCHES[name]}
    assert found == dict(SEARCHES[name])


def everything(server: Server, name: str) -> dict[str, Any]:
    """Return all that a schema's maps can have made, as one Bundle from the server."""
    types = sorted({target.type for map_ in format_of(name).maps() for target in map_.targets})
    found = [
        entry
        for type_ in types
        for page in server.pages(f"{type_}?_count=100")
        for entry in page.get("entry", [])
    ]
    return {"resourceType": "Bundle", "type": "collection", "entry": found}


def test_the_tables_come_out_of_the_server_as_they_went_in(hospital: tuple[str, Server, Path]) -> None:
    name, server, _ = hospital
    bundle = everything(server, name)
    format_ = format_of(name)
    out: dict[str, list[dict[str, str]]] = {table: [] for table in rows_of(name)}
    for map_ in format_.maps():
        written = write(map_, bundle, CONTEXT)
        out[map_.kind] += [message.tree for message in written.messages]

    for table, rows in rows_of(name).items():
        definition = format_.schema[table]
        key = lambda row: [row.get(column, "") for column in definition.key]  # noqa: B023, E731 - used at once
        told = {column for map_ in format_.maps() if map_.kind == table for column in map_.ignored}
        expected = [{c: v for c, v in row.items() if c not in told} for row in sorted(rows, key=key)]
        found = [
            {c: row.get(c, "") for c in one}
            for row, one in zip(sorted(out[table], key=key), expected, strict=True)
        ]
        assert found == expected, table


def test_the_same_extracts_again_change_nothing(hospital: tuple[str, Server, Path]) -> None:
    name, server, folder = hospital

    def versions() -> dict[str, str]:
        return {
            f"{entry['resource']['resourceType']}/{entry['resource']['id']}": entry["resource"]["meta"][
                "versionId"
            ]
            for entry in everything(server, name)["entry"]
        }

    before = versions()
    assert loaded(server, name, folder) == []
    assert versions() == before
