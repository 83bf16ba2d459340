"""A store that is older than policy classes hides what it cannot judge, until it was reindexed."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from fhir_server.faults import Fault, Kind
from fhir_server.search.predicate import EVERYTHING, About, Not
from fhir_server.search.query import Query
from fhir_server.search.subjects import policy
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import HistoryQuery, Reclass, Slice
from fhir_server.store.sqlite import schema
from tests.contract.store_world import ALL, change, open_sqlite, put

CLASSLESS = 5
"""The last schema version that knew no policy classes."""
CONSENTED = Visibility("test", default=EVERYTHING, consents={"Observation": Not(About(frozenset({1})))})


def test_the_migration_leaves_open_what_only_the_bodies_say() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for step in schema.MIGRATIONS[:CLASSLESS]:
        step(connection)
    types = {"Patient": 1, "Observation": 2, "Organization": 3, "Device": 4}
    connection.executemany("INSERT INTO type VALUES(?, ?)", [(t, name) for name, t in types.items()])
    for number in types.values():
        first = schema.type_range(number)[0]
        for offset, state in enumerate((schema.LIVE, schema.DELETED)):
            connection.execute("INSERT INTO head VALUES(?, ?, 1, 1, 1, ?)", (first + offset, number, state))

    for step in schema.MIGRATIONS[CLASSLESS:]:
        step(connection)

    rows = connection.execute("SELECT t.name, h.state, h.pat FROM head h JOIN type t ON t.t=h.sk>>40")
    found = {(name, state): patient for name, state, patient in rows}
    live = {name: found[name, schema.LIVE] for name in types}
    assert live == {"Patient": None, "Observation": None, "Organization": 0, "Device": None}
    assert {found[name, schema.DELETED] for name in types} == {0}
    connection.close()


RENEWED = {*policy().about, "Bundle"}


def test_what_newly_has_patients_is_marked_and_nothing_else() -> None:
    """The step after which a Task is about whom it is for; ``_renew_subjects`` names the types."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    at = [step.__name__ for step in schema.MIGRATIONS].index("_renew_subjects")
    for step in schema.MIGRATIONS[:at]:
        step(connection)
    types = {"Patient": 1, "Observation": 2, **{each: 3 + n for n, each in enumerate(sorted(RENEWED))}}
    for name, number in types.items():
        connection.execute("INSERT INTO type VALUES(?, ?)", (number, name))
        for offset, state in enumerate((schema.LIVE, schema.DELETED)):
            sk = schema.type_range(number)[0] + offset
            connection.execute("INSERT INTO head VALUES(?, ?, 1, 1, 1, ?, 7)", (sk, sk, state))

    for step in schema.MIGRATIONS[at:]:
        step(connection)

    rows = connection.execute(
        "SELECT t.name, h.state FROM head h JOIN type t ON t.t=h.sk>>40 WHERE h.pat IS NULL"
    )
    assert set(rows.fetchall()) == {(name, schema.LIVE) for name in RENEWED}
    connection.close()


@pytest.fixture
async def older(tmp_path: Path) -> Any:
    """Open a store as the migration leaves it, in which ``b`` forbids what it may."""
    store = open_sqlite(tmp_path)
    about = {"both": ["a", "b"], "a": ["a"], "b": ["b"], "none": []}
    await put(store, *(change("Observation", id_, patients=some) for id_, some in about.items()))
    await store.commit([], (), [Reclass("b", 0, (Slice(-9, 2**60, b"no"),))])
    connection = sqlite3.connect(tmp_path / "data" / "fhir.sqlite", isolation_level=None)
    connection.execute("UPDATE head SET pat=NULL")
    connection.execute("DELETE FROM subject")
    connection.close()
    yield store
    await store.close()


async def rebuild(store: Any) -> None:
    after: int | None = 0
    while after is not None:
        after = (await store.parameters.rebuild("Observation", after)).next


async def found(store: Any) -> set[str]:
    page = await store.search(CONSENTED, Query("Observation", total="accurate"))
    assert page.total == len(page.matches)
    return {match.id for match in page.matches}


async def test_until_it_is_reindexed_nothing_is_shown_by_consent(older: Any) -> None:
    ways = [
        lambda: older.read(CONSENTED, "Observation", "a"),
        lambda: older.read_many(CONSENTED, [("Observation", "a")]),
        lambda: older.search(CONSENTED, Query("Observation")),
        lambda: older.search(CONSENTED, Query("Observation", count=0, total="accurate")),
        lambda: anext(older.scan(CONSENTED, "Observation")),
    ]

    for way in ways:
        with pytest.raises(Fault, match="reindex") as fault:
            await way()
        assert fault.value.kind is Kind.UNAVAILABLE
    # Whom consent does not concern sees all, and old versions say themselves whom they are about.
    assert len((await older.search(ALL, Query("Observation"))).matches) == 4
    assert (await older.history(CONSENTED, HistoryQuery("Observation", "b"))).versions == []
    assert any("reindex" in finding for finding in await older.check())


async def test_reindexing_finds_out_whom_everything_is_about(older: Any) -> None:
    await rebuild(older)

    assert await found(older) == {"a", "none"}
    assert await older.read(CONSENTED, "Observation", "both") is None
    assert await older.check() == []


async def test_a_write_says_whom_it_is_about(older: Any) -> None:
    for id_, about in {"both": ["b"], "a": ["a"], "b": ["a"], "none": ["a", "b"]}.items():
        await put(older, change("Observation", id_, 2, patients=about))

    assert await found(older) == {"a", "b"}
