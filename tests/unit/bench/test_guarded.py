"""What tokens and audit cost is compared round by round, for one patient whose rights are real."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fhir_server.access.bearer import Bearer, Trust
from fhir_server.app import open_service
from fhir_server.config import Settings
from fhir_server.faults import Fault
from tests.bench import data
from tests.bench.checks import AnswerError
from tests.bench.guarded import Mine, check_rights, compared, issue
from tests.bench.population import settle
from tests.bench.servers import Server
from tests.unit.bench.serving import served

_POPULATION = settle(data.transactions(), 3)


def test_the_share_is_the_median_of_the_rounds() -> None:
    rate, share = compared("reads", [100.0, 200.0, 100.0], [90.0, 100.0, 85.0])

    assert (rate.value, share.value) == (90.0, 0.85)
    assert (rate.aim, share.met) == (None, True)
    assert compared("reads", [100.0], [79.0])[1].met is False


def test_all_that_is_read_is_of_one_patient() -> None:
    mine = Mine.of(_POPULATION)
    by_path = {f"/fhir/{entry.type}/{entry.uuid}": entry for entry in _POPULATION.entries}

    assert len(mine.reads) > 20
    assert f"/fhir/Patient/{mine.patient}" in mine.reads
    others = [by_path[path] for path in mine.reads if not path.startswith("/fhir/Patient/")]
    assert all(f"Patient/{mine.patient}".encode() in entry.json for entry in others)
    assert all(mine.patient in path for path in mine.searches)


@pytest.mark.parametrize("wrong", ["leaks", "hides", "asks nobody"])
def test_a_server_that_guards_nothing_is_not_measured(wrong: str, tmp_path: Path) -> None:
    mine = Mine.of(_POPULATION)
    statuses = {"leaks": (200, 200, 401), "hides": (404, 404, 401), "asks nobody": (200, 404, 200)}[wrong]
    answers = iter(statuses)

    def answer(_line: bytes) -> bytes:
        return b"HTTP/1.1 %d X\r\ncontent-length: 0\r\n\r\n" % next(answers)

    with served(answer) as (port, _), pytest.raises(AnswerError):
        check_rights(Server("x", [], port, "/", tmp_path), mine, _POPULATION, "t")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a store as `fhir-server init` does."""
    made = tmp_path / "store"
    code = "import sys; from fhir_server.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "init", "--data", str(made)]
    subprocess.run(command, check=True, capture_output=True)
    return made


async def test_the_token_is_one_that_the_server_accepts_and_for_that_patient_alone(folder: Path) -> None:
    token = await issue(folder, 8099, "p1")
    settings = Settings.model_validate(
        {"data": folder, "port": 8099, "audit": False, "insecure_no_auth": False, "base_url": ""}
    )
    service = await open_service(settings)
    assert service.house is not None
    await service.house.open()
    actor = await service.house.bearer.actor(f"Bearer {token}".encode())

    assert (actor.patient, actor.client, actor.user) == ("p1", "bench", None)
    trust = Trust("http://other/fhir", "http://other/fhir", service.house.keys.verification)
    with pytest.raises(Fault):
        await Bearer(trust).actor(f"Bearer {token}".encode())
    await service.house.close()
    await service.close()
