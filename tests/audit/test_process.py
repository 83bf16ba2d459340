"""Real processes: kill -9 under load loses no event whose answer was sent; every worker has its chain."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.audit.world import checked, written
from tests.http.process import Process

pytestmark = pytest.mark.every_engine


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    """Make a store; the test starts and ends the server."""
    made = Process(tmp_path / "data", workers=2)
    assert made.run("init").returncode == 0
    yield made
    made.stop()


def read_until_cut_off(base: str, name: str, answered: list[str], enough: threading.Event) -> None:
    """Send requests as fast as the server answers; note the ids of those that were answered."""
    with httpx.Client(base_url=base, timeout=10) as client:
        try:
            for number in range(100_000):
                id_ = f"{name}-{number}"
                client.get("/Patient?_count=1", headers={"x-request-id": id_})
                answered.append(id_)
                if len(answered) > 150:
                    enough.set()
        except httpx.TransportError:
            return


def test_kill_minus_nine_under_load_loses_no_event_whose_answer_was_sent(process: Process) -> None:
    answered: list[str] = []
    for life in range(2):
        enough = threading.Event()
        start = len(answered)
        process.start()
        threads = [
            threading.Thread(target=read_until_cut_off, args=(process.base, f"{life}-{n}", answered, enough))
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        enough.wait(30)
        process.kill()
        for thread in threads:
            thread.join()
        assert len(answered) > start

    recorded = {entry.request for entry in written(process.folder)}
    assert set(answered) <= recorded

    process.start()
    with httpx.Client(base_url=process.base, timeout=10) as client:
        assert client.get("/Patient?_count=1").status_code == 200
    process.stop()
    report = checked(process.folder)
    assert report.findings == ()
    assert report.entries > len(answered)
