"""Every store, one after the other, as the fixture ``store``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.store_world import STORES, a_store


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    async with a_store(request.param, tmp_path) as opened:
        yield opened
