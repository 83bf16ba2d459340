"""Every store, one after the other, as the fixture ``store``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.store_world import open_sqlite


@pytest.fixture(params=["sqlite-standard", "sqlite-guomi"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    opened = open_sqlite(tmp_path, request.param.partition("-")[2])
    yield opened
    # Whatever a test did, it must leave a sound store behind.
    findings = await opened.check() if await opened.ready() else []
    await opened.close()
    assert findings == []
