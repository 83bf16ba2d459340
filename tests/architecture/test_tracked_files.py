"""What is committed holds nothing of the machine it was made on."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.architecture.sizes import ROOT

MACHINE_PATH = re.compile(r"(?<![\w.~/-])/(?:work|tmp|root|home/\w+|Users/\w+)/")
# fhir-registry.smarthealthit.org is in the canonical address of the extension that names OAuth endpoints.
PACKAGE_HOST = re.compile(
    r"https?://(?!fhir-registry\.smarthealthit\.org)[^/\s\"')]*(?:pypi|registry|mirror|artifactory|nexus)[^/\s]*",
    re.IGNORECASE,
)
INDEX_OPTION = re.compile(r"--(?:extra-)?index-url|--find-links|--trusted-host|(?<!\w)@ https?:|://")
SECRET = re.compile(r"-----BEGIN (?:\w+ )?PRIVATE KEY-----|\bgh[ps]_\w{20,}|\bAKIA[0-9A-Z]{16}\b")
THIS = Path(__file__).relative_to(ROOT).as_posix()


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:  # an unpacked source archive has no repository: everything in it was committed
        return [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py") if ".venv" not in path.parts]
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def lines_with(pattern: re.Pattern[str], names: list[str]) -> list[str]:
    found = []
    for name in names:
        text = (ROOT / name).read_bytes().decode("utf-8", errors="replace")
        if pattern.search(text):
            found += [f"{name}: {line[:120]}" for line in text.splitlines() if pattern.search(line)]
    return found


@pytest.mark.parametrize("pattern", [PACKAGE_HOST, SECRET], ids=["package host", "secret"])
def test_no_tracked_file_holds_it(pattern: re.Pattern[str]) -> None:
    assert lines_with(pattern, [name for name in tracked() if name != THIS]) == []


def test_no_tracked_file_outside_the_tests_names_a_folder_of_a_machine() -> None:
    assert lines_with(MACHINE_PATH, [name for name in tracked() if not name.startswith("tests/")]) == []


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_file_says_what_and_not_from_where(name: str) -> None:
    assert lines_with(INDEX_OPTION, [name]) == []


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_every_locked_package_has_a_digest(name: str) -> None:
    blocks = re.split(r"^(?=\S)", (ROOT / name).read_text(encoding="utf-8"), flags=re.MULTILINE)

    assert [block[:40] for block in blocks if block and "--hash=sha256:" not in block] == []


def test_what_the_server_runs_with_is_what_the_tests_run_with() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^(\S+==\S+)", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE))

    assert pins("requirements.lock") <= pins("requirements-dev.lock")


@pytest.mark.parametrize(
    ("pattern", "planted"),
    [
        (MACHINE_PATH, 'open("/work/main/data")'),
        (MACHINE_PATH, "cd /home/someone/project"),
        (PACKAGE_HOST, "https://pypi.example.org/simple"),
        (INDEX_OPTION, "--index-url https://example.org"),
        (SECRET, "-----BEGIN PRIVATE KEY-----"),
    ],
)
def test_a_planted_line_is_found(pattern: re.Pattern[str], planted: str) -> None:
    assert pattern.search(planted)


@pytest.mark.parametrize("harmless", ["https://hl7.org/fhir/R4/work/", "../tmp/x", "Encounter/tmp/"])
def test_a_harmless_line_is_not(harmless: str) -> None:
    assert not MACHINE_PATH.search(harmless)


def test_the_ci_script_is_strict_and_ends_with_the_tests() -> None:
    script = (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()

    assert "set -euo pipefail" in script
    assert [line for line in script if line.startswith("make ")] == ["make lint", "make test"]
    assert script[-1] == "make test"
