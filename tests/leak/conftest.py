"""One guarded server for the tests of a file; the tests that write make resources of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import engines
from tests.leak.house import Guarded, guarded


@pytest.fixture(scope="module")
def house(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Serve the two patients."""
    with engines.using(engine), guarded(tmp_path_factory.mktemp("data")) as server:
        yield server


@pytest.fixture(scope="module")
def twin(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Serve the same without the hidden patient: what every caller must take ``house`` for."""
    with engines.using(engine), guarded(tmp_path_factory.mktemp("twin"), hidden=False) as server:
        yield server
