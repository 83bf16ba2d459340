"""A data folder with real keys; the store behind it is in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_server.crypto.keys import KeyRing
from tests.unit.cli.house import House


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> House:
    """Make a data folder with keys."""
    built = House(tmp_path / "data", monkeypatch, capsys)
    KeyRing.create(built.data / "keys", "standard")
    built.data.chmod(0o700)
    built.furnish()
    return built


@pytest.fixture
def bare_house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> House:
    """Name a data folder that is not there yet."""
    built = House(tmp_path / "data", monkeypatch, capsys)
    built.furnish()
    return built
