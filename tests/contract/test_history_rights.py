"""History under rights and consents: earlier versions and deletions tell nothing that the newest hides."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fhir_server.search.predicate import (
    EVERYTHING,
    About,
    Chain,
    Has,
    Not,
    Predicate,
    TokenIs,
    Where,
)
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import HistoryQuery, Reclass, Slice
from tests.contract.store_world import ENGINES, a_store, change, put

OPEN = Where("label", TokenIs("s", "open"))
SECRET = Where("label", TokenIs("s", "secret"))
ALWAYS = (-(10**15), 10**15)


@pytest.fixture(params=ENGINES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    async with a_store(request.param, tmp_path) as opened:
        yield opened


def labelled(label: str) -> dict[str, Any]:
    return {"tokens": [["label", "s", label]]}


def about(target: str) -> dict[str, Any]:
    return {"references": [["subject", target]]}


def consents(**by_type: Predicate) -> Visibility:
    return Visibility("test", default=EVERYTHING, consents=by_type)


async def told(store: Any, view: Visibility, **query: Any) -> list[str]:
    """Return what a history tells, and see that single versions tell the same."""
    page = await store.history(view, HistoryQuery(**{"type": "Note", "count": 500, **query}))
    assert page.total == len(page.versions)
    for each in page.versions:
        assert await store.read_version(view, each.type, each.id, each.version) == each
    return [f"{each.id}{each.version}" for each in page.versions]


async def test_a_consent_hides_the_earlier_versions_of_what_it_hides_now(store: Any) -> None:
    await put(store, change("Note", "a", 1, **labelled("open")), change("Note", "b", 1, **labelled("secret")))
    await put(store, change("Note", "a", 2, **labelled("secret")), change("Note", "b", 2, **labelled("open")))
    view = consents(Note=OPEN)

    assert await told(store, view) == ["b2"]
    assert await told(store, view, id="a") == []
    assert await told(store, view, id="b") == ["b2"]
    assert await store.read_version(view, "Note", "a", 1) is None
    # By right alone each version counts as it was.
    assert await told(store, Visibility("test", {"Note": OPEN})) == ["b2", "a1"]


async def test_a_consent_judges_a_deleted_record_by_what_it_said_last(store: Any) -> None:
    for id_, first, last in (("a", "open", "secret"), ("b", "open", "open")):
        await put(store, change("Note", id_, 1, **labelled(first)))
        await put(store, change("Note", id_, 2, **labelled(last)))
        await put(store, change("Note", id_, 3, "DELETE"))

    assert await told(store, consents(Note=OPEN)) == ["b3", "b2", "b1"]
    assert await store.read(consents(Note=OPEN), "Note", "a") is None
    gone = await store.read(consents(Note=OPEN), "Note", "b")
    assert gone is not None
    assert gone.deleted


async def test_what_is_deleted_with_what_hid_it_stays_hidden(store: Any) -> None:
    hidden = Not(Chain("subject", "Case", SECRET))
    for n in (1, 2):
        await put(store, change("Case", f"c{n}", **labelled("secret")))
        await put(store, change("Note", f"n{n}", **about(f"Case/c{n}")))
    await put(
        store,
        change("Note", "n1", 2, "DELETE", updated=50_000),
        change("Case", "c1", 2, "DELETE", updated=50_000),
    )
    # Of the other one the case went first: nothing hides what was deleted later.
    await put(store, change("Case", "c2", 2, "DELETE", updated=50_000))
    await put(store, change("Note", "n2", 2, "DELETE", updated=60_000))

    assert await told(store, consents(Note=hidden)) == ["n22", "n21"]


async def test_links_in_a_row_and_links_to_a_record_are_followed_from_earlier_versions(store: Any) -> None:
    await put(store, change("House", "h", **labelled("open")), change("House", "k", **labelled("secret")))
    await put(
        store,
        change("Case", "c", references=[["house", "House/h"]]),
        change("Case", "d", references=[["house", "House/k"]]),
    )
    await put(store, change("Note", "x", 1, **about("Case/c")), change("Note", "y", 1, **about("Case/d")))
    await put(store, change("Note", "x", 2, **about("Case/d")), change("Note", "y", 2, **about("Case/c")))
    await put(store, change("Stamp", "s", references=[["on", "Note/y"]], **labelled("open")))

    by_chain = Visibility("test", {"Note": Chain("subject", "Case", Chain("house", "House", OPEN))})
    by_referrer = Visibility("test", {"Note": Has("Stamp", "on", OPEN)})

    assert sorted(await told(store, by_chain)) == ["x1", "y2"]
    assert sorted(await told(store, by_referrer)) == ["y1", "y2"]


async def test_the_class_of_a_patient_counts_for_earlier_versions_as_it_is_now(store: Any) -> None:
    await put(store, change("Note", "a", 1, patients=["p"]), change("Note", "b", 1, patients=["q"]))
    await put(store, change("Note", "a", 2, patients=["p"]), change("Note", "b", 2, patients=["q"]))
    await store.commit([], (), [Reclass("p", 0, (Slice(*ALWAYS, b"no"),))])
    number = (await store.policies.classes(["p"]))["p"]
    view = consents(Note=Not(About(frozenset({number}))))

    assert await told(store, view) == ["b2", "b1"]
    await store.commit([], (), [Reclass("p", 1, ())])
    assert sorted(await told(store, view)) == ["a1", "a2", "b1", "b2"]


async def test_more_versions_than_are_looked_at_once_are_all_judged(store: Any) -> None:
    count = 270
    for version in range(1, count + 1):
        await put(store, change("Note", "n", version, **labelled("open" if version % 3 else "secret")))
    view = Visibility("test", {"Note": OPEN})
    expected = [f"n{version}" for version in range(count, 0, -1) if version % 3]

    page = await store.history(view, HistoryQuery("Note", "n", count=7))

    assert page.total == len(expected)
    assert [f"n{each.version}" for each in page.versions] == expected[:7]
    rest = await store.history(view, HistoryQuery("Note", "n", count=500, before=page.next))
    assert [f"n{each.version}" for each in rest.versions] == expected[7:]
    assert rest.next is None
