"""A folder with a table and its map, and fhir-map run in this process."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mappings.cli import app
from mappings.engine.model import Refused

MAP = """
map: people
format: table
kind: people
per: row
systems: {person: "https://demo.example/{source}/person"}
resources:
  - id: patient
    type: Patient
    identity: [{system: person, from: no}]
    fields:
      - {from: name, to: "name[0].text"}
      - {from: born, to: birthDate, convert: date}
"""
ROWS = "no,name,born,extra\n1,甲,1980-01-02,\n2,乙,1981-02-30,x\n3,丙,1982-03-04,\n"


@dataclass(frozen=True)
class Done:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def bundles(self) -> list[Any]:
        """The Bundles on standard output."""
        return [json.loads(line) for line in self.out.splitlines()]


FhirMap = Callable[..., Done]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "people.yaml").write_text(MAP, encoding="utf-8")
    (tmp_path / "people.csv").write_text(ROWS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def fhir_map(folder: Path) -> FhirMap:
    """Run a command in the folder; what is refused is exit code 1, as ``main`` makes it."""

    def run(*words: str, stdin: bytes = b"") -> Done:
        result = CliRunner().invoke(app, list(words), input=stdin)
        if isinstance(result.exception, Refused):
            return Done(
                1, result.stdout, "\n".join(f"{one.where}: {one.sentence}" for one in result.exception.issues)
            )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Done(result.exit_code, result.stdout, result.stderr)

    assert folder.exists()
    return run


def words(*given: str) -> Sequence[str]:
    """Return the words of converting the folder's table."""
    return ("convert", "people.csv", "--from", "table", "--maps", "maps", *given)
