"""``fhir-server reindex`` on a real store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.house import House

URL = "http://hospital.example.org/fhir/SearchParameter/nationality"


def lines(*trees: dict[str, object]) -> bytes:
    return b"".join(json.dumps(tree).encode() + b"\n" for tree in trees)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> House:
    """Make a store with two Patients and a SearchParameter of its own."""
    built = House(tmp_path / "data", monkeypatch, capsys)
    built.forget_settings()
    assert built.run("init", "--data", built.data).code == 0
    parameter = {
        "resourceType": "SearchParameter",
        "url": URL,
        "name": "MaritalText",
        "status": "active",
        "description": "The words for the marital status.",
        "code": "marital-text",
        "base": ["Patient"],
        "type": "string",
        "expression": "Patient.maritalStatus.text",
    }
    patients = [
        {"resourceType": "Patient", "id": f"p{number}", "maritalStatus": {"text": "已婚"}}
        for number in range(2)
    ]
    (tmp_path / "in.ndjson").write_bytes(lines(parameter, *patients))
    assert built.load(tmp_path / "in.ndjson").code == 0
    return built


def test_it_activates_a_custom_parameter_and_says_what_it_did(house: House) -> None:
    ended = house.run("reindex", "--data", house.data)

    assert ended.code == 0, ended.err
    assert "3 resources were looked at, 4 rows added." in ended.out
    assert "marital-text of Patient" in ended.out
    assert "Sound" in house.run("check", "--data", house.data).out


def test_a_second_one_finds_nothing_to_add(house: House) -> None:
    house.run("reindex", "--data", house.data)

    assert (
        "2 resources were looked at, 0 rows added."
        in house.run("reindex", "--type", "Patient", "--data", house.data).out
    )


def test_a_type_that_r4_lacks_is_misuse(house: House) -> None:
    ended = house.run("reindex", "--type", "patient", "--data", house.data)

    assert ended.code == 2
    assert "no resource type" in ended.err
