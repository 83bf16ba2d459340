"""The tutorial does what it says: its files are written, its commands run, its outputs come out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "mapping-tutorial.md"
TEXT = PAGE.read_text(encoding="utf-8")
_FILE = r"<!-- file: (?P<file>\S+) -->\n```\w+\n(?P<content>.*?)```"
_CONSOLE = r"```console\n(?P<console>.*?)```"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with a ``fhir-map`` on the path that is this checkout's."""
    made = tmp_path_factory.mktemp("tutorial")
    command = made / "bin" / "fhir-map"
    command.parent.mkdir()
    program = f'exec "{sys.executable}" -c "from mappings.cli import main; main()" "$@"'
    command.write_text(f"#!/bin/sh\n{program}\n", encoding="utf-8")
    command.chmod(0o755)
    return made


def run(command: str, folder: Path) -> str:
    environment = {
        **os.environ,
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(PAGE.parents[1]),
        "COLUMNS": "120",
        "PYTHONIOENCODING": "utf-8",
    }
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=folder, env=environment, capture_output=True, timeout=120, check=False
    )
    return (done.stdout + done.stderr).decode()


def test_every_command_of_the_page_says_what_the_page_says(folder: Path) -> None:
    asked = 0
    for part in re.finditer(f"{_FILE}|{_CONSOLE}", TEXT, re.DOTALL):
        if part["file"]:
            (folder / part["file"]).parent.mkdir(exist_ok=True)
            (folder / part["file"]).write_text(part["content"], encoding="utf-8")
            continue
        output = ""
        for line in part["console"].splitlines():
            if line.startswith("$ "):
                output = run(line[2:], folder)
                asked += 1
            else:
                assert line in output.splitlines(), output
    assert asked >= 8

    before, after = ((folder / name).read_text("utf-8-sig") for name in ("clinic_visits.csv", "again.csv"))
    assert after.replace("\r\n", "\n") == before.replace("2001/7/15", "2001-07-15")


def test_the_command_that_sends_is_spelled_as_the_program_has_it() -> None:
    [command] = re.findall(r"```sh\nfhir-map (.*?)\n```", TEXT)
    page = (PAGE.parent / "mappings.md").read_text(encoding="utf-8")

    unknown = [word for word in command.split() if word.startswith("--") and word not in page]
    assert unknown == []
