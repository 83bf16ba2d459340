"""Time tells nothing either: hidden and unknown cost the same work, and a missing scope is refused first.

What can be counted is counted, for that does not depend on the machine: SQL statements, and records that are
opened. What is measured beside it is a class of time, not a figure: medians of many requests, taken in turns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter
from typing import Any

import pytest

from fhir_server.store.sqlite.records import Opener
from tests.leak.house import CALLERS, Guarded, token, value

_values = re.compile(r"-?\b\d+\b|'[^']*'|x'[^']*'")
"""What a statement was given; what is left is the statement."""
ROUNDS, TRIES, FACTOR = 60, 4, 1.5
"""Requests of each kind, attempts to measure on a busy machine, and how far two medians may lie apart."""


@dataclass
class Work:
    """What the store did: statements it ran, records it opened."""

    statements: list[str] = field(default_factory=list)
    opened: int = 0


@contextmanager
def watched(house: Guarded, monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    """Count what the store does for requests within the block."""
    work = Work()
    service: Any = house._app._service
    connection = service.store._readers._inline.connection
    stored = Opener.stored

    def counted(self: Opener, *arguments: Any) -> Any:
        work.opened += 1
        return stored(self, *arguments)

    def noted(text: str) -> None:
        if " FROM job " not in text:  # the server's own, which looks for work now and then
            work.statements.append(_values.sub("?", text))

    connection.set_trace_callback(noted)
    monkeypatch.setattr(Opener, "stored", counted)
    try:
        yield work
    finally:
        connection.set_trace_callback(None)
        monkeypatch.setattr(Opener, "stored", stored)


def body(id_: str) -> Any:
    return value(id_, "mine", "1111-1", "1.5")


PATCH = [{"op": "test", "path": "/status", "value": "final"}]
PROBES: dict[str, Callable[[Guarded, str], Any]] = {
    "read": lambda house, id_: house.get(f"Observation/{id_}"),
    "head": lambda house, id_: house("HEAD", f"Observation/{id_}"),
    "conditional read": lambda house, id_: house.get(f"Observation/{id_}", if_none_match='W/"1"'),
    "read of a patient": lambda house, id_: house.get(f"Patient/{id_.removesuffix('-1')}"),
    "read of a binary": lambda house, id_: house.get(f"Binary/{id_.replace('-1', '-scan')}"),
    "update": lambda house, id_: house.put(f"Observation/{id_}", body(id_)),
    "patch": lambda house, id_: house.patch(f"Observation/{id_}", PATCH),
    "delete": lambda house, id_: house.delete(f"Observation/{id_}", if_match='W/"9"'),
    "meta": lambda house, id_: house.get(f"Observation/{id_}/$meta"),
}


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("probe", PROBES)
def test_hidden_and_unknown_are_the_same_work(
    house: Guarded, monkeypatch: pytest.MonkeyPatch, probe: str, caller: str
) -> None:
    asked = PROBES[probe]
    done: dict[str, Work] = {}
    with house.as_(CALLERS[caller]):
        for id_ in ("hidden-1", "absent-1") * 2:  # the second time what is compiled is there
            with watched(house, monkeypatch) as done[id_]:
                answer = asked(house, id_)
            assert answer.status_code in (204, 404, 412)

    assert done["hidden-1"].statements == done["absent-1"].statements
    assert done["hidden-1"].opened == done["absent-1"].opened == 0


@pytest.mark.parametrize("id_", ["mine-1", "hidden-1", "absent-1"])
def test_without_the_scope_no_record_is_looked_up(
    house: Guarded, monkeypatch: pytest.MonkeyPatch, id_: str
) -> None:
    """403 comes before the store is asked, whatever is there."""
    with house.as_(token("patient/Patient.rs", patient="mine")):
        house.get("Observation/mine-1")
        with watched(house, monkeypatch) as work:
            assert house.get(f"Observation/{id_}").status_code == 403

    assert work.opened == 0
    assert not any("head" in text for text in work.statements)


def test_the_store_is_watched_at_all(house: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    """The positive twin: what may be seen is looked up and opened."""
    with house.as_(CALLERS["patient"]), watched(house, monkeypatch) as work:
        assert house.get("Observation/mine-1").status_code == 200

    assert work.statements
    assert work.opened == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Observation/hidden-1", "Observation/absent-1"),
        ("Patient/hidden", "Patient/absent"),
        ("Patient/hidden/_history", "Patient/absent/_history"),
        ("Observation?subject=Patient/hidden", "Observation?subject=Patient/absent"),
        ("Patient/hidden/Observation", "Patient/absent/Observation"),
    ],
)
def test_hidden_and_unknown_take_the_same_class_of_time(house: Guarded, one: str, other: str) -> None:
    """A machine may be busy with something else, so that one quiet attempt of a few is enough."""
    seen = []
    with house.as_(CALLERS["patient"]):
        for _ in range(TRIES):
            times: dict[str, list[float]] = {one: [], other: []}
            for _ in range(ROUNDS):
                for path, taken in times.items():
                    begun = perf_counter()
                    house.get(path)
                    taken.append(perf_counter() - begun)
            low, high = sorted(median(taken) for taken in times.values())
            seen.append(round(high / low, 2))
            if high / low < FACTOR:
                return
    raise AssertionError(seen)
