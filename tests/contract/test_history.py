"""What history promises: every version once, newest first, exact totals, times as asked."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from fhir_server.search.predicate import (
    EVERYTHING,
    NOTHING,
    All,
    AnyOf,
    Chain,
    Has,
    IdIn,
    Not,
    ReferenceIs,
    TokenIs,
    Where,
)
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import Change, HistoryQuery
from fhir_server.store.mongo.records import Opener as MongoOpener
from fhir_server.store.sqlite.records import Opener as SqliteOpener
from fhir_server.store.sqlite.store import SqliteStore
from tests.contract.store_world import ALL, change, put

OPEN = Where("label", TokenIs("s", "open"))


@pytest.fixture
async def told(store: Any) -> Any:
    """Two patients and a group: a1 at 10, b1 at 20, a2 at 30, g1 at 40, a3 (deleted) at 50, b2 at 60."""
    is_open = [["label", "s", "open"]]
    await put(store, change("Patient", "a", 1, updated=10, tokens=is_open))
    await put(store, change("Patient", "b", 1, updated=20))
    await put(store, change("Patient", "a", 2, updated=30))
    await put(store, change("Group", "g", 1, updated=40, tokens=is_open))
    await put(store, change("Patient", "a", 3, "DELETE", updated=50))
    await put(store, change("Patient", "b", 2, updated=60, tokens=is_open))
    return store


async def walk(store: Any, visibility: Visibility = ALL, **query: Any) -> list[str]:
    """Read all pages of two and check that each tells the same total."""
    seen: list[str] = []
    before, total = None, None
    while True:
        asked = HistoryQuery(**{"type": None, "count": 2, **query}, before=before)
        page = await store.history(visibility, asked)
        seen += [f"{each.id}{each.version}" for each in page.versions]
        assert total in (None, page.total)
        total, before = page.total, page.next
        if before is None:
            assert total == len(seen)
            return seen


async def test_tells_all_versions_newest_first(told: Any) -> None:
    assert await walk(told) == ["b2", "a3", "g1", "a2", "b1", "a1"]
    assert await walk(told, type="Patient") == ["b2", "a3", "a2", "b1", "a1"]
    assert await walk(told, type="Patient", id="a") == ["a3", "a2", "a1"]
    assert await walk(told, type="Group", id="g") == ["g1"]


async def test_tells_nothing_of_what_never_was(told: Any) -> None:
    assert await walk(told, type="Device") == []
    assert await walk(told, type="Patient", id="nobody") == []


async def test_since_includes_its_instant(told: Any) -> None:
    assert await walk(told, since=40) == ["b2", "a3", "g1"]
    assert await walk(told, since=41) == ["b2", "a3"]
    assert await walk(told, type="Patient", since=30) == ["b2", "a3", "a2"]
    assert await walk(told, since=61) == []


async def test_at_tells_what_was_current_at_some_time_within(told: Any) -> None:
    assert await walk(told, at=(25, 25)) == ["b1", "a1"]
    assert await walk(told, at=(25, 30)) == ["a2", "b1", "a1"]
    assert await walk(told, at=(30, 35)) == ["a2", "b1"]
    assert await walk(told, at=(70, 80)) == ["b2", "a3", "g1"]
    assert await walk(told, at=(0, 9)) == []


async def test_judges_every_version_by_its_own_content_and_a_deletion_by_what_it_deleted(told: Any) -> None:
    only_open = Visibility("test", default=Where("label", TokenIs("s", "open")))
    only_closed = Visibility("test", default=Where("label", TokenIs("s", "closed")))

    assert await walk(told, only_open) == ["b2", "g1", "a1"]
    assert await walk(told, only_open, type="Patient") == ["b2", "a1"]
    assert await walk(told, only_closed) == []


async def test_judges_what_an_old_version_is_linked_to_as_it_is_now(store: Any) -> None:
    """A right by way of another record ends, and begins, with that record's present state."""
    opened, closed = (
        change("Patient", "p", n, tokens=[["label", "s", word]]) for n, word in ((1, "open"), (2, "closed"))
    )
    await put(store, opened, change("Patient", "q", tokens=[["label", "s", "open"]]))
    for version, patient in ((1, "p"), (2, "q")):
        await put(store, change("Observation", "o", version, references=[["subject", f"Patient/{patient}"]]))
    through = Visibility("test", {"Observation": Chain("subject", "Patient", OPEN)})
    referred = Visibility("test", {"Patient": Has("Observation", "subject", EVERYTHING)})

    async def versions(visibility: Visibility, type_: str, id_: str) -> list[int]:
        page = await store.history(visibility, HistoryQuery(type_, id_))
        return [version.version for version in page.versions]

    assert await versions(through, "Observation", "o") == [2, 1]
    assert await versions(referred, "Patient", "q") == [1]
    assert await versions(referred, "Patient", "p") == []
    await put(store, closed)
    assert await versions(through, "Observation", "o") == [2]
    await put(store, change("Patient", "q", 2, "DELETE"))
    assert await versions(through, "Observation", "o") == []


