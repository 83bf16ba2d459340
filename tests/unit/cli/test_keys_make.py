"""Keys before there is a store, and ``init --once``, which may be said again and again."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_server.audit.keys import AuditKeys
from fhir_server.crypto.keys import KeyRing
from tests.unit.cli.test_end_to_end import RealHouse


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RealHouse:
    """Name a data folder that is not there yet, before the real parts."""
    built = RealHouse(tmp_path / "data", monkeypatch, capsys)
    built.forget_settings()
    return built


@pytest.mark.parametrize("suite", ["standard", "guomi"])
def test_made_keys_are_those_of_records_and_audit_and_private(
    house: RealHouse, tmp_path: Path, suite: str
) -> None:
    house.ends("keys", "make", "--keys", tmp_path / "keys", "--suite", suite)

    files = {path for path in (tmp_path / "keys").rglob("*") if path.is_file()}
    assert KeyRing.load(tmp_path / "keys").suite.name == suite
    assert AuditKeys.open(tmp_path / "keys", suite, may_create=False).ring.suite.name == suite
    assert {"ring.json", "audit/ring.json", "audit/signing.pem"} <= {
        path.relative_to(tmp_path / "keys").as_posix() for path in files
    }
    assert {path.stat().st_mode & 0o077 for path in files} == {0}
    assert not house.data.exists()


def test_keys_are_never_made_over_others(house: RealHouse, tmp_path: Path) -> None:
    house.ends("keys", "make", "--keys", tmp_path / "keys")
    before = (tmp_path / "keys/ring.json").read_bytes()

    assert "not overwritten" in house.ends("keys", "make", "--keys", tmp_path / "keys", code=1)
    assert (tmp_path / "keys/ring.json").read_bytes() == before


def test_init_once_makes_a_store_and_then_leaves_it_alone(house: RealHouse) -> None:
    assert "Made a store" in house.ends("init", "--once")
    before = (house.data / "keys/ring.json").read_bytes()

    assert "already" in house.ends("init", "--once")
    assert (house.data / "keys/ring.json").read_bytes() == before


@pytest.mark.parametrize("lost", ["keys", "fhir.sqlite"])
def test_init_once_does_not_make_up_for_what_was_lost(house: RealHouse, tmp_path: Path, lost: str) -> None:
    house.ends("init")
    (house.data / lost).rename(tmp_path / "away")

    assert "not empty" in house.ends("init", "--once", code=1)


def test_init_without_once_refuses_a_second_time(house: RealHouse) -> None:
    house.ends("init")

    assert "overwrites nothing" in house.ends("init", code=1)
