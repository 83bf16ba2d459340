"""init, serve, info, check, keys, demo: what they do, what they refuse, and that errors are sentences."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from fhir_server.cli import parts
from fhir_server.cli.check import permissions
from fhir_server.cli.options import environment
from fhir_server.config import Settings
from fhir_server.crypto.keys import KeyRing
from fhir_server.faults import Fault, Kind
from fhir_server.store.api import Stored
from tests.unit.cli.house import Ended, House

COMMANDS = (
    ["info"],
    ["check"],
    ["load", "--demo"],
    ["serve", "--insecure-no-auth"],
    ["keys", "list"],
    ["keys", "rotate"],
    ["keys", "retire"],
)


def is_sentence(ended: Ended) -> bool:
    """Tell whether a failed command said one thing on standard error and showed no stack."""
    return ended.err.startswith("fhir-server: ") and "Traceback" not in ended.err + ended.out


def test_init_makes_private_keys_and_a_store(bare_house: House) -> None:
    ended = bare_house.run("init", "--data", bare_house.data, "--suite", "guomi")

    ring = KeyRing.load(bare_house.data / "keys")
    assert ended.code == 0
    assert ring.suite.name == "guomi"
    assert bare_house.data.stat().st_mode & 0o777 == 0o700
    assert bare_house.closed == 1


def test_init_puts_keys_where_it_is_told(bare_house: House, tmp_path: Path) -> None:
    bare_house.run("init", "--data", bare_house.data, "--keys", tmp_path / "elsewhere")

    assert KeyRing.load(tmp_path / "elsewhere").numbers == (1,)
    assert not (bare_house.data / "keys").exists()


@pytest.mark.parametrize("where", ["data", "keys"])
def test_init_overwrites_nothing(bare_house: House, tmp_path: Path, where: str) -> None:
    kept = (bare_house.data if where == "data" else tmp_path / "keys") / "precious"
    kept.parent.mkdir()
    kept.write_text("kept", encoding="utf-8")

    ended = bare_house.run("init", "--data", bare_house.data, "--keys", tmp_path / "keys")

    assert (ended.code, kept.read_text(encoding="utf-8")) == (1, "kept")
    assert is_sentence(ended)
    assert "is not empty" in ended.err


def test_init_knows_two_suites_only(bare_house: House) -> None:
    assert bare_house.run("init", "--data", bare_house.data, "--suite", "rot13").code == 2


def test_init_a_second_time_changes_no_key(bare_house: House) -> None:
    bare_house.run("init", "--data", bare_house.data)
    before = (bare_house.data / "keys/ring.json").read_bytes()

    assert bare_house.run("init", "--data", bare_house.data).code == 1
    assert (bare_house.data / "keys/ring.json").read_bytes() == before


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_says_in_a_sentence_that_keys_are_missing(
    bare_house: House, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "opened", bare_house_opens_real_keys(bare_house))

    ended = bare_house.run(*command, "--data", bare_house.data)

    assert ended.code == 1
    assert is_sentence(ended), ended.err


def bare_house_opens_real_keys(house: House) -> Callable[[Settings], Any]:
    """Open as the real service does: keys first."""
    opened = parts.opened

    def opening(settings: Settings) -> Any:
        assert settings.data == house.data
        KeyRing.load(settings.key_folder)
        return opened(settings)

    return opening


def test_info_counts_by_type_and_names_the_suite(house: House) -> None:
    ended = house.run("info", "--data", house.data)

    assert ended.code == 0
    for told in ("sqlite", "standard", "1,716", "1,757", "2.5 MB", "data keys 1, of which 1 seals"):
        assert told in ended.out


def test_info_as_json_is_json(house: House) -> None:
    told = json.loads(house.run("info", "--data", house.data, "--json").out)

    assert told["resources"] == {"Observation": 1716, "Patient": 41}
    assert told["keys"] == {"active": 1, "all": [1]}


def test_check_finds_nothing_in_a_sound_house(house: House) -> None:
    ended = house.run("check", "--data", house.data)

    assert (ended.code, ended.out.startswith("Sound")) == (0, True)


def test_check_tells_damage_and_ends_with_1(house: House) -> None:
    house.store.damage = ["Patient p1 cannot be opened."]

    ended = house.run("check", "--data", house.data)

    assert ended.code == 1
    assert "Patient p1 cannot be opened." in ended.out


def test_check_names_records_whose_subject_leads_to_nobody(house: House) -> None:
    bodies = {"right": b"Patient/1", "wrong": b"patient/1", "elsewhere": b"https://x.example.org/Patient/1/"}
    house.store.kept = [
        Stored(
            "Observation",
            id_,
            1,
            0,
            "PUT",
            b'{"resourceType":"Observation","subject":{"reference":"%b"}}' % to,
        )
        for id_, to in bodies.items()
    ]

    ended = house.run("check", "--data", house.data)

    assert ended.code == 1
    assert ended.out.count("leads to nobody") == 1
    assert "Observation/wrong: Observation.subject.reference" in ended.out


@pytest.mark.parametrize("name", ["keys", "keys/ring.json", "."])
def test_check_finds_what_others_may_read(house: House, name: str) -> None:
    (house.data / name).chmod(0o755)

    ended = house.run("check", "--data", house.data)

    assert ended.code == 1
    assert "set its mode" in ended.out


def test_a_file_in_a_closed_folder_is_out_of_reach_whatever_its_mode(tmp_path: Path) -> None:
    (tmp_path / "file").touch(0o644)
    tmp_path.chmod(0o700)
    assert permissions(tmp_path) == []

    tmp_path.chmod(0o755)
    assert len(permissions(tmp_path)) == 2


def test_keys_are_listed_by_number_and_never_by_value(house: House) -> None:
    KeyRing.load(house.data / "keys").rotate()

    ended = house.run("keys", "list", "--data", house.data)

    secrets = json.loads((house.data / "keys/ring.json").read_text(encoding="utf-8"))
    assert [line.split() for line in ended.out.splitlines()[1:]] == [
        ["1", "opens", "only"],
        ["2", "seals", "and", "opens"],
    ]
    assert not any(value in ended.out for value in (*secrets["data"].values(), secrets["index"]))


def test_rotate_adds_a_key_and_seals_anew_and_retire_then_removes(house: House) -> None:
    before = house.run("keys", "retire", "--data", house.data)
    rotated = house.run("keys", "rotate", "--data", house.data)
    after = house.run("keys", "retire", "--data", house.data)

    assert "No key could be retired" in before.out
    assert KeyRing.load(house.data / "keys").active == 2
    assert "Key 2 seals now; 5 payloads were sealed anew." in rotated.out
    assert "Retired: 1." in after.out


def test_demo_writes_bundles_that_load_takes(house: House, tmp_path: Path) -> None:
    written = house.run("demo", tmp_path / "demo")
    loaded = house.load(tmp_path / "demo")

    assert (written.code, loaded.code) == (0, 0)
    assert len(house.door.requests) == 42
    assert '"value": 0.15' not in (tmp_path / "demo/01-chronic-patient.json").read_text(encoding="utf-8")


def test_demo_overwrites_nothing(house: House, tmp_path: Path) -> None:
    (tmp_path / "kept").touch()

    ended = house.run("demo", tmp_path)

    assert ended.code == 1
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".json"] == []


class Served:
    """Takes the place of ``uvicorn.run`` and remembers how it was called."""

    def __init__(self, code: int = 0) -> None:
        self.code = code
        self.calls: list[dict[str, Any]] = []

    def __call__(self, app: str, **options: Any) -> None:
        self.calls.append({"app": app, **options})
        if self.code:
            raise SystemExit(self.code)


@pytest.fixture
def served(house: House, monkeypatch: pytest.MonkeyPatch) -> Served:
    answer = Served()
    monkeypatch.setattr(uvicorn, "run", answer)
    monkeypatch.setattr(os, "environ", {**os.environ})
    assert house.data.exists()
    return answer


def test_serve_hands_its_options_to_the_workers_by_the_environment(house: House, served: Served) -> None:
    ended = house.run(
        *("serve", "--data", house.data, "--port", "8099", "--workers", "2", "--insecure-no-auth")
    )

    (call,) = served.calls
    assert ended.code == 0
    assert (call["app"], call["port"], call["workers"]) == ("fhir_server.app:create_app", 8099, 2)
    assert call["access_log"] is False
    assert os.environ["FHIR_DATA"] == str(house.data)
    assert os.environ["FHIR_INSECURE_NO_AUTH"] == "true"
    assert "curl http://127.0.0.1:8099/fhir/metadata" in ended.err


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        (["--host", "0.0.0.0"], "FHIR_BASE_URL"),
        (["--insecure-no-auth", "--host", "0.0.0.0"], "127.0.0.1"),
        (["--insecure-no-auth", "--host", "192.0.2.7"], "127.0.0.1"),
    ],
)
def test_serve_refuses_what_would_show_records_to_all(
    house: House, served: Served, options: list[str], advice: str
) -> None:
    ended = house.run("serve", "--data", house.data, *options)

    assert (ended.code, served.calls) == (1, [])
    assert is_sentence(ended)
    assert advice in ended.err


def test_serve_that_cannot_start_ends_with_1(house: House, served: Served) -> None:
    served.code = 3

    assert house.run("serve", "--data", house.data, "--insecure-no-auth").code == 1


def test_a_setting_that_cannot_be_used_is_misuse_and_is_named(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FHIR_TIME_ZONE", "Mars/Olympus")

    ended = house.run("info", "--data", house.data)

    assert ended.code == 2
    assert "FHIR_TIME_ZONE" in ended.err


def test_what_the_environment_says_survives_the_way_to_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FHIR_MAX_COUNT", "77")
    settings = Settings(data=Path("x"), insecure_no_auth=True)

    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)

    assert Settings() == settings


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Fault(Kind.UNAVAILABLE, "The disk is full; make room."), "The disk is full; make room."),
        (PermissionError(13, "Permission denied", "data"), "Permission denied: data"),
        (KeyboardInterrupt(), "Stopped."),
        (RuntimeError("patient 张三"), "Unexpected RuntimeError."),
    ],
)
def test_whatever_goes_wrong_is_one_sentence(
    house: House, monkeypatch: pytest.MonkeyPatch, error: BaseException, told: str
) -> None:
    def fail(_: Settings) -> KeyRing:
        raise error

    monkeypatch.setattr(parts, "key_ring", fail)

    ended = house.run("keys", "list", "--data", house.data)

    assert ended.code in (1, 130)
    assert told in ended.err or ended.code == 130
    assert "Traceback" not in ended.err
    assert "张三" not in ended.err