PREDICATES = [
    OPEN,
    Not(OPEN),
    AnyOf((OPEN, Where("subject", ReferenceIs(("Patient/1", "Patient/2"))))),
    Where("subject", ReferenceIs(("Patient/1",))),
    Chain("subject", "Patient", OPEN),
    Has("Observation", "subject", OPEN),
    All((OPEN, Not(Where("subject", ReferenceIs(("Patient/0",)))))),
    IdIn(("1", "3")),
    EVERYTHING,
    NOTHING,
]


def some_versions(seed: int) -> list[Change]:
    """Return versions of a few patients and observations, with gaps, deletions and things brought back."""
    random = Random(seed)
    made: list[Change] = []
    versions: dict[tuple[str, str], int] = {}
    for moment in range(60):
        type_, id_ = random.choice(("Patient", "Observation")), str(random.randrange(5))
        version = versions.get((type_, id_), 0) + 1
        is_gone = bool(made) and any(
            (each.type, each.id, each.version) == (type_, id_, version - 1) and each.method == "DELETE"
            for each in made
        )
        versions[type_, id_] = version
        if version > 1 and not is_gone and random.random() < 0.2:
            made.append(change(type_, id_, version, "DELETE", updated=moment))
            continue
        tokens = [["label", "s", "open"]] if random.random() < 0.5 else []
        references = [["subject", f"Patient/{random.randrange(5)}"]] if type_ == "Observation" else []
        made.append(change(type_, id_, version, updated=moment, tokens=tokens, references=references))
    return made


@pytest.mark.parametrize("seed", range(4))
async def test_a_limited_history_is_that_of_all_its_resources_together(store: Any, seed: int) -> None:
    """What the index decides and what is judged together is what each resource says alone."""
    random = Random(seed)
    for each in some_versions(seed):
        await put(store, each)
    for _ in range(25 if isinstance(store, SqliteStore) else 8):
        limits = {"Patient": random.choice(PREDICATES), "Observation": random.choice(PREDICATES)}
        visibility = Visibility("test", limits)
        times: dict[str, Any] = random.choice(
            ({}, {"since": random.randrange(60)}, {"at": (random.randrange(60), 59)}, {"at": (10, 20)})
        )
        type_ = random.choice((None, "Patient", "Observation"))
        alone = [
            (version.updated, version.type, version.id, version.version)
            for name in ("Patient", "Observation")
            if type_ in (None, name)
            for id_ in range(5)
            for version in (
                await store.history(visibility, HistoryQuery(name, str(id_), count=100, **times))
            ).versions
        ]
        together = await store.history(visibility, HistoryQuery(type_, count=100, **times))
        told = [(each.updated, each.type, each.id, each.version) for each in together.versions]

        assert told == sorted(alone, reverse=True), (limits, times, type_)
        assert together.total == len(alone)
        walked = await walk(store, visibility, type=type_, **times)
        assert walked == [f"{id_}{version}" for _, _, id_, version in told]


async def test_a_limited_history_opens_nothing_that_was_never_changed_and_is_not_shown(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of other people's records cost a narrow right nothing but the index."""
    await put(
        store,
        *(
            change("Observation", str(n), updated=n, references=[["subject", f"Patient/{n % 100}"]])
            for n in range(1000)
        ),
    )
    opened: list[object] = []
    opener = SqliteOpener if isinstance(store, SqliteStore) else MongoOpener
    stored: Any = opener.stored

    def counted(self: object, *row: Any) -> Any:
        opened.append(row)
        return stored(self, *row)

    monkeypatch.setattr(opener, "stored", counted)
    mine = Visibility("test", {"Observation": Where("subject", ReferenceIs(("Patient/7",)))})
    page = await store.history(mine, HistoryQuery("Observation", count=3))

    assert ([each.id for each in page.versions], page.total) == (["907", "807", "707"], 10)
    assert len(opened) == 3


async def test_a_page_of_none_still_counts(told: Any) -> None:
    page = await told.history(ALL, HistoryQuery(None, count=0))

    assert (page.versions, page.total, page.next) == ([], 6, None)


async def test_reads_the_bytes_of_an_old_version(told: Any) -> None:
    old = await told.read_version(ALL, "Patient", "a", 1)
    gone = await told.read_version(ALL, "Patient", "a", 3)

    assert old.body == change("Patient", "a", 1, updated=10, tokens=[["label", "s", "open"]]).body
    assert gone.deleted
    assert await told.read_version(ALL, "Patient", "a", 4) is None
    assert await told.read_version(ALL, "Patient", "a", 0) is None
