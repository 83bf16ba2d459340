"""The story of docs/consent-in-use.md, run as it stands: a served store, three clients, real tokens."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fhirclient.client import FHIRClient
from typer.testing import CliRunner

from fhir_server.cli import app
from tests import engines
from tests.http.process import Process

pytestmark = pytest.mark.every_engine

PAGE = (Path(__file__).parents[2] / "docs" / "consent-in-use.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def _command(arguments: list[str], *, text: bool) -> str:
    """Run ``fhir-server`` in this process: some twenty starts of Python would take a minute."""
    assert arguments[0] == "fhir-server"
    assert text
    ended = CliRunner().invoke(app, arguments[1:])
    assert ended.exit_code == 0, (arguments, ended.output, ended.exception)
    return ended.stdout


def _hang_up(values: Iterable[Any]) -> None:
    """Close the connections that the page leaves to the end of its program."""
    for each in values:
        if isinstance(each, httpx.Client):
            each.close()
        elif isinstance(each, FHIRClient):
            each.server.session.close()


def test_the_story_happens_as_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process(tmp_path / "data", options=(), FHIR_CONSENT_POLICY="deny")
    assert process.run("init").returncode == 0
    process.start()
    for name, value in engines.environment(process.folder).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FHIR_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("FHIR_PORT", str(process.port))
    monkeypatch.setenv("FHIR_BASE_URL", process.base)
    monkeypatch.setattr(subprocess, "check_output", _command)
    told: dict[str, Any] = {"__name__": "story"}
    try:
        assert len(BLOCKS) > 8
        exec(compile("\n".join(BLOCKS), "docs/consent-in-use.md", "exec"), told)
    finally:
        _hang_up(told.values())
        code = process.stop()
    assert code in {0, -signal.SIGTERM}


@pytest.mark.parametrize("who", ["clinicians (给医务人员)", "patients (给患者)"])
def test_the_page_speaks_to_clinicians_and_patients_in_both_languages(who: str) -> None:
    section = PAGE.partition(f"## For {who}\n")[2].partition("\n## ")[0]

    assert len(re.findall(r"[一-鿿]", section)) > 200
    assert len(re.findall(r"[A-Za-z]+", section)) > 100
