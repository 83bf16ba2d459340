"""The commands on a real store: made, loaded, killed while loading, checked, re-keyed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fhir_server.cli.loading.journal import NAME
from tests.unit.cli.house import House

MANY = 2000


def patient(number: int, **more: Any) -> bytes:
    tree = {"resourceType": "Patient", "id": f"p{number}", "name": [{"text": f"示例{number}"}], **more}
    return json.dumps(tree).encode() + b"\n"


class RealHouse(House):
    """A house whose parts are the real ones."""

    def ends(self, *arguments: str | Path, code: int = 0) -> str:
        """Run a command on the data folder, see that it ends with ``code``, and return what it printed."""
        ended = self.run(*arguments, "--data", self.data)

        assert ended.code == code, ended.out + ended.err
        assert "Traceback" not in ended.err
        return ended.out + ended.err

    def told(self) -> dict[str, Any]:
        return dict(json.loads(self.ends("info", "--json")))


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RealHouse:
    """Name a data folder that is not there yet, before the real parts."""
    built = RealHouse(tmp_path / "data", monkeypatch, capsys)
    built.forget_settings()
    return built


@pytest.mark.parametrize("suite", ["standard", "guomi"])
def test_what_is_loaded_is_counted_sound_and_survives_a_change_of_keys(
    house: RealHouse, tmp_path: Path, suite: str
) -> None:
    (tmp_path / "in.ndjson").write_bytes(b"".join(map(patient, range(50))))
    house.ends("init", "--suite", suite)

    assert "Loaded 50 resources" in house.ends("load", tmp_path / "in.ndjson")
    assert house.told()["resources"] == {"Patient": 50}
    # The patients, and the record that says that the store's Consents are classed.
    assert "Key 2 seals now; 51 payloads" in house.ends("keys", "rotate")
    assert "Retired: 1." in house.ends("keys", "retire")
    assert house.told()["keys"] == {"active": 2, "all": [2]}
    assert "Sound" in house.ends("check")


def test_what_breaks_a_rule_of_r4_is_refused_and_the_rest_is_loaded(house: RealHouse, tmp_path: Path) -> None:
    (tmp_path / "in.ndjson").write_bytes(patient(1) + patient(2, gender="mujer") + patient(3, nickname="x"))
    house.ends("init")

    printed = house.ends("load", tmp_path / "in.ndjson", "--report", tmp_path / "report", code=1)

    report = json.loads((tmp_path / "report").read_text(encoding="utf-8"))
    assert [(each["where"], each["status"]) for each in report["refused"]] == [
        ("line 2", 422),
        ("line 3", 422),
    ]
    assert "Patient.gender" in printed
    assert house.told()["resources"] == {"Patient": 1}


def test_the_demo_data_loads_whole_and_makes_no_second_hospital(house: RealHouse) -> None:
    house.ends("init")
    house.ends("load", "--demo")

    counts = house.told()["resources"]
    assert counts["Patient"] == counts["Coverage"] == 41
    # Two hospitals, one insurer, and the departments that treat somebody.
    assert 4 < counts["Organization"] <= 3 + 2 * 6
    assert counts["Practitioner"] == counts["PractitionerRole"] == counts["Organization"] - 3


def test_a_load_that_is_killed_goes_on_and_loads_everything_once(house: RealHouse, tmp_path: Path) -> None:
    file = tmp_path / "in.ndjson"
    file.write_bytes(b"".join(map(patient, range(MANY))))
    house.ends("init")
    command = [sys.executable, "-m", "fhir_server.cli", "load", str(file), "--data", str(house.data)]
    loading = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    journal = house.data / NAME
    while not journal.exists() or journal.stat().st_size < 300:
        assert loading.poll() is None, "the load ended before it could be killed"
        time.sleep(0.002)
    loading.send_signal(signal.SIGKILL)
    loading.wait()

    printed = house.ends("load", file)

    told = house.told()
    assert told["resources"] == {"Patient": MANY}
    assert told["versions"] <= MANY + 8 * 100, "at most what was under way is loaded twice"
    assert "; 0 pieces were loaded before" not in printed
    assert "Sound" in house.ends("check")


def test_another_houses_keys_open_nothing(house: RealHouse, tmp_path: Path) -> None:
    house.ends("init")
    house.run("init", "--data", tmp_path / "b")

    assert "key" in house.ends("info", "--keys", tmp_path / "b/keys", code=1)
