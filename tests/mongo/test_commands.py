"""Every command works on a MongoDB store, and leaves nothing on the machine that it runs on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pymongo.errors import AutoReconnect
from typer.testing import CliRunner, Result

from fhir_server.cli import app
from tests.http.samples import patient
from tests.http.server import dump
from tests.mongo import engine

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Run commands on a new database, keys in a folder of their own, no data folder."""
    with engine.database() as address:
        monkeypatch.setenv("FHIR_STORE", address)
        monkeypatch.setenv("FHIR_KEYS", str(tmp_path / "keys"))
        monkeypatch.setenv("FHIR_DATA", str(tmp_path / "data"))
        monkeypatch.setenv("FHIR_BASE_URL", "https://fhir.example.org/fhir")
        monkeypatch.setenv("FHIR_LOG_LEVEL", "error")
        monkeypatch.setattr("fhir_server.cli.options.out.width", 200)

        def command(*arguments: str | Path, code: int = 0) -> Result:
            ended = CliRunner().invoke(app, list(map(str, arguments)))
            assert ended.exit_code == code, (arguments, ended.output, ended.exception)
            assert address not in ended.output
            return ended

        yield command


def test_commands_work_without_a_data_folder(run: Run, tmp_path: Path) -> None:
    run("init")
    assert "nothing that it held was changed" in run("init").output
    run("user", "add", "--id", "wang", "--role", "system-administrator", "--no-password")
    assert "wang" in run("user", "list").output
    run(
        "client",
        "add",
        "--id",
        "app",
        "--scope",
        "system/*.rs",
        "--redirect-uri",
        "https://app.example.org/cb",
    )
    assert run("token", "--client", "app", "--scope", "system/*.rs").output.count(".") == 2
    run("agreement", "add", "--id", "one", "--organization", "Organization/a", "--type", "Observation")
    run("reindex")
    run("relabel")
    assert "2 seals" in run("keys", "rotate").output.replace("Key ", "")
    assert "Retired: 1" in run("keys", "retire").output
    assert "2  seals and opens" in run("keys", "list").output
    assert "Sound" in run("check").output
    assert "Sound" in run("audit", "verify").output
    run("audit", "index")
    told = json.loads(run("info", "--json").output)

    assert (told["engine"], told["resources"]["Contract"]) == ("mongodb", 1)
    assert not (tmp_path / "data").exists()


def test_load_takes_files_in_and_goes_on_where_it_was(run: Run, tmp_path: Path) -> None:
    run("init")
    lines = [dump({**patient(), "id": f"p{n}"}) for n in range(5)]
    (tmp_path / "people.ndjson").write_bytes(b"\n".join(lines))
    run("load", tmp_path / "people.ndjson")
    (tmp_path / "people.ndjson").touch()
    run("load", tmp_path / "people.ndjson")

    told = json.loads(run("info", "--json").output)
    assert (told["resources"]["Patient"], told["versions"]) == (5, 5)
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["load.journal"]


def test_keys_that_the_database_may_know_already_stay(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cut(*_: object) -> None:
        raise AutoReconnect("the wire is cut")

    with monkeypatch.context() as patch:
        patch.setattr("fhir_server.store.mongo.opening.mark", cut)
        assert "they stay" in run("init", code=1).output
    made = (tmp_path / "keys/ring.json").read_bytes()

    assert "nothing that it held was changed" in run("init").output
    assert (tmp_path / "keys/ring.json").read_bytes() == made
    assert "Sound" in run("check").output


def test_another_key_ring_is_refused_and_told_so(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("init")
    monkeypatch.setenv("FHIR_KEYS", str(tmp_path / "others"))

    ended = run("init", code=1)
    assert "not the one that the store was made with" in str(ended.exception)
    assert not (tmp_path / "others/ring.json").exists()
    monkeypatch.setenv("FHIR_KEYS", str(tmp_path / "keys"))
    assert "Sound" in run("check").output
