"""A server that nobody asks comes to rest; one that does not is told of."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bench import servers
from tests.bench.servers import Server, StartError

Started = Callable[[str], Server]


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Started]:
    """Start programs as servers that count as ready at once."""
    monkeypatch.setattr(servers, "answers", lambda _port, _path: True)
    monkeypatch.setattr(servers, "_WINDOW", 0.3)
    running: list[Server] = []

    def start(program: str) -> Server:
        running.append(Server("x", [sys.executable, "-c", program], 0, "/", tmp_path / "x"))
        running[0].start()
        return running[0]

    yield start
    for server in running:
        server.stop()


def test_waits_until_a_backlog_is_done(started: Started) -> None:
    server = started("import time\nwhile time.process_time() < 0.6: pass\ntime.sleep(60)")
    server.rest()

    assert server._spent() > 0.5


def test_a_server_that_is_paused_and_goes_on_is_waited_for(started: Started) -> None:
    server = started("import time\nwhile time.process_time() < 0.6: pass\ntime.sleep(60)")
    server.pause()
    time.sleep(0.1)
    server.resume()
    server.rest()

    assert server._spent() > 0.5


def test_a_server_that_is_never_done_is_an_error(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "_PATIENCE", 1.0)

    with pytest.raises(StartError, match="still busy"):
        started("while True: pass").rest()
