"""The scripts that need no engine: secrets are made once, backups of MongoDB are whole or not there."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
import yaml
from pymongo.uri_parser import parse_uri

from tests.docker.files import DOCKER

MEMBERS = {("mongo-0", 27017), ("mongo-1", 27017), ("mongo-2", 27017)}


def run(script: Path, *, path: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script as `sh` does in a container; ``path``: where its programs are looked for first."""
    programs = f"{path}:/usr/bin:/bin" if path else "/usr/bin:/bin"
    return subprocess.run(
        ["sh", str(script)],
        env={"PATH": programs, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """Make the secrets in a copy of the folder; return where they lie."""
    script = tmp_path / "docker/secrets.sh"
    script.parent.mkdir()
    shutil.copyfile(DOCKER / "secrets.sh", script)
    ran = run(script)
    assert ran.returncode == 0, ran.stderr
    return tmp_path / "docker/secrets"


def test_secrets_are_made_in_a_folder_of_their_owners_alone(secrets: Path) -> None:
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets.iterdir()} == {0o444}
    assert not list(secrets.glob("*.new"))


def test_passwords_are_long_and_unlike_each_other(secrets: Path) -> None:
    passwords = [path.read_text(encoding="ascii").strip() for path in secrets.glob("*_password")]

    assert len(passwords) == len(set(passwords)) == 3
    assert all(re.fullmatch(r"[0-9a-f]{48}", password) for password in passwords)


def test_the_key_file_is_one_that_mongodb_takes(secrets: Path) -> None:
    content = (secrets / "mongo_keyfile").read_text(encoding="ascii")

    assert re.fullmatch(r"[A-Za-z0-9+/]{6,1024}", content)


@pytest.mark.parametrize(
    ("name", "account", "database"),
    [
        ("fhir_store", "fhir", "fhir"),
        ("mongo_backup.yaml", "backup", None),
        ("mongo_restore.yaml", "admin", None),
    ],
)
def test_an_address_names_the_replica_set_its_account_and_password(
    secrets: Path, name: str, account: str, database: str | None
) -> None:
    text = (secrets / name).read_text(encoding="ascii").strip()
    told = parse_uri(yaml.safe_load(text)["uri"] if name.endswith(".yaml") else text)

    assert set(told["nodelist"]) == MEMBERS
    assert told["username"] == account
    assert told["password"] == (secrets / f"mongo_{account}_password").read_text(encoding="ascii").strip()
    assert told["database"] == database
    assert told["options"]["replicaSet"] == "fhir"


def test_made_again_secrets_stay_what_they_are_and_only_missing_ones_are_made(secrets: Path) -> None:
    before = {path.name: path.read_bytes() for path in secrets.iterdir()}
    (secrets / "mongo_backup.yaml").unlink()

    ran = run(secrets.parent / "secrets.sh")

    assert ran.stdout.split() == ["Made", "secrets/mongo_backup.yaml"]
    assert {path.name: path.read_bytes() for path in secrets.iterdir()} == before


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Make a folder for programs that stand for those of the image."""
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


def stand_in(folder: Path, body: str) -> None:
    """Write a mongodump that does ``body``; ``$archive`` is where it is to write."""
    script = folder / "mongodump"
    script.write_text(
        '#!/bin/sh\nfor word; do case "$word" in --archive=*) archive="${word#--archive=}";; esac; done\n'
        f'echo "$@" >> "{folder}/asked"\n{body}\n',
        encoding="utf-8",
    )
    script.chmod(0o755)


def backup(programs: Path, place: Path, kept: int = 14) -> subprocess.CompletedProcess[str]:
    return run(DOCKER / "mongo/backup.sh", path=programs, BACKUP_FOLDER=str(place), BACKUPS_KEPT=str(kept))


def test_a_backup_of_mongodb_is_one_moment_of_everything_and_only_its_owner_reads_it(
    tmp_path: Path, programs: Path
) -> None:
    stand_in(programs, 'echo content | gzip > "$archive"')

    ran = backup(programs, tmp_path)

    (made,) = tmp_path.glob("*.archive.gz")
    asked = (programs / "asked").read_text(encoding="utf-8")
    assert ran.returncode == 0, ran.stderr
    assert {"--oplog", "--gzip", "--config=/run/secrets/mongo_backup.yaml"} <= set(asked.split())
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert "mongodb://" not in asked


@pytest.mark.parametrize(
    "body", ["exit 1", 'echo half > "$archive"', 'echo x | gzip | head -c 9 > "$archive"']
)
def test_a_backup_of_mongodb_that_is_not_whole_is_not_there(
    tmp_path: Path, programs: Path, body: str
) -> None:
    stand_in(programs, body)

    assert backup(programs, tmp_path).returncode != 0
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


def test_a_backup_of_mongodb_removes_what_killed_ones_have_left(tmp_path: Path, programs: Path) -> None:
    stand_in(programs, 'echo half > "$archive"; kill -9 $PPID')
    assert backup(programs, tmp_path).returncode != 0
    assert [path.suffix for path in tmp_path.iterdir() if path.is_file()] == [".partial"]
    (tmp_path / "20260101T000000Z.archive.gz").write_bytes(b"an older one")

    stand_in(programs, 'echo content | gzip > "$archive"')
    assert backup(programs, tmp_path).returncode == 0

    assert [path.suffix for path in tmp_path.iterdir() if path.is_file()] == [".gz", ".gz"]


@pytest.mark.parametrize(("kept", "left"), [(1, 1), (2, 2), (9, 4)])
def test_the_newest_backups_of_mongodb_are_kept(tmp_path: Path, programs: Path, kept: int, left: int) -> None:
    stand_in(programs, 'echo content | gzip > "$archive"')
    for day in (1, 2, 3):
        (tmp_path / f"2020010{day}T000000Z.archive.gz").write_bytes(b"")
    (tmp_path / "notes").write_bytes(b"")

    assert backup(programs, tmp_path, kept).returncode == 0

    names = sorted(path.name for path in tmp_path.glob("*.archive.gz"))
    assert len(names) == left
    assert names[-1] > "2020010"
    assert names[-1][:4] != "2020"
    assert (tmp_path / "notes").exists()


def test_scripts_can_be_started_and_begin_with_what_starts_them() -> None:
    for script in DOCKER.rglob("*.sh"):
        assert os.access(script, os.X_OK), script.name
        assert script.read_text(encoding="utf-8").startswith("#!/bin/sh\n")
