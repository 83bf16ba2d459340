"""Every store, one after the other, as the fixture ``store``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.store_world import STORES, drop_store, open_store


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    opened = await open_store(request.param, tmp_path)
    yield opened
    # Whatever a test did, it must leave a sound store behind.
    findings = await opened.check() if await opened.ready() else []
    await opened.close()
    drop_store(request.param, tmp_path)
    assert findings == []
