"""``fhir-server backup`` and ``restore``: what comes back, what is refused, what is never in it."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from fhir_server.cli.backups import making, manifest
from tests.http.process import Process
from tests.unit.cli.house import House
from tests.unit.cli.test_end_to_end import RealHouse, patient

NAMES = ["fhir.sqlite", "load.journal", "audit/p00/00000001.seg", "audit/p00/00000001.json"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a data folder with records and a log, its keys beside it, and one backup of it, once."""
    place = tmp_path_factory.mktemp("backup")
    with pytest.MonkeyPatch.context() as patch:
        house = RealHouse(place / "data", patch, _Printed())
        house.forget_settings()
        (place / "in.ndjson").write_bytes(b"".join(map(patient, range(30))))
        house.ends("init", "--keys", place / "keys")
        house.ends("load", place / "in.ndjson", "--keys", place / "keys")
        house.ends("token", "--client", "x", "--scope", "system/*.rs", "--keys", place / "keys", code=1)
        house.ends("backup", place / "backups", "--keys", place / "keys")
    return place


class _Printed:
    """Stands for capsys, which no fixture of a module may use."""

    def readouterr(self) -> _Printed:
        return self

    out = err = ""


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    """Copy what was made, for a test to spoil."""
    shutil.copytree(made, tmp_path / "own")
    return tmp_path / "own"


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RealHouse:
    """Name a data folder that is not there yet: where a backup is put."""
    built = RealHouse(tmp_path / "back", monkeypatch, capsys)
    built.forget_settings()
    return built


def only(place: Path) -> Path:
    (folder,) = making.complete(place / "backups")
    return folder


def test_what_was_stored_comes_back_sound(house: RealHouse, place: Path) -> None:
    printed = house.ends("restore", only(place), "--keys", place / "keys")

    assert "every record opens" in printed
    assert json.loads(house.ends("info", "--json", "--keys", place / "keys"))["resources"] == {"Patient": 30}
    assert "Sound" in house.ends("check", "--keys", place / "keys")
    assert "Sound" in house.ends("audit", "verify", "--keys", place / "keys")


def test_what_was_loaded_before_the_backup_is_not_loaded_again(house: RealHouse, made: Path) -> None:
    house.ends("restore", only(made), "--keys", made / "keys")

    assert "Loaded 0 resources" in house.ends("load", made / "in.ndjson", "--keys", made / "keys")


def test_a_restored_folder_has_the_permissions_and_the_files_of_the_first(
    house: RealHouse, place: Path
) -> None:
    house.ends("restore", only(place), "--keys", place / "keys")

    assert house.data.stat().st_mode & 0o777 == 0o700
    files = {path.relative_to(house.data).as_posix() for path in house.data.rglob("*") if path.is_file()}
    assert set(NAMES) <= files
    assert {path.stat().st_mode & 0o777 for path in house.data.rglob("*") if path.is_file()} == {0o600}


def test_a_backup_holds_no_key_and_nothing_that_can_be_read(place: Path) -> None:
    ring = json.loads((place / "keys/ring.json").read_bytes())
    secrets = [*ring["data"].values(), ring["index"]]
    plain = [secret.encode() for secret in secrets] + [base64.b64decode(secret) for secret in secrets]
    plain += ["示例".encode(), (place / "keys/audit/signing.pem").read_bytes().splitlines()[1]]

    contents = [path.read_bytes() for path in only(place).rglob("*") if path.is_file()]

    assert [secret for secret in plain if any(secret in content for content in contents)] == []
    assert not list(only(place).rglob("*ring*"))


def test_keys_below_the_data_folder_stay_out_and_stay_in_place(house: RealHouse, tmp_path: Path) -> None:
    house.ends("init")
    house.ends("backup", tmp_path / "backups")
    (folder,) = making.complete(tmp_path / "backups")
    keys = house.data / "keys"
    keys.rename(tmp_path / "keys")
    shutil.rmtree(house.data)
    house.data.mkdir()
    (tmp_path / "keys").rename(keys)

    house.ends("restore", folder)

    assert "Sound" in house.ends("check")
    assert not (folder / "keys").exists()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("harm", ["changed", "cut", "missing"])
