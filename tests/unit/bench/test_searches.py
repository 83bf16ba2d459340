"""The searches of the large bench: each row asks for something that is there, and is timed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from itertools import islice
from pathlib import Path

import pytest

from fhir_server.config import Settings
from fhir_server.crypto.keys import KeyRing
from fhir_server.resources.codec import encode
from fhir_server.search.extract import Extractor
from fhir_server.search.parameters import CLINICAL_DATE
from fhir_server.store.api import Change
from fhir_server.store.sqlite.store import SqliteStore
from tests.bench import data, searches


@pytest.fixture
async def filled(tmp_path: Path) -> AsyncIterator[tuple[SqliteStore, Settings]]:
    """Store three hundred resources of the load."""
    settings = Settings(data=tmp_path / "data")
    extractor = Extractor(settings.zone, settings.base_url)
    store = SqliteStore.open(
        settings.data,
        KeyRing.create(settings.key_folder, "standard"),
        extractor=extractor.from_body,
        matcher=lambda *_: True,
        clinical=CLINICAL_DATE,
    )
    changes = []
    for group in islice(data.transactions(), 3):
        for entry in data.placed_entries(group):
            tree = json.loads(entry.json)
            body = encode({"resourceType": entry.type, "id": entry.uuid, **tree})
            values = extractor.extract(tree)
            changes.append(Change(entry.type, entry.uuid, 1, 1, "PUT", body, values))
    await store.commit([store.prepare(change) for change in changes])
    yield store, settings
    await store.close()


async def test_every_row_finds_something(filled: tuple[SqliteStore, Settings]) -> None:
    rows = await searches.rows(*filled)

    for row in rows:
        assert any([(await search()).matches for search in row.searches]), row.name
    assert len({row.name for row in rows}) == len(rows) > 15


async def test_a_patient_is_found_by_identifier_alone(filled: tuple[SqliteStore, Settings]) -> None:
    [row] = [row for row in await searches.rows(*filled) if row.name == "Patient?identifier"]

    assert [len((await search()).matches) for search in row.searches] == [1] * len(row.searches)


async def test_a_stopped_store_is_measured_by_its_folder(
    filled: tuple[SqliteStore, Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, settings = filled
    await store.close()
    monkeypatch.setattr(searches, "_ROUNDS", 2)
    said: list[str] = []

    figures = await searches.measured(settings.data, said.append)

    assert len(figures) == 2 * len(said)
    assert all(figure.value > 0 for figure in figures)
    assert {figure.unit for figure in figures} == {"ms"}
