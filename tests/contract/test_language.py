"""The whole search language in a store: what it finds is what ``search/match.py`` says, on real records."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from fhir_server.search.query import Query
from tests.contract.store_world import ALL, ENGINES, KINDS, change, drop_store, open_store, put
from tests.unit.search.records import ASKED, RECORDS, meant

Store = tuple[asyncio.Runner, Any]


@pytest.fixture(scope="module", params=ENGINES)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Keep the records in a store, each by the values that were extracted from it."""
    folder = tmp_path_factory.mktemp("language")
    with asyncio.Runner() as runner:
        opened = runner.run(open_store(request.param, folder))
        kinds = (*KINDS, "composites")
        written = [
            change(type_, id_, **{kind: getattr(values, kind) for kind in kinds})
            for type_, id_, values in RECORDS
        ]
        runner.run(put(opened, *written))
        yield runner, opened
        assert runner.run(opened.check()) == []
        runner.run(opened.close())
    drop_store(request.param, folder, large=True)


@pytest.mark.parametrize(("type_", "name", "value", "ids"), ASKED)
def test_each_way_of_asking_finds_and_leaves(
    store: Store, type_: str, name: str, value: str, ids: str
) -> None:
    runner, opened = store

    page = runner.run(opened.search(ALL, Query(type_, meant(type_, name, value), total="accurate")))

    assert [match.id for match in page.matches] == ids.split()
    assert page.total == len(page.matches)
