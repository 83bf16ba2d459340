"""init when the records are in MongoDB: keys are made once, the database prepared, nothing overwritten."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fhir_server.cli import parts
from fhir_server.config import Settings
from fhir_server.crypto.keys import KeyFault
from tests.unit.cli.house import House

ADDRESS = "mongodb://owner:open-sesame@db.example.org/fhir?replicaSet=rs"


@pytest.fixture
def bare(bare_house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """Give a machine with nothing on it, and the address of a database."""
    monkeypatch.setenv("FHIR_STORE", ADDRESS)
    return bare_house


def keys_of(house: House) -> bytes:
    return (house.data / "keys/ring.json").read_bytes()


def test_makes_keys_and_prepares_the_database(bare: House) -> None:
    ended = bare.run("init", "--data", bare.data)

    assert (ended.code, bare.closed) == (0, 1)
    assert "made keys in" in ended.out
    assert "Keep a copy" in ended.out
    assert (bare.data / "keys").stat().st_mode & 0o777 == 0o700


def test_makes_no_data_folder_when_the_keys_have_their_own(bare: House) -> None:
    keys = bare.data.parent / "ring"

    assert bare.run("init", "--data", bare.data, "--keys", keys).code == 0
    assert [path.name for path in keys.iterdir() if path.suffix == ".json"] == ["ring.json"]
    assert not bare.data.exists()


def test_a_second_time_changes_no_key_and_says_so(bare: House) -> None:
    bare.run("init", "--data", bare.data)
    before = keys_of(bare)

    ended = bare.run("init", "--data", bare.data)

    assert (ended.code, keys_of(bare)) == (0, before)
    assert "nothing that it held was changed" in " ".join(ended.out.split())


@pytest.mark.parametrize("has_keys", [False, True])
def test_a_database_of_other_keys_is_refused_and_leaves_the_keys_as_they_were(
    bare: House, monkeypatch: pytest.MonkeyPatch, has_keys: bool
) -> None:
    if has_keys:
        bare.run("init", "--data", bare.data)
    before = keys_of(bare) if has_keys else b""

    @asynccontextmanager
    async def refused(_: Settings) -> AsyncIterator[None]:
        raise KeyFault("The key ring is not the one that the store was made with.")
        yield

    monkeypatch.setattr(parts, "opened", refused)
    ended = bare.run("init", "--data", bare.data)

    assert ended.code == 1
    assert "not the one that the store was made with" in ended.err
    assert (bare.data / "keys/ring.json").exists() == has_keys
    assert not has_keys or keys_of(bare) == before


def test_the_address_is_told_nowhere(bare: House) -> None:
    ended = bare.run("init", "--data", bare.data)

    assert "sesame" not in ended.out + ended.err
    assert "db.example.org" not in ended.out + ended.err