def test_a_damaged_backup_is_refused_before_anything_is_written(
    house: RealHouse, place: Path, name: str, harm: str
) -> None:
    file = only(place) / name
    content = file.read_bytes()
    if harm == "missing":
        file.unlink()
    else:
        middle = len(content) // 2
        spoiled = bytes([content[middle] ^ 1])
        file.write_bytes(content[:middle] + (b"" if harm == "cut" else spoiled) + content[middle + 1 :])

    printed = house.ends("restore", only(place), "--keys", place / "keys", code=1)

    assert f"1 files of the backup are missing or damaged, the first is {name}" in " ".join(printed.split())
    assert not house.data.exists()


def test_a_manifest_that_somebody_rewrote_is_refused(house: RealHouse, place: Path) -> None:
    path = only(place) / manifest.NAME
    content = json.loads(path.read_bytes())
    del content["files"]["audit/p00/00000001.seg"]
    path.write_text(json.dumps(content), encoding="utf-8")

    assert "was changed" in house.ends("restore", only(place), "--keys", place / "keys", code=1)
    assert not house.data.exists()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "name the folder of one complete backup"),
        (b"{", "cannot be read"),
        (b'{"format": 2, "made": "", "program": "", "findings": 0, "files": {}}', "newer program"),
    ],
)
def test_what_is_no_backup_is_told_so(
    house: RealHouse, place: Path, content: bytes | None, told: str
) -> None:
    path = only(place) / manifest.NAME
    folder = path.parent
    path.unlink()
    if content is not None:
        path.write_bytes(content)

    assert told in " ".join(house.ends("restore", folder, "--keys", place / "keys", code=1).split())


def test_another_houses_keys_restore_nothing(house: RealHouse, place: Path, tmp_path: Path) -> None:
    house.run("init", "--data", tmp_path / "other")

    printed = house.ends("restore", only(place), "--keys", tmp_path / "other/keys", code=1)

    assert "other keys" in printed
    assert not house.data.exists()


def test_restore_overwrites_nothing(house: RealHouse, place: Path) -> None:
    house.data.mkdir()
    (house.data / "precious").write_text("kept", encoding="utf-8")

    assert "not empty" in house.ends("restore", only(place), "--keys", place / "keys", code=1)
    assert [path.name for path in house.data.iterdir()] == ["precious"]


def test_a_damaged_store_is_copied_told_and_displaces_no_older_backup(house: RealHouse, place: Path) -> None:
    with closing(sqlite3.connect(place / "data/fhir.sqlite")) as connection, connection:
        connection.execute("UPDATE version SET payload=zeroblob(60) WHERE rk=(SELECT max(rk) FROM version)")
    shutil.move(place / "data", house.data)

    printed = house.ends("backup", place / "backups", "--keep", "1", "--keys", place / "keys", code=1)

    assert "cannot be opened" in printed
    older, newer = making.complete(place / "backups")
    assert [json.loads((each / manifest.NAME).read_bytes())["findings"] > 0 for each in (older, newer)] == [
        False,
        True,
    ]
    house.data.rename(place / "damaged")
    assert "when the backup was made there were" in house.ends(
        "restore", newer, "--keys", place / "keys", code=1
    )


def test_a_quick_backup_looks_at_the_structure_alone(house: RealHouse, place: Path) -> None:
    with closing(sqlite3.connect(place / "data/fhir.sqlite")) as connection, connection:
        connection.execute("UPDATE version SET payload=zeroblob(60) WHERE rk=(SELECT max(rk) FROM version)")
    shutil.move(place / "data", house.data)

    house.ends("backup", place / "new", "--quick", "--keys", place / "keys")

    assert len(making.complete(place / "new")) == 1


def test_a_quick_restore_looks_at_the_structure_alone(house: RealHouse, place: Path) -> None:
    printed = house.ends("restore", only(place), "--quick", "--keys", place / "keys")

    assert "the file is whole" in printed
    assert "Sound" in house.ends("check", "--keys", place / "keys")


