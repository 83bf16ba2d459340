"""FHIR_STORE: what it may be, how it is given as a file, and that nothing shows it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fhir_server.cli.options import environment, read_settings
from fhir_server.config import Settings

ADDRESS = "mongodb://fhir:horse-battery@db-0,db-1/fhir?replicaSet=rs0"
PASSWORD = "horse-battery"


@pytest.fixture(autouse=True)
def _no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FHIR_STORE", raising=False)
    monkeypatch.delenv("FHIR_STORE_FILE", raising=False)


def secret(folder: Path, content: bytes) -> Path:
    path = folder / "store"
    path.write_bytes(content)
    return path


def test_without_an_address_the_store_is_the_embedded_one() -> None:
    assert not Settings().store.get_secret_value()


def test_the_address_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FHIR_STORE", ADDRESS)

    assert Settings().store.get_secret_value() == ADDRESS


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_the_address_is_read_from_a_file_without_its_line_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: bytes
) -> None:
    monkeypatch.setenv("FHIR_STORE_FILE", str(secret(tmp_path, ADDRESS.encode() + end)))

    assert Settings().store.get_secret_value() == ADDRESS


def test_two_addresses_are_one_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FHIR_STORE", ADDRESS)
    monkeypatch.setenv("FHIR_STORE_FILE", str(secret(tmp_path, ADDRESS.encode())))

    with pytest.raises(typer.BadParameter, match="both set") as refused:
        read_settings()

    assert PASSWORD not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"", "empty"), (b" \n", "empty"), (b"\xff\xfe", "cannot be read"), (b"postgres://x", "mongodb://")],
)
def test_a_file_that_holds_no_address_is_refused_with_what_to_do(
    tmp_path: Path, content: bytes, told: str
) -> None:
    with pytest.raises(typer.BadParameter, match=told):
        read_settings(store_file=secret(tmp_path, content))


def test_a_file_that_is_not_there_is_refused_without_its_name(tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match="cannot be read") as refused:
        read_settings(store_file=tmp_path / "nothing-here")

    assert "nothing-here" not in str(refused.value)


@given(st.text(min_size=1).filter(lambda text: not text.startswith("mongodb")))
def test_what_is_no_address_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(store=f"x{text}{PASSWORD}")

    assert PASSWORD not in str(refused.value)


def test_nothing_that_is_printed_of_settings_shows_the_password() -> None:
    settings = Settings(store=ADDRESS)

    printed = f"{settings!r} {settings} {json.dumps(settings.model_dump(mode='json'))}"

    assert PASSWORD not in printed


def test_the_workers_get_the_files_name_and_not_the_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = secret(tmp_path, ADDRESS.encode())
    settings = Settings(store_file=path)

    written = environment(settings)

    assert written == {"FHIR_STORE_FILE": str(path)}
    for name, value in written.items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings
