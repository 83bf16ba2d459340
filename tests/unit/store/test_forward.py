"""A wrapper passes on the whole protocol, and one that looks at what leaves misses no way out."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, get_type_hints

import pytest

from fhir_server.audit.store import WithAudit
from fhir_server.audit.trail import Noted, Trail, begin
from fhir_server.search.predicate import EVERYTHING
from fhir_server.search.query import Query
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import HistoryPage, HistoryQuery, Page, Store, Stored
from fhir_server.store.forward import Forwarding, Passing

MEMBERS = {name for name in vars(Store) if not name.startswith("_")}
PROPERTIES = {name for name in MEMBERS if isinstance(vars(Store)[name], property)}
METHODS = MEMBERS - PROPERTIES
ALL = Visibility.everything("test")
RECORD = Stored("Patient", "1", 1, 0, "POST", b'{"resourceType":"Patient","id":"1"}')
MASKED = b"{}"
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "read": (ALL, "Patient", "1"),
    "read_version": (ALL, "Patient", "1", 1),
    "read_many": (ALL, [("Patient", "1")]),
    "search": (ALL, Query("Patient", EVERYTHING)),
    "history": (ALL, HistoryQuery("Patient")),
    "scan": (ALL, "Patient"),
    "prepare": (object(),),
    "commit": ([], ["condition"], ["reclass"]),
}
TELLING = {"read", "read_version", "read_many", "search", "history", "scan"}


class Behind:
    """A store that remembers what it was asked, and has one record to tell."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        if name in PROPERTIES:
            return f"the {name}"
        if name == "scan":
            return self._scan
        sync = not inspect.iscoroutinefunction(vars(Store)[name])

        def told(*arguments: Any) -> Any:
            self.asked.append((name, arguments))
            return ANSWERS.get(name, name)

        async def awaited(*arguments: Any) -> Any:
            return told(*arguments)

        return told if sync else awaited

    async def _scan(self, *arguments: Any) -> AsyncIterator[Stored]:
        self.asked.append(("scan", arguments))
        yield RECORD


ANSWERS: dict[str, Any] = {
    "read": RECORD,
    "read_version": RECORD,
    "read_many": [RECORD],
    "search": Page([RECORD], 1, None),
    "history": HistoryPage([RECORD], 1, None),
}


class Masking(Passing):
    """Tells nothing of what it is given."""

    def passed(self, found: list[Stored]) -> list[Stored]:
        return [replace(stored, body=MASKED) for stored in found]


async def asked(store: Any, name: str) -> Any:
    """Call a method of a store; return what it told."""
    result = getattr(store, name)(*ARGUMENTS.get(name, ()))
    if inspect.isasyncgen(result):
        return [stored async for stored in result]
    return await result if inspect.isawaitable(result) else result


def bodies(told: Any) -> list[bytes]:
    """Return the bodies in an answer."""
    listed = getattr(told, "matches", None) or getattr(told, "versions", None) or told
    return [stored.body for stored in (listed if isinstance(listed, list) else [listed])]


def behind() -> Any:
    return Behind()


@pytest.mark.parametrize("name", sorted(METHODS))
@pytest.mark.parametrize("wrapper", [Forwarding, Masking, Noted], ids=lambda each: each.__name__)
async def test_every_method_reaches_the_store_behind_with_all_it_was_given(
    wrapper: type[Forwarding], name: str
) -> None:
    inner = behind()
    await asked(wrapper(inner), name)

    [(called, arguments)] = inner.asked
    assert called == name
    assert arguments == ARGUMENTS.get(name, ())


@pytest.mark.parametrize("name", sorted(PROPERTIES))
def test_every_property_is_that_of_the_store_behind(name: str) -> None:
    for store in (Forwarding(behind()), Masking(behind()), Noted(behind()), WithAudit(behind(), behind())):
        assert getattr(store, name) == f"the {name}"


def test_whatever_tells_of_versions_is_known_to_these_tests() -> None:
    """A method that is added to the protocol must be looked at: does a version leave by it?"""
    hints = {name: str(get_type_hints(getattr(Store, name)).get("return")) for name in METHODS}

    assert {name for name, returned in hints.items() if "Stored" in returned or "Page" in returned} == TELLING


@pytest.mark.parametrize("name", sorted(TELLING))
async def test_nothing_leaves_but_what_was_passed(name: str) -> None:
    assert bodies(await asked(Masking(behind()), name)) == [MASKED]
    assert bodies(await asked(Forwarding(behind()), name)) == [RECORD.body]


@pytest.mark.parametrize("name", sorted(TELLING - {"scan"}))
async def test_what_leaves_is_noted(name: str) -> None:
    trail = Trail()
    begin(trail)
    await asked(Noted(behind()), name)
    begin(None)
    await asked(Noted(behind()), name)

    assert trail.seen == [RECORD]


async def test_nothing_is_passed_when_there_is_nothing() -> None:
    class Empty:
        async def read(self, *_: Any) -> None:
            return None

        read_version = read

    store: Any = Masking(Empty())  # type: ignore[arg-type]  # it has what is asked of it

    assert await asked(store, "read") is None
    assert await asked(store, "read_version") is None


async def test_a_base_that_passes_nothing_is_refused() -> None:
    with pytest.raises(NotImplementedError):
        await asked(Passing(behind()), "read")