@pytest.mark.parametrize("options", [(), ("--quick",)])
def test_with_another_houses_keys_there_is_no_backup(
    house: RealHouse, place: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    house.run("init", "--data", tmp_path / "other")
    shutil.move(place / "data", house.data)

    printed = house.ends("backup", place / "new", *options, "--keys", tmp_path / "other/keys", code=1)

    assert "key" in printed
    assert list((place / "new").iterdir()) == []


def test_a_damaged_log_is_copied_as_it_is_for_whoever_looks_into_it(house: RealHouse, place: Path) -> None:
    segment = max((place / "data/audit/p00").glob("*.seg"))
    segment.with_suffix(".json").unlink()
    header, newline, entries = segment.read_bytes().partition(b"\n")
    damaged = header + newline + b"\xff" + entries[1:]
    segment.write_bytes(damaged)
    shutil.move(place / "data", house.data)

    house.ends("backup", place / "new", "--keys", place / "keys")

    (folder,) = making.complete(place / "new")
    assert (folder / "audit/p00" / segment.name).read_bytes() == damaged


def test_the_newest_backups_are_kept(house: RealHouse, place: Path) -> None:
    shutil.move(place / "data", house.data)
    oldest = only(place)
    (place / "backups" / "notes").mkdir()
    (place / "backups" / "20200101T000000000Z").mkdir()

    for _ in range(2):
        house.ends("backup", place / "backups", "--keep", "2", "--keys", place / "keys")

    kept = making.complete(place / "backups")
    assert len(kept) == 2
    assert oldest not in kept
    assert (place / "backups" / "notes").is_dir(), "what is no backup is not removed"
    assert (place / "backups" / "20200101T000000000Z").is_dir(), "what is not complete is not removed"


def test_what_a_killed_backup_left_goes_with_the_next_and_one_that_is_being_made_stays(
    house: RealHouse, place: Path
) -> None:
    shutil.move(place / "data", house.data)
    left, held = (place / "backups" / f"2020010{day}T000000000Z.partial" for day in (1, 2))
    for path in (left, held):
        path.mkdir()
        (path / "fhir.sqlite").write_bytes(b"half")
    handle = os.open(held, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        house.ends("backup", place / "backups", "--keys", place / "keys")
    finally:
        os.close(handle)

    assert not left.exists()
    assert (held / "fhir.sqlite").exists()
    assert len(making.complete(place / "backups")) == 2


def test_without_a_store_there_is_no_backup(house: RealHouse, place: Path) -> None:
    assert "no store" in house.ends("backup", place / "new", "--keys", place / "keys", code=1)


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_a_mongodb_database_is_copied_by_its_own_tools(house: House, place: Path, command: str) -> None:
    house.monkeypatch.setenv("FHIR_STORE", "mongodb://fhir:horse-battery@db-0/fhir")

    ended = house.run(command, place, "--data", house.data, "--keys", place / "keys")

    assert ended.code == 1
    assert "mongodump" in ended.err
    assert "horse" not in ended.err


@pytest.mark.sqlite_file("a backup copies SQLite's file")
def test_a_backup_of_a_server_under_load_has_whole_requests_and_a_log_that_follows(
    house: RealHouse, tmp_path: Path
) -> None:
    house.ends("init")
    server = Process(house.data)
    server.start()
    try:
        with httpx.Client(base_url=server.base, timeout=30) as client:
            written = 0

            def write() -> None:
                nonlocal written
                entry = {"request": {"method": "POST", "url": "Patient"}}
                entries = [{**entry, "resource": {"resourceType": "Patient"}} for _ in range(10)]
                bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
                assert client.post("/", json=bundle).status_code == 200
                written += 10

            write()
            before = written
            ran = server.run("backup", str(tmp_path / "backups"))
            assert ran.returncode == 0, ran.stderr
            write()
    finally:
        server.stop()
    (folder,) = making.complete(tmp_path / "backups")
    restored = RealHouse(tmp_path / "restored", house.monkeypatch, house.capsys)
    shutil.copytree(house.data / "keys", tmp_path / "keys")

    restored.ends("restore", folder, "--keys", tmp_path / "keys")

    assert json.loads(restored.ends("info", "--json", "--keys", tmp_path / "keys"))["resources"] == {
        "Patient": before
    }
    report = restored.ends("audit", "verify", "--keys", tmp_path / "keys")
    assert "Sound" in report
    assert not report.startswith("Sound: 0 entries")
