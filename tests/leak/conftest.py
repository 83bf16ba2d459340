"""One guarded server for the tests of a file; the tests that write make resources of their own."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.leak.house import Guarded, guarded


@pytest.fixture(scope="module", autouse=True)
def _logging_kept() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Serve the two patients."""
    with guarded(tmp_path_factory.mktemp("data")) as server:
        yield server


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Serve the same without the hidden patient: what every caller must take ``house`` for."""
    with guarded(tmp_path_factory.mktemp("twin"), hidden=False) as server:
        yield server
