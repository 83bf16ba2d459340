"""One running server for the tests of a file; a test that needs other settings starts its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests import engines
from tests.http.samples import patient
from tests.http.server import Server, served


@pytest.fixture(scope="module")
def server(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve from an empty store."""
    with engines.using(engine), served(tmp_path_factory.mktemp("data")) as running:
        yield running


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers with settings of their own, each on an empty store."""
    with ExitStack() as stack:
        count = iter(range(100))
        yield lambda **changes: stack.enter_context(served(tmp_path / f"data-{next(count)}", **changes))


@pytest.fixture
def patient_id(server: Server) -> str:
    """Create a Patient."""
    return str(server.create(patient())["id"])
