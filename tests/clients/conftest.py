"""A served store behind a real socket, for clients that others wrote."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.http.process import Process


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve an empty store; return the address of the service."""
    process = Process(tmp_path_factory.mktemp("clients") / "data")
    assert process.run("init").returncode == 0
    process.start()
    yield process.base
    # uvicorn, having shut down, ends by the signal that told it to.
    assert process.stop() in {0, -signal.SIGTERM}
