"""fhir-kit-client (JavaScript) reads and writes the server. https://github.com/Vermonster/fhir-kit-client"""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.http.samples import unique

HERE = Path(__file__).parent
NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="needs Node.js")


def run(command: list[str], folder: Path) -> str:
    """Run a command to its end; fail with what it said when it fails."""
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def _install(folder: Path, lock: str) -> None:
    stamp = folder / "installed"
    if stamp.exists() and stamp.read_text() == lock:
        return
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, folder)
    run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder)
    stamp.write_text(lock)


@pytest.fixture(scope="module")
def kit(request: pytest.FixtureRequest) -> Path:
    """Install the client as the lock file says, once; return the folder that has it."""
    assert request.config.cache is not None
    folder = Path(request.config.cache.mkdir("fhir-kit-client"))
    lock = (HERE / "package-lock.json").read_text()
    with (folder / "lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # the other test worker may be installing it
        _install(folder, lock)
    shutil.copy(HERE / "roundtrip.mjs", folder)
    return folder


@pytest.fixture(scope="module")
def seen(kit: Path, base: str) -> dict[str, Any]:
    """Run the client against the server; return what it saw."""
    assert NODE is not None
    told: dict[str, Any] = json.loads(run([NODE, "roundtrip.mjs", base, unique()], kit))
    return told


def test_reads_what_the_server_can_do(seen: dict[str, Any]) -> None:
    assert (seen["fhirVersion"], seen["canSearch"]) == ("4.0.1", True)


def test_creates_updates_patches_and_reads_versions(seen: dict[str, Any]) -> None:
    assert seen["versions"] == ["1", "2", "3", "1"]
    assert seen["family"] == "Patched"
    assert seen["history"] == ["PATCH", "PUT", "POST"]


def test_searches_and_follows_pages_to_the_end(seen: dict[str, Any]) -> None:
    assert (seen["pages"], seen["found"], seen["distinct"]) == (3, 5, 5)
    assert seen["posted"] == 2


def test_sends_batches_transactions_and_operations(seen: dict[str, Any]) -> None:
    assert seen["transaction"] == ["201", "201"]
    assert seen["batch"] is True
    assert seen["everything"] == ["Patient"]
    assert seen["validate"] == "OperationOutcome"


def test_refusals_reach_the_caller_as_outcomes(seen: dict[str, Any]) -> None:
    assert seen["invalid"] == {"status": 422, "code": "code-invalid", "expression": ["Patient.gender"]}
    assert (seen["deleted"]["status"], seen["deleted"]["code"]) == (410, "deleted")
    assert (seen["unknown"]["status"], seen["unknown"]["code"]) == (404, "not-found")


def test_the_lock_file_names_no_registry() -> None:
    lock = json.loads((HERE / "package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}

    assert packages
    assert all("integrity" in entry and "resolved" not in entry for entry in packages.values())
