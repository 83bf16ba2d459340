"""Floors: a package imports only from the floors below it, and every package stands on one."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.architecture.sizes import ROOT

CONTRACTS = (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


def floors() -> list[str]:
    contract = tomllib.loads(CONTRACTS)["tool"]["importlinter"]["contracts"][0]
    return [name.strip(" ()") for layer in contract["layers"] for name in layer.split("|")]


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """Build an empty house with every floor and the project's own contracts."""
    (tmp_path / "pyproject.toml").write_text(CONTRACTS, encoding="utf-8")
    for package in ("conformance", "fhir_server", *(f"fhir_server/{name}" for name in floors())):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    return tmp_path


def test_no_package_imports_from_a_floor_above_it() -> None:
    result = lint(ROOT)

    assert result.returncode == 0, result.stdout


def test_an_empty_house_keeps_the_contracts(house: Path) -> None:
    assert lint(house).returncode == 0


def test_an_import_from_a_floor_above_breaks_the_contract(house: Path) -> None:
    (house / "fhir_server/store/upwards.py").write_text("import fhir_server.rest\n", encoding="utf-8")

    result = lint(house)

    assert result.returncode == 1
    assert "fhir_server.store.upwards -> fhir_server.rest" in result.stdout


def test_a_package_on_no_floor_breaks_the_contract(house: Path) -> None:
    (house / "fhir_server/attic").mkdir()
    (house / "fhir_server/attic/__init__.py").touch()

    result = lint(house)

    assert result.returncode == 1
    assert "attic" in result.stdout


def test_definitions_may_not_import_the_server(house: Path) -> None:
    (house / "conformance/upwards.py").write_text("import fhir_server.config\n", encoding="utf-8")

    assert lint(house).returncode == 1


def test_demo_data_may_not_import_the_store(house: Path) -> None:
    (house / "fhir_server/demo/reach.py").write_text("import fhir_server.store\n", encoding="utf-8")

    assert lint(house).returncode == 1
